#!/usr/bin/env bash
# fio with verification while vswapd is killed with SIGKILL and started again on the same data: no I/O error, no wrong block.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

rounds=8
start_vswapd --memory-max 24MiB --capacity-pages 32768
start_nbdkit size=96M
fio --name=ride --ioengine=nbd "--uri=$uri" --rw=randwrite --bs=4k --size=96M --time_based --runtime=$((rounds * 2 + 4)) \
  --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --verify_backlog=512 --buffer_compress_percentage=60 \
  --randseed="${VSWAP_TEST_SEED:-44}" --output="$run_dir/fio.out" &
fio_pid=$!
for ((i = 0; i < rounds; i++)); do
  sleep "1.$((RANDOM % 10))"
  kill -0 "$fio_pid" 2> /dev/null || fail "fio ended early: $(cat "$run_dir/fio.out")"
  kill -9 "$vswapd_pid"
  wait "$vswapd_pid" 2> /dev/null || true
  sleep "0.$((RANDOM % 5))"
  start_vswapd --memory-max 24MiB --capacity-pages 32768
done
wait "$fio_pid" || fail "$(cat "$run_dir/fio.out")"
grep -q 'err= 0' "$run_dir/fio.out" || fail "$(cat "$run_dir/fio.out")"
grep 'IOPS' "$run_dir/fio.out"
fio --name=trim --ioengine=nbd "--uri=$uri" --rw=trim --bs=1M --size=96M --output="$run_dir/fio.out" ||
  fail "$(cat "$run_dir/fio.out")"
expect_empty
