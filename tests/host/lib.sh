# Sourced by the host tests: a service of the test's own, removed when the test ends however it ends.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib/service.sh
source "$root/deploy/lib/service.sh"

trap 'stop_service' EXIT
trap 'exit 143' INT TERM
make_run_dir
# shellcheck disable=SC2034  # used by the tests
uri="nbd+unix:///?socket=$run_dir/nbd.sock"

# Nothing is left of any page: not in the table, not on a node, and the arena is down to less than 4 MiB.
expect_empty() {
  local empty='all(p["zero_pages"] + p["compressed_pages"] + p["physical_pages"] + p["lost_pages"] == 0 for p in s["spaces"])
    and all(n["pages"] == 0 for n in s["nodes"]) and s["nodes"][0]["used_bytes"] < 4 << 20'
  is_empty() {
    [[ $(status_of "${empty//$'\n'/ }") == True ]]
  }
  wait_until 30 is_empty || fail "not empty: $(status_json)"
}
