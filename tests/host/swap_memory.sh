#!/usr/bin/env bash
# The plugin as it stands under a host's swap: what the host allows is set and shown, memory is locked, and a load that
# outruns the service (which is stopped for some seconds) neither makes the process grow nor fails.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

growth_max_kib=16384
in_flight_bytes=$((32 << 20))
port=$(free_port)
start_vswapd --memory-max 192MiB --capacity-pages 65536
start_nbdkit size=256M in-flight=$in_flight_bytes metrics=127.0.0.1:"$port"

# of_process FIELD: of /proc/PID/status. metric NAME: its first series; whoever stopped reading there would break the pipe.
of_process() { awk -v name="$1:" '$1 == name {print $2}' "/proc/$nbdkit_pid/status"; }
metric() { curl -sf "http://127.0.0.1:$port/metrics" | awk -v name="$1" '($1 == name || index($1, name "{") == 1) && !found++ {print $2}'; }

# What the host refuses is in the log and in the gauge; what it allows, all threads have.
flusher=$(metric vswap_client_io_flusher)
logged=$(grep -c 'does not allow PR_SET_IO_FLUSHER' "$run_dir/nbdkit.log" || true)
[[ $((flusher + logged)) -eq 1 ]] || fail "io_flusher is $flusher, lines about it: $logged"
if [[ $flusher -eq 1 ]]; then
  for stat in /proc/"$nbdkit_pid"/task/*/stat; do
    flags=$(sed 's/.*) //' "$stat" | cut -d' ' -f7)
    [[ $((flags & 0x80000)) -ne 0 ]] || fail "$stat is without PF_MEMALLOC_NOIO"
  done
fi
[[ $(metric vswap_client_oom_score_adj) -eq $(cat "/proc/$nbdkit_pid/oom_score_adj") ]] || fail "oom_score_adj"

load() {
  fio --name=out --ioengine=nbd "--uri=$uri" --rw=write --bs=1M --size=64M --offset_increment=64M --numjobs=4 --iodepth=32 \
    --buffer_compress_percentage=60 --output="$run_dir/fio.out" "$@"
}
load --loops=3 || fail "$(cat "$run_dir/fio.out")"
warm=$(of_process VmHWM)

load --time_based --runtime=12 &
fio=$!
writes() { [[ $(metric vswap_client_in_flight_pages) -gt 0 ]]; }
wait_until 30 writes || fail "fio does not begin"
sleep 1
kill -STOP "$vswapd_pid"
sleep 3
locked=$(of_process VmLck)
resident=$(of_process VmRSS)
under_way=$(metric vswap_client_in_flight_pages)
kill -CONT "$vswapd_pid"
wait "$fio" || fail "$(cat "$run_dir/fio.out")"
highest=$(of_process VmHWM)

echo "resident $warm KiB warm, at most $highest; locked $locked KiB; $under_way pages under way while the service stood"
[[ $locked -ge $resident ]] || fail "only $locked KiB of $resident are locked"
[[ $highest -le $((warm + growth_max_kib)) ]] || fail "grew from $warm to $highest KiB"
[[ $under_way -gt 0 && $under_way -le $((in_flight_bytes / 4096)) ]] || fail "$under_way pages under way"
if command -v promtool > /dev/null; then
  curl -sf "http://127.0.0.1:$port/metrics" | promtool check metrics
fi
