#!/usr/bin/env bash
# A kernel swaps on the device (QEMU's NBD client, virtio-blk), the service is killed meanwhile, every page is checked;
# after swapoff and a discard of the device nothing is left behind.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/tests/host/guest/build.sh" "$root/build/guest"
start_small_vswapd
start_nbdkit size=256M
swap_in_guest --image "$root/build/guest" --socket "$run_dir/nbd.sock"
