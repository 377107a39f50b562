#!/usr/bin/env bash
# A kernel swaps on the device (QEMU's NBD client, virtio-blk), the service is killed meanwhile, every page is checked;
# after swapoff and a discard of the device nothing is left behind.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/tests/host/guest/build.sh" "$root/build/guest"
start_vswapd --memory-max 24MiB --capacity-pages 65536
start_nbdkit size=256M
"$root/tests/host/guest/boot.sh" --image "$root/build/guest" --socket "$run_dir/nbd.sock" --log "$run_dir/console.log" \
  --mib 100 --seed "${VSWAP_TEST_SEED:-1}" --on forked "touch $run_dir/kill" --on swapoff "touch $run_dir/kill" &
guest=$!
# In this shell, which has to know the new pid.
while kill -0 "$guest" 2> /dev/null; do
  if [[ -e $run_dir/kill ]]; then
    rm "$run_dir/kill"
    kill -9 "$vswapd_pid"
    wait "$vswapd_pid" 2> /dev/null || true
    start_vswapd --memory-max 24MiB --capacity-pages 65536
  fi
  sleep 0.1
done
wait "$guest" || fail "the guest failed"

stored=$(curl -sf "http://$VSWAP_METRICS/metrics" | awk '/^vswap_pages/ {sum += $2} END {print sum}')
echo "$stored slots held after swapoff"
qemu-io -f raw -c "discard 0 256M" "$uri" > /dev/null
expect_empty
