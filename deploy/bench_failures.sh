#!/usr/bin/env bash
# What failures and drains cost the hosts, measured on a local cluster: fio reads pages through the NBD plugin while
# something happens to a compressor, and before. Each figure of several runs and their median. The machine should have
# nothing else to do; compare the figures of one run with each other, not with another machine's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() {
  cat << END
usage: $0 [--runs N] [--mib N] [--seconds N] [EVENT...]

EVENT: kill, stop, destroy, drain (of one compressor of three; default: all four), takeover (kill -9 of a front-end).
Prints for each event the p50, p99 and maximum of 4 KiB reads in ms in a quiet time and then with the event, pages
moved a second, and bytes that each store's table log took a page. --mib: of pages stored (default 256).
takeover: seconds from the kill until a page of each of its shards is read, with a million entries.
END
}

runs=3 mib=256 seconds=12 events=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --runs) runs=$2; shift ;;
    --mib) mib=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --help | -h) usage; exit 0 ;;
    kill | stop | destroy | drain | takeover) events+=("$1") ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ ${#events[@]} -gt 0 ]] || events=(kill stop destroy drain takeover)
bin=$root/build/release/bin
cluster() { "$root/deploy/cluster.sh" "$1" --dir "$work/cluster" "${@:2}"; }
nbdkit_pid=""
end_run() {
  [[ -z $nbdkit_pid ]] || kill "$nbdkit_pid" 2> /dev/null || true
  [[ -z ${work:-} ]] || { cluster down > /dev/null 2>&1 || true; rm -rf "$work"; }
  nbdkit_pid=""
}
trap end_run EXIT

# metric NAME: the sum over all front-ends.
metric() {
  local out sum=0 value
  for out in "$work"/cluster/frontend-*.out; do
    value=$(curl -sf "http://$(sed -n 's/^ready .*metrics=\([^ ]*\).*/\1/p' "$out")/metrics" |
      awk -v name="$1" '$1 == name {print int($2)}') || continue
    sum=$((sum + ${value:-0}))
  done
  echo "$sum"
}
fio_run() { # NAME OPTIONS...
  fio --name="$1" --ioengine=nbd --uri="nbd+unix:///?socket=$work/nbd.sock" --size="${mib}M" \
    --output-format=json "${@:2}" 2> /dev/null
}
read_pages() { fio_run "$1" --rw=randread --bs=4k --iodepth=4 --runtime="$seconds" --time_based; }
figures() { # of fio's JSON: p50 p99 max, in ms
  python3 -c '
import json, sys
text = sys.stdin.read()
job = json.loads(text[text.index("{"):])["jobs"][0]
latency = job["read"]["clat_ns"]
assert job["error"] == 0, "reads failed"
print(*("%.2f" % (ns / 1e6) for ns in (latency["percentile"]["50.000000"], latency["percentile"]["99.000000"], latency["max"])))'
}
start_cluster() {
  work=$(mktemp -d)
  cluster up --frontends 2 --compressors 3 --stores 3 --memory-max 512MiB --shards 64 > /dev/null
  # shellcheck source=/dev/null
  source "$work/cluster/cluster.env"
  nbdkit -f -P "$work/nbd.pid" -U "$work/nbd.sock" "$bin/nbdkit-vswap-plugin.so" frontend="$VSWAP_FRONTENDS" \
    size="${space_mib:-$mib}M" 2> /dev/null &
  nbdkit_pid=$!
  until [[ -s $work/nbd.pid ]]; do sleep 0.05; done
}
log_bytes() { du -cb "$work"/cluster/store-*/data | tail -1 | cut -f1; }

event_run() { # EVENT: a line of figures
  local event=$1 before quiet loaded moved_before took empty
  start_cluster
  empty=$(log_bytes)
  fio_run fill --rw=write --bs=128k --iodepth=8 --buffer_compress_percentage=60 --refill_buffers > /dev/null
  local log=$((($(log_bytes) - empty) / (mib * 256)))
  quiet=$(read_pages quiet | figures)
  moved_before=$(metric vswap_rebuilds_total)
  (
    sleep 2
    case $event in
      drain) "$bin/vswapctl" --frontend "${VSWAP_FRONTENDS%%,*}" drain compressor-1 > /dev/null ;;
      *) cluster "$event" compressor/1 ;;
    esac
  ) &
  before=$SECONDS
  loaded=$(read_pages "$event" | figures)
  wait "$!" 2> /dev/null || true
  took=$((SECONDS - before - 2))
  [[ $event != drain ]] || took=$((took > 0 ? took : 1))
  echo "$quiet $loaded $((($(metric vswap_rebuilds_total) - moved_before) / took)) $log"
  end_run
}

takeover_run() {  # seconds
  space_mib=4096
  start_cluster
  # Zero pages: a million entries without their bytes.
  fio_run zeros --rw=write --bs=1M --iodepth=8 --size=4096M --zero_buffers > /dev/null
  local before
  before=$(date +%s.%N)
  cluster kill frontend/1
  # One page of each 128 MiB, which lie in shards of both.
  fio_run each --rw=read --bs=4k --iodepth=32 --size=4096M --zonemode=strided --zonesize=4k --zonerange=128M > /dev/null
  python3 -c "import time; print('%.2f' % (time.time() - $before))"
  end_run
}

median() { sort -n | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }

for event in "${events[@]}"; do
  lines=()
  for ((run = 1; run <= runs; ++run)); do
    if [[ $event == takeover ]]; then
      lines+=("$(takeover_run)")
    else
      lines+=("$(event_run "$event")")
    fi
    echo "$event run $run: ${lines[-1]}" >&2
  done
  field() { printf '%s\n' "${lines[@]}" | awk -v at="$1" '{print $at}' | median; }
  if [[ $event == takeover ]]; then
    echo "takeover: $(field 1) s until pages of all shards are read (median of $runs)"
  else
    echo "$event: reads quiet p50 $(field 1) p99 $(field 2) max $(field 3) ms; with it p50 $(field 4) p99 $(field 5)" \
      "max $(field 6) ms; $(field 7) pages/s moved; $(field 8) bytes on the stores a page (medians of $runs)"
  fi
done
