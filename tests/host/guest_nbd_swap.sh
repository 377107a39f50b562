#!/usr/bin/env bash
# The same as guest_swap.sh with the kernel's own NBD client, on two TCP connections, and with a kernel that swaps folios
# of several pages out as a whole. nbdkit's log of requests shows what arrived.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

image=$root/build/guest-nbd
"$root/tests/host/guest/build.sh" --kernel linux-image-6.12-cloud-amd64 --nbd-client "$image"
start_small_vswapd
port=$(free_port)
uri=nbd://127.0.0.1:$port
requests=$run_dir/requests.log
nbdkit_options=(-i 127.0.0.1 -p "$port" --filter=log)
start_nbdkit size=256M "logfile=$requests"
swap_in_guest --image "$image" --port "$port" --connections 2 --timeout 1000

grep -aEq '^guest: folios of [0-9]+ KiB: [1-9]' "$run_dir/console.log" || fail "the kernel swapped out single pages only"

# The log has a line as each request begins: "... connection=N OPERATION id=N offset=N count=0xBYTES ...".
# Connections 1 and 2 are the kernel's. Its first trim is swapon's, of the whole device.
summary=$(sed -nE 's/.* connection=([12]) (Read|Write|Trim) .* count=(0x[0-9a-f]+).*/\1 \2 \3/p' "$requests" | python3 -c '
import collections, sys
sizes = collections.defaultdict(list)
for line in sys.stdin:
    connection, operation, count = line.split()
    sizes[connection, operation].append(int(count, 16) // 4096)
for connection in "12":
    for operation in "Read", "Write":
        pages = sizes[connection, operation]
        print(f"connection {connection}: {operation} {len(pages)} requests, {sum(pages)} pages, at most {max(pages, default=0)}")
trims = sizes["1", "Trim"] + sizes["2", "Trim"]
trims.remove(max(trims))
print(f"freed slots: Trim {len(trims)} requests, {sum(trims)} pages")')
echo "$summary"
! grep -q ' 0 requests' <<< "$summary" || fail "nothing came on one of the connections, or no trim"
[[ $(grep -c ' Connect ' "$requests") -eq 3 ]] || fail "a connection was made anew"  # the third is qemu-io's
