# Sourced by the host tests: a service of the test's own, removed when the test ends however it ends.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib/service.sh
source "$root/deploy/lib/service.sh"

guest_pid=""
trap 'stop_pid "$guest_pid" 10; stop_service' EXIT
trap 'exit 143' INT TERM
make_run_dir
# shellcheck disable=SC2034  # used by the tests
uri="nbd+unix:///?socket=$run_dir/nbd.sock"

# held_pages: slots with something behind them, as the service counts them.
held_pages() {
  curl -sf "http://$VSWAP_METRICS/metrics" | awk '/^vswap_pages/ {sum += $2} END {print sum}'
}

start_small_vswapd() {
  start_vswapd --memory-max 24MiB --capacity-pages 65536
}

# swap_in_guest BOOT-OPTIONS...: boots a guest on a device of 256 MiB; it checks its pages. What it frees while it swaps
# is given back. Kills the service and starts it again while two processes swap, and during swapoff. Nothing is held
# once the whole device is discarded.
swap_in_guest() {
  local line held
  # The kernel discards a slot with its cluster of 512, of which some are still in use or have been opened for more.
  most_are_free() { [[ $(held_pages) -lt $((held / 2)) ]]; }
  mkfifo "$run_dir/guest"
  "$root/tests/host/guest/boot.sh" --log "$run_dir/console.log" --mib 100 --seed "${VSWAP_TEST_SEED:-1}" "$@" \
    > "$run_dir/guest" &
  guest_pid=$!
  while IFS= read -r line; do
    echo "$line"
    case $line in
      *'] progress filled') held=$(held_pages) ;;
      *'] progress freed')
        wait_until 20 most_are_free || fail "of $held slots $(held_pages) are still held after the guest freed its memory"
        echo "$held slots held, $(held_pages) after the guest freed its memory"
        ;;
      *'] progress forked' | *'] progress swapoff')
        kill -9 "$vswapd_pid"
        wait "$vswapd_pid" 2> /dev/null || true
        start_small_vswapd
        ;;
    esac
  done < "$run_dir/guest"
  wait "$guest_pid" || fail "the guest failed"
  guest_pid=""
  echo "$(held_pages) slots held after swapoff"
  qemu-io -f raw -c "discard 0 256M" "$uri" > /dev/null
  expect_empty
}

# Nothing is left of any page: not in the table, not on a node, and the arena is down to less than 4 MiB.
expect_empty() {
  local empty='all(p["zero_pages"] + p["compressed_pages"] + p["physical_pages"] + p["lost_pages"] == 0 for p in s["spaces"])
    and all(n["pages"] == 0 for n in s["nodes"]) and s["nodes"][0]["used_bytes"] < 4 << 20'
  is_empty() {
    [[ $(status_of "${empty//$'\n'/ }") == True ]]
  }
  wait_until 30 is_empty || fail "not empty: $(status_json)"
}
