#!/usr/bin/env bash
# The demo with a file, as a newcomer runs it; and that it says what is wrong with its options, and cleans up when interrupted.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TMPDIR=$dir
seq 1 600000 > "$dir/file"
"$root/deploy/demo.sh" --no-install --file "$dir/file" | tee "$dir/out"
tail -1 "$dir/out" | grep -qx '0 wrong pages'
for bad in "--file $dir/none" --flie --file; do
  # shellcheck disable=SC2086
  if "$root/deploy/demo.sh" $bad 2> "$dir/err"; then
    echo "accepted: $bad" >&2
    exit 1
  fi
  [[ -s $dir/err ]]
done
# Interrupted in the middle, nothing of it is left.
"$root/deploy/demo.sh" --no-install > "$dir/out" 2>&1 &
demo=$!
for _ in $(seq 600); do
  grep -q 'progress filled' "$dir/out" && break
  sleep 0.1
done
kill -TERM "$demo"
wait "$demo" && { echo "the interrupted demo succeeded" >&2; exit 1; }
sleep 1
if pgrep -f "$dir/vswap-" > /dev/null || compgen -G "$dir/vswap-*" > /dev/null; then
  echo "left behind: $(pgrep -af "$dir/vswap-") $(echo "$dir"/vswap-*)" >&2
  exit 1
fi
