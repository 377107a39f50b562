#!/usr/bin/env python3
"""Sends NBD requests as they are asked for, also wrong ones, which no other client does.

usage: raw_nbd.py SOCKET COMMAND...

Commands: read:OFFSET:LENGTH, write:OFFSET:LENGTH (noise), text:OFFSET:LENGTH (a run), trim:OFFSET:LENGTH,
zero:OFFSET:LENGTH, cache:OFFSET:LENGTH, status:OFFSET:LENGTH, fill:LENGTH (noise, page after page, until one is
refused). Prints a line for each: ok or the error's name, behind fill also the number of pages that were taken.
"""
import errno
import os
import socket
import struct
import sys

OPTION_MAGIC = 0x49484156454F5054
REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
COMMANDS = {"read": 0, "write": 1, "text": 1, "trim": 4, "cache": 5, "zero": 6}
PAGE = 4096


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        magic, _, _ = struct.unpack(">8sQH", self.take(18))
        assert magic == b"NBDMAGIC"
        self.socket.sendall(struct.pack(">I", 3))  # fixed newstyle, no zeroes
        # NBD_OPT_EXPORT_NAME: the default export, simple replies.
        self.socket.sendall(struct.pack(">QII", OPTION_MAGIC, 1, 0))
        self.size, _ = struct.unpack(">QH", self.take(10))

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError("the server hung up")
            data += part
        return data

    def request(self, command, offset, length):
        payload = b""
        if command == "write":
            payload = os.urandom(length)
        elif command == "text":
            payload = b"cold page " * (length // 10 + 1)
            payload = payload[:length]
        header = struct.pack(">IHHQQI", REQUEST_MAGIC, 0, COMMANDS[command], 1, offset, length)
        self.socket.sendall(header + payload)
        magic, error, _ = struct.unpack(">IIQ", self.take(16))
        assert magic == SIMPLE_REPLY_MAGIC
        if error == 0 and command == "read":
            self.take(length)
        return errno.errorcode[error] if error else "ok"

    def fill(self, limit):
        for page in range(limit // PAGE):
            result = self.request("write", page * PAGE, PAGE)
            if result != "ok":
                return f"{result} {page}"
        return f"ok {limit // PAGE}"


def main():
    client = Client(sys.argv[1])
    for argument in sys.argv[2:]:
        command, *numbers = argument.split(":")
        if command == "fill":
            print(client.fill(int(numbers[0])))
        else:
            print(client.request(command, int(numbers[0]), int(numbers[1])))


main()
