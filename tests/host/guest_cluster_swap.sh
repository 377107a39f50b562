#!/usr/bin/env bash
# A kernel swaps on a cluster (QEMU's NBD client, virtio-blk; with --kernel-client its own, over TCP) while front-ends
# and a compressor are killed, a compressor's machine is lost and a store is drained, one after the other; every page
# is checked, and none is lost.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cluster() { "$root/deploy/cluster.sh" "$1" --dir "$run_dir/cluster" "${@:2}"; }
trap 'stop_pid "$guest_pid" 10; stop_nbdkit; cluster down > /dev/null || true; stop_service' EXIT

image=$root/build/guest
build=() device=(--socket "$run_dir/nbd.sock")
if [[ ${1:-} == --kernel-client ]]; then
  image=$root/build/guest-nbd
  build=(--kernel linux-image-6.12-cloud-amd64 --nbd-client)
  port=$(free_port)
  nbdkit_options=(-i 127.0.0.1 -p "$port")
  device=(--port "$port" --timeout 1000)
fi
"$root/tests/host/guest/build.sh" "${build[@]}" "$image"
cluster up --frontends 2 --compressors 3 --stores 3 --memory-max 24MiB --shards 16
# shellcheck source=/dev/null
source "$run_dir/cluster/cluster.env"
VSWAP_LISTEN=$VSWAP_FRONTENDS
start_nbdkit size=256M

# What befalls the cluster as the guest goes on. Each waits until all has its copies again.
cat > "$run_dir/faults.sh" << END
set -euo pipefail
cluster() { "$root/deploy/cluster.sh" "\$1" --dir "$run_dir/cluster" "\${@:2}"; }
ctl() { "$bin/vswapctl" --frontend "${VSWAP_FRONTENDS#*,}" "\$@"; }
await_copies() {
  sleep 2
  for ((i = 0; i < 300; ++i)); do
    [[ \$(cluster status | tail -1) != "redundancy: full" ]] || return 0
    sleep 0.2
  done
  cluster status >&2
  exit 1
}
case \$1 in
  filled)
    cluster kill frontend/1
    sleep 3
    cluster restart frontend/1
    ;;
  freed)
    cluster kill compressor/1
    sleep 3
    cluster restart compressor/1
    ;;
  forked) timeout 60 "$bin/vswapctl" --frontend "${VSWAP_FRONTENDS#*,}" drain store-1 --wait ;;
  round-1)
    cluster destroy compressor/2
    sleep 3
    cluster restart compressor/2
    ;;
  swapoff) cluster kill frontend/1 ;;
esac
[[ \$1 == swapoff ]] || await_copies
END
hooks=()
for point in filled freed forked round-1 swapoff; do
  hooks+=(--on "$point" "bash '$run_dir/faults.sh' $point")
done
"$root/tests/host/guest/boot.sh" --image "$image" "${device[@]}" --log "$run_dir/console.log" --mib 100 \
  --seed "${VSWAP_TEST_SEED:-1}" "${hooks[@]}" &
guest_pid=$!
wait "$guest_pid" || fail "the guest failed"
guest_pid=""

cluster restart frontend/1
spaces=$("$bin/vswapctl" --frontend "${VSWAP_FRONTENDS#*,}" spaces --output json)
[[ $(python3 -c 'import json, sys; print(sum(s["lost_pages"] for s in json.load(sys.stdin)))' <<< "$spaces") == 0 ]] ||
  fail "pages were lost: $spaces"
"$bin/vswapctl" --frontend "${VSWAP_FRONTENDS#*,}" jobs | tee "$run_dir/jobs"
grep -Eq '^drain store-1 +done ' "$run_dir/jobs" || fail "the store was not emptied"
