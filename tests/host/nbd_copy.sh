#!/usr/bin/env bash
# A sparse file through the device both ways: the bytes come back, the holes stay holes, a trim gives everything back.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

start_vswapd --memory-max 32MiB --capacity-pages 65536
start_nbdkit size=256M
# 256 MiB with 24 MiB of data in three places: text, noise, and half of each.
truncate -s 256M "$run_dir/sparse"
seq 1 2000000 > "$run_dir/text"
dd if="$run_dir/text" of="$run_dir/sparse" bs=1M seek=3 count=8 conv=notrunc status=none
dd if=/dev/urandom of="$run_dir/sparse" bs=1M seek=100 count=8 conv=notrunc status=none
dd if="$run_dir/text" of="$run_dir/sparse" bs=1M seek=200 count=4 conv=notrunc status=none
dd if=/dev/urandom of="$run_dir/sparse" bs=1M seek=204 count=4 conv=notrunc status=none

nbdcopy "$run_dir/sparse" "$uri"
nbdcopy "$uri" "$run_dir/copy"
cmp "$run_dir/sparse" "$run_dir/copy"
kib=$(du -k "$run_dir/copy" | cut -f1)
[[ $kib -le 26624 ]] || fail "the copy takes $kib KiB, its data only 24576: holes were lost"

held=$(status_of 's["spaces"][0]["compressed_pages"] + s["spaces"][0]["physical_pages"]')
[[ $held -eq 6144 ]] || fail "$held pages held, 6144 expected"
disk=$(status_of 's["spaces"][0]["physical_pages"]')
[[ $disk -ge 3072 ]] || fail "$disk pages on disk: 3072 do not compress"
nbdinfo --map --totals "$uri" | grep -q 'data' || fail "no data in the map"
data=$(nbdinfo --map "$uri" | awk '$3 == 0 {sum += $2} END {print sum}')
[[ $data -eq $((24 << 20)) ]] || fail "the map tells $data bytes of data"

# nbdcopy trims where the source is a hole.
truncate -s 256M "$run_dir/hole"
nbdcopy --destination-is-zero "$run_dir/hole" "$uri"
[[ $(status_of 's["spaces"][0]["compressed_pages"] + s["spaces"][0]["physical_pages"]') -eq 6144 ]] ||
  fail "a copy that knows of zeros has written"
nbdcopy "$run_dir/hole" "$uri"
nbdcopy "$uri" "$run_dir/copy"
cmp "$run_dir/hole" "$run_dir/copy"
expect_empty
