#!/usr/bin/env bash
# Builds the fuzz targets (preset fuzz) and lets each look for inputs for a while. What it finds lies in
# build/fuzz/found; new inputs that reach more code are kept in build/fuzz/corpus.
#
# usage: tests/fuzz/run.sh [--seconds N] [TARGET...]   N each; default: VSWAP_TEST_MINUTES (5) over all targets
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=""
if [[ ${1:-} == --seconds ]]; then
  seconds=$2
  shift 2
fi
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || mapfile -t targets < <(cd "$root/tests/fuzz/corpus" && printf '%s\n' *)
seconds=${seconds:-$((${VSWAP_TEST_MINUTES:-5} * 60 / ${#targets[@]}))}

# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
build_preset fuzz fuzzers
status=0
for target in "${targets[@]}"; do
  echo "== fuzzing $target for $seconds s"
  grown=$root/build/fuzz/corpus/$target
  found=$root/build/fuzz/found
  mkdir -p "$grown" "$found"
  if ! "$root/build/fuzz/bin/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2560 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/$target-" "$grown" "$root/tests/fuzz/corpus/$target"; then
    status=1
  fi
done
exit $status
