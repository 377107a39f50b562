#!/usr/bin/env python3
"""Clang's thread-safety analysis over the sources of a build directory.

usage: thread_safety.py BUILD_DIR

Reads compile_commands.json, takes what lies in services, client and proto and includes
services/common/mutex.h (no other file can name a lock), and runs clang -fsyntax-only on it. First
it compiles a file with planted bugs: each must be found, or the analysis is blind.
"""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLANG = "clang++-14"
OURS = ("services/", "client/", "proto/")
PLANTED = os.path.join(ROOT, "tests/lint/planted_races.cc")
MUTEX_H = "services/common/mutex.h"
WORKERS = 2


def includers(build):
    """Sources that include MUTEX_H, as ninja learned from the compiler."""
    deps = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    found = set()
    for block in deps.split("\n\n"):
        paths = [os.path.join(build, line.strip()) for line in block.split("\n")[1:]]
        paths = [os.path.normpath(path) for path in paths]
        if os.path.join(ROOT, MUTEX_H) in paths:
            found.add(paths[0])
    return found


def flags_of(entry):
    """Definitions and include paths of a compile command."""
    words = shlex.split(entry["command"])
    flags = []
    for i, word in enumerate(words):
        if word in ("-I", "-isystem"):
            flags += [word, os.path.join(entry["directory"], words[i + 1])]
        elif word.startswith(("-I", "-D", "-std=")):
            flags.append(word)
    return flags


def analyse(flags, path):
    command = [CLANG, "-fsyntax-only", "-Wno-everything", "-Wthread-safety", "-Werror=thread-safety",
               "-ferror-limit=0", *flags, path]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return done.returncode, done.stdout


def check_planted(flags):
    """The lines of the planted file that end in `// wrong` are reported, and no others."""
    _, output = analyse(flags, PLANTED)
    with open(PLANTED, encoding="utf-8") as file:
        planted = {number for number, line in enumerate(file, 1) if line.endswith("// wrong\n")}
    name = re.escape(os.path.basename(PLANTED))
    found = {int(line) for line in re.findall(name + r":(\d+):\d+: error: .*thread-safety", output)}
    if found == planted and planted:
        return True
    print(f"of the lines with planted bugs {sorted(planted)}, these are reported: {sorted(found)}\n"
          f"{output}")
    return False


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = os.path.abspath(sys.argv[1])
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        database = json.load(file)
    locking = includers(build)
    sources = {entry["file"]: flags_of(entry) for entry in database
               if os.path.relpath(entry["file"], ROOT).startswith(OURS)
               and entry["file"] in locking}
    if not sources:
        print(f"no source of ours in {build} includes {MUTEX_H}: is it built?")
        return 1
    good = check_planted(next(iter(sources.values())))
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for path, (status, output) in zip(sources, pool.map(
                lambda path: analyse(sources[path], path), sources)):
            if status != 0 or output:
                good = False
                print(f"{os.path.relpath(path, ROOT)}:\n{output}")
    print(f"{len(sources)} files: {'clean' if good else 'not clean'}")
    return 0 if good else 1


sys.exit(main())
