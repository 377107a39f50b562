# shellcheck shell=bash
# free_port: a port of the loopback that nobody listens on now, below those that the kernel gives to clients: one of
# those could sit on the port of a server that is killed and started again, or even connect to itself there.
free_port() {
  python3 - << 'END'
import random, socket
while True:
    port = random.randrange(20000, 32000)
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
END
}
