#!/usr/bin/env bash
# promtool over the /metrics of a live vswapd that has done something. Debian's prometheus is a service that its
# package would start, so it is unpacked, not installed (19 MB).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib/service.sh
source "$root/deploy/lib/service.sh"

promtool=$(command -v promtool || echo "$root/build/prometheus/usr/bin/promtool")
if [[ ! -x $promtool ]]; then
  mkdir -p "$root/build/prometheus"
  (
    cd "$root/build/prometheus"
    apt-get download -qq -o APT::Sandbox::User=root prometheus
    dpkg-deb -x prometheus_*.deb .
    rm prometheus_*.deb
  ) || fail "cannot get promtool: is a Debian mirror within reach?"
fi

trap 'stop_service' EXIT
make_run_dir
start_vswapd --log-level warn
start_nbdkit size=16M
head -c 4M "$promtool" > "$run_dir/bytes"
nbdcopy "$run_dir/bytes" "nbd+unix:///?socket=$run_dir/nbd.sock"
curl --silent --show-error --fail "http://$VSWAP_METRICS/metrics" > "$run_dir/metrics"
grep -q '^vswap_' "$run_dir/metrics" || fail "no metric of ours"
lines=$("$promtool" check metrics < "$run_dir/metrics" 2>&1) || fail "$lines"
[[ -z $lines ]] || fail "$lines"
echo "$(grep -c '^# TYPE' "$run_dir/metrics") families"
