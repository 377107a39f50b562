#!/usr/bin/env bash
# The test of the test: with one wrong expectation planted, the program that the guest runs must fail.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/tests/host/guest/build.sh" "$root/build/guest"
"$root/build/guest/verify" -m 4 | grep -q '^RESULT wrong=0 '
if output=$("$root/build/guest/verify" -m 4 -p); then
  echo "the planted page was not seen: $output" >&2
  exit 1
fi
grep -q '^RESULT wrong=1 ' <<< "$output"
grep -q '^wrong page: process 0, page 512' <<< "$output"
