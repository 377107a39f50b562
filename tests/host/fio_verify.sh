#!/usr/bin/env bash
# fio through the device: random writes and reads of several sizes under way at once, each block verified.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start_vswapd --memory-max 24MiB --capacity-pages 32768
start_nbdkit size=128M
fio --name=verify --ioengine=nbd "--uri=$uri" --rw=randwrite --bsrange=4k-128k --blockalign=4k --size=128M \
  --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --buffer_compress_percentage=60 --randseed="${VSWAP_TEST_SEED:-42}" \
  --output="$run_dir/fio.out" || fail "$(cat "$run_dir/fio.out")"
fio --name=mixed --ioengine=nbd "--uri=$uri" --rw=randrw --bs=4k --size=128M --io_size=48M --iodepth=32 --verify=crc32c \
  --verify_fatal=1 --verify_state_save=0 --verify_backlog=256 --buffer_compress_percentage=60 --randseed="${VSWAP_TEST_SEED:-43}" \
  --output="$run_dir/fio.out" || fail "$(cat "$run_dir/fio.out")"
grep -q 'err= 0' "$run_dir/fio.out" || fail "$(cat "$run_dir/fio.out")"
# Both tiers were needed.
[[ $(status_of 's["spaces"][0]["compressed_pages"] > 0 and s["spaces"][0]["physical_pages"] > 0') == True ]] ||
  fail "one tier was never used: $(status_json)"
fio --name=trim --ioengine=nbd "--uri=$uri" --rw=trim --bs=1M --size=128M --output="$run_dir/fio.out" ||
  fail "$(cat "$run_dir/fio.out")"
expect_empty
