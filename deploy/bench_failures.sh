#!/usr/bin/env bash
# What failures and drains cost the hosts, measured on a local cluster: fio reads pages through the NBD plugin before
# something happens to a compressor, and after. Each figure of several runs and their median. The machine should have
# nothing else to do; compare the figures of one run with each other, not with another machine's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
usage() {
  cat << END
usage: $0 [--runs N] [--mib N] [--seconds N] [EVENT...]

EVENT: kill, stop, destroy, drain (of one compressor of three; default: all four), takeover (kill -9 of a front-end).
Prints for each event the p50, p99 and maximum of 4 KiB reads in ms, before it, after it, and in the time in which
pages were moved because of it; how many were moved a second; and what a stored page added to the stores' files: its
records in the table log, on each of its two replicas. --mib: of pages stored (default 1024); --seconds: of reading
before and after the event (default 20).
takeover: seconds from the kill until pages spread over the space are read, with a million entries a front-end.
END
}

runs=3 mib=1024 seconds=20 events=()
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
# Reads for $1 seconds; every latency goes to $work/reads_clat.1.log.
read_pages() {
  fio_run reads --rw=randread --bs=4k --iodepth=4 --runtime="$1" --time_based --write_lat_log="$work/reads" \
    --log_unix_epoch=1 > /dev/null
}
# moved_pages: a line of the time and of the pages moved till then, for ever.
moved_pages() {
  while sleep 0.1; do echo "$(date +%s.%N) $(metric vswap_rebuilds_total)"; done
}
figures() {  # EVENT_TIME: the line of an event's run, in the order of the report
  python3 - "$work" "$1" << 'END'
import sys

work, event = sys.argv[1], float(sys.argv[2])
reads = []  # when it ended in s, what it took in ms
for line in open(work + "/reads_clat.1.log"):
    fields = line.split(",")
    reads.append((int(fields[0]) / 1e3, int(fields[1]) / 1e6))
moved = [(float(time), int(pages)) for time, pages in map(str.split, open(work + "/moved"))]
steps = [(before, after) for before, after in zip(moved, moved[1:]) if after[1] > before[1]]
assert steps, "no pages were moved"
first, last = steps[0][0], steps[-1][1]


def three(begin, end):
    values = sorted(took for time, took in reads if begin <= time < end)
    return [values[len(values) // 2], values[len(values) * 99 // 100], values[-1]]


figures = three(0, event) + three(event, 1e12) + three(first[0], last[0])
print(*("%.2f" % value for value in figures), round((last[1] - first[1]) / (last[0] - first[0])))
END
}
start_cluster() {
  work=$(mktemp -d)
  cluster up --frontends 2 --compressors 3 --stores 3 --memory-max 1GiB > /dev/null
  # shellcheck source=/dev/null
  source "$work/cluster/cluster.env"
  nbdkit -f -P "$work/nbd.pid" -U "$work/nbd.sock" "$bin/nbdkit-vswap-plugin.so" frontend="$VSWAP_FRONTENDS" \
    size="${space_mib:-$mib}M" 2> /dev/null &
  nbdkit_pid=$!
  until [[ -s $work/nbd.pid ]]; do sleep 0.05; done
}
log_bytes() { du -cb "$work"/cluster/store-*/data | tail -1 | cut -f1; }

event_run() {  # EVENT: a line of figures
  local event=$1 at empty log reading moving
  start_cluster
  empty=$(log_bytes)
  fio_run fill --rw=write --bs=128k --iodepth=8 --buffer_compress_percentage=60 --refill_buffers > /dev/null
  log=$((($(log_bytes) - empty) / (mib * 256)))
  read_pages $((2 * seconds)) &
  reading=$!
  sleep "$seconds"
  moved_pages > "$work/moved" &
  moving=$!
  at=$(date +%s.%N)
  case $event in
    drain) "$bin/vswapctl" --frontend "${VSWAP_FRONTENDS%%,*}" drain compressor-1 > /dev/null ;;
    *) cluster "$event" compressor/1 ;;
  esac
  wait "$reading" || { echo "reads failed: $event" >&2; exit 1; }
  kill "$moving"
  wait "$moving" 2> /dev/null || true
  echo "$(figures "$at") $log"
  end_run
}

takeover_run() {  # seconds
  space_mib=8192
  start_cluster
  # Zero pages, entries without bytes: a million for each of the two front-ends.
  fio_run zeros --rw=write --bs=1M --iodepth=8 --size=8192M --zero_buffers > /dev/null
  local before
  before=$(date +%s.%N)
  cluster kill frontend/1
  # One page of each 64 MiB: they lie in shards of both.
  fio_run each --rw=read --bs=4k --iodepth=128 --size=8192M --zonemode=strided --zonesize=4k --zonerange=4k \
    --zoneskip=$((64 * 1024 * 1024 - 4096)) --io_size=512k > /dev/null
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
    echo "takeover: $(field 1) s from kill -9 of a front-end until 128 pages spread over the space are read (median of $runs)"
  else
    echo "$event: reads in ms, p50 p99 max: before $(field 1) $(field 2) $(field 3); after $(field 4) $(field 5)" \
      "$(field 6); while pages moved $(field 7) $(field 8) $(field 9); $(field 10) pages/s moved;" \
      "$(field 11) bytes of log a page (medians of $runs)"
  fi
done
