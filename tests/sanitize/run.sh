#!/usr/bin/env bash
# Builds the cores with a sanitizer, without gRPC, and runs their tests: what ctest's entries asan and tsan do.
#
# usage: tests/sanitize/run.sh asan|tsan [--build-only]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
preset=${1:-}
[[ $preset == asan || $preset == tsan ]] || {
  echo "usage: tests/sanitize/run.sh asan|tsan [--build-only]" >&2
  exit 2
}
# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
build_preset "$preset"
[[ ${2:-} != --build-only ]] || exit 0
# A sanitizer makes them ten times slower.
export VSWAP_TEST_OPERATIONS=${VSWAP_TEST_OPERATIONS:-10000}
cd "$root/build/$preset"
exec ctest --output-on-failure --no-tests=error --parallel 2 --label-regex '^(unit|model)$'
