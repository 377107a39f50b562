#!/usr/bin/env bash
# clang-tidy, with the checks of .clang-tidy, over our sources of a build directory. Takes minutes.
#
# usage: tests/lint/tidy.sh BUILD_DIR [FILE...]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
[[ $# -gt 0 ]] || {
  echo "usage: tests/lint/tidy.sh BUILD_DIR [FILE...]" >&2
  exit 2
}
command -v clang-tidy-14 > /dev/null || {
  echo "clang-tidy-14 is not installed: apt-get install clang-tidy-14" >&2
  exit 1
}
build=$1
shift
files=("$@")
[[ ${#files[@]} -gt 0 ]] || mapfile -t files < <(
  python3 - "$build" "$root" << 'END'
import json, os, sys
build, root = sys.argv[1:]
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    path = os.path.relpath(entry["file"], root)
    if path.startswith(("services/", "client/", "proto/")):
        print(entry["file"])
END
)
# clang 14 does not know -std=c++20's every corner of libstdc++ 12, and no warning of g++'s matters here.
printf '%s\0' "${files[@]}" |
  xargs -0 -n 4 -P 2 clang-tidy-14 -p "$build" --quiet --extra-arg=-Wno-everything
