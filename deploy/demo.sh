#!/usr/bin/env bash
# Builds vswap, starts it, and lets a small Linux guest swap on it; or moves a file through a device.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat << END
usage: deploy/demo.sh [--file PATH] [--keep] [--no-install]

Installs what is missing, builds, starts the service and a device on it, boots a small Linux guest in QEMU
whose swap is that device, and checks every page that the guest got back. Takes under three minutes after the
build. Does not turn on swap on this machine.

  --file PATH    copy this file into the device and back, and compare, in place of the guest
  --keep         leave service and device up at the end, and print how to use them
  --no-install   do not install packages
END
}

file="" keep=no install=yes
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --keep) keep=yes ;;
    --no-install) install=no ;;
    --file)
      [[ $# -ge 2 && -f $2 && -r $2 ]] || {
        echo "deploy/demo.sh: --file: '${2:-}' is not a file that can be read" >&2
        exit 2
      }
      file=$(realpath "$2")
      shift
      ;;
    *)
      echo "deploy/demo.sh: unknown option $1 (--help)" >&2
      exit 2
      ;;
  esac
  shift
done

# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
# shellcheck source=deploy/lib/service.sh
source "$root/deploy/lib/service.sh"

watcher_pid="" guest_pid=""
clean_up() {
  local status=$?
  trap '' INT TERM
  stop_pid "$watcher_pid" 5
  stop_pid "$guest_pid" 5
  if [[ $keep == yes && $status -eq 0 ]]; then
    explain_kept
  else
    stop_service
  fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

explain_kept() {
  disown -a
  cat << END

Left running, in $run_dir:
  the service at $VSWAP_LISTEN, metrics at http://$VSWAP_METRICS/metrics
  the device at nbd+unix:///?socket=$run_dir/nbd.sock
Look:  $bin/vswapctl --frontend $VSWAP_LISTEN status
       nbdinfo --map --totals 'nbd+unix:///?socket=$run_dir/nbd.sock'
Use:   nbdcopy FILE 'nbd+unix:///?socket=$run_dir/nbd.sock'     (a length of whole pages of 4096 bytes)
Stop:  kill $nbdkit_pid; sleep 1; kill $vswapd_pid; tail --pid=$vswapd_pid -f /dev/null; rm -r $run_dir
END
}

# One line on what the service holds and has done. With the average latency of loads since the start.
show_progress() {
  curl -sf "http://$VSWAP_METRICS/metrics" | awk '
    /^#/ {next}
    {v[$1] = $2}
    /^vswap_request_seconds_sum{.*op="load"/ {seconds += $2}
    /^vswap_request_seconds_count{.*op="load"/ {loads += $2}
    /^vswap_stores_total/ {out += $2}
    /^vswap_loads_total/ {back += $2}
    END {
      zero = v["vswap_pages{backing=\"zero\"}"]
      ram = v["vswap_pages{backing=\"compressed\"}"]
      disk = v["vswap_pages{backing=\"physical\"}"]
      bytes = v["vswap_stored_bytes{backing=\"compressed\"}"] + v["vswap_stored_bytes{backing=\"physical\"}"]
      printf "         vswap: pages out %d, in %d | held: %d zero, %d compressed, %d on disk | ratio %s | load %s ms\n",
        out, back, zero, ram, disk, (bytes > 0 ? sprintf("%.2f", (ram + disk) * 4096 / bytes) : "-"),
        (loads > 0 ? sprintf("%.2f", seconds / loads * 1000) : "-")
    }'
}

watch_progress() {
  trap 'exit 0' TERM
  while sleep 3 & wait $!; do
    show_progress || true
  done
}

swap_in_guest() {
  echo "== preparing the guest"
  "$root/tests/host/guest/build.sh" "$root/build/guest"
  echo "== a guest with 144 MiB of memory swaps on vswap"
  watch_progress &
  watcher_pid=$!
  "$root/tests/host/guest/boot.sh" --image "$root/build/guest" --socket "$run_dir/nbd.sock" \
    --log "$run_dir/console.log" &
  guest_pid=$!
  local status=0
  wait "$guest_pid" || status=$?
  guest_pid=""
  stop_pid "$watcher_pid" 5
  watcher_pid=""
  show_progress
  [[ $status -eq 0 ]] || fail "the guest failed"
  grep -ao 'wrong=[0-9]* checked=[0-9]*' "$run_dir/console.log" | tail -1 > "$run_dir/result"
}

copy_file() {
  local uri="nbd+unix:///?socket=$run_dir/nbd.sock" bytes
  bytes=$(stat -c %s "$file")
  echo "== $file ($bytes bytes) goes into the device and back"
  # The device takes whole pages only.
  cp --sparse=always -- "$file" "$run_dir/padded"
  truncate -s %4096 "$run_dir/padded"
  nbdcopy -- "$run_dir/padded" "$uri"
  show_progress
  # The device is longer than the file: what follows it must be zeros.
  nbdcopy -- "$uri" "$run_dir/copy"
  cmp -n "$bytes" -- "$file" "$run_dir/copy" || fail "the copy differs"
  tail -c "+$((bytes + 1))" "$run_dir/copy" | cmp -s -- - <(head -c "$(($(stat -c %s "$run_dir/copy") - bytes))" /dev/zero) ||
    fail "zeros expected behind the copy"
  echo "wrong=0 checked=$(((bytes + 4095) / 4096))" > "$run_dir/result"
}

[[ $install == no ]] || install_packages
build_preset release

make_run_dir
device_bytes=$((1 << 30))
if [[ -n $file ]]; then
  device_bytes=$((($(stat -c %s "$file") / 4096 + 256) * 4096))
fi
echo "== starting the service and a device"
start_vswapd --memory-max 256MiB --capacity-pages $((device_bytes / 4096))
start_nbdkit "size=$device_bytes"
echo "service $VSWAP_LISTEN, metrics http://$VSWAP_METRICS/metrics"

if [[ -n $file ]]; then
  copy_file
else
  swap_in_guest
fi

echo
echo "== what it did"
"$bin/vswapctl" --frontend "$VSWAP_LISTEN" status
wrong=$(sed -n 's/wrong=\([0-9]*\).*/\1/p' "$run_dir/result")
checked=$(sed -n 's/.*checked=\([0-9]*\).*/\1/p' "$run_dir/result")
[[ -n $wrong && ${checked:-0} -gt 0 ]] || fail "no result"
echo "$checked pages checked"
echo "$wrong wrong pages"
[[ $wrong -eq 0 ]]
