#!/usr/bin/env bash
# Boots the guest that build.sh made, with an NBD export as its swap device, and judges the outcome.
set -euo pipefail

usage() {
  cat << END
usage: $0 --image DIR (--socket PATH | --port PORT) [options]

  --image DIR         what build.sh made
  --socket PATH       unix socket of the NBD server: QEMU connects, the guest has a virtio disk
  --port PORT         its TCP port on 127.0.0.1: the guest's own kernel connects (build.sh --nbd-client)
  --export NAME       NBD export (default: the empty name)
  --connections N     of the guest's kernel to --port; also its virtual processors, one for each (default 1)
  --log PATH          the guest's console (default DIR/console.log)
  --mib N             memory under test in MiB (default 112; the guest has 144 MiB)
  --rounds N          rounds of rewriting and discarding (default 1)
  --seed N            seed of the pages' content and order (default 1)
  --timeout SECONDS   power off by force after this time (default 280)
  --on POINT COMMAND  run COMMAND (by bash -c) when the guest reports the progress point: start, filled, freed,
                      forked, round-N, child-done, swapoff; may be given several times
  --accel ACCEL       auto, kvm or tcg (default \$VSWAP_GUEST_ACCEL or auto: kvm if a guest boots on it)

Prints the guest's lines. Exit status 0: no wrong page, swap was used, swapoff succeeded, every COMMAND did too.
END
}

fail() {
  echo "guest/boot.sh: $*" >&2
  exit 1
}

memory_mib=144
image="" socket="" port="" connections=1 export_name="" log="" mib=112 rounds=1 seed=1 timeout_s=280
accel=${VSWAP_GUEST_ACCEL:-auto}
declare -A hooks=()
while [[ $# -gt 0 ]]; do
  if [[ $1 == --help || $1 == -h ]]; then
    usage
    exit 0
  fi
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case $1 in
    --image) image=$2 ;;
    --socket) socket=$2 ;;
    --port) port=$2 ;;
    --connections) connections=$2 ;;
    --export) export_name=$2 ;;
    --log) log=$2 ;;
    --mib) mib=$2 ;;
    --rounds) rounds=$2 ;;
    --seed) seed=$2 ;;
    --timeout) timeout_s=$2 ;;
    --accel) accel=$2 ;;
    --on)
      [[ $# -ge 3 ]] || fail "--on needs a progress point and a command"
      hooks[$2]=$3
      shift
      ;;
    *) fail "unknown option $1 (--help)" ;;
  esac
  shift 2
done
[[ -f $image/initramfs.gz ]] || fail "--image: no guest in '$image'; run build.sh"
[[ -n $port || -S $socket ]] || fail "--socket: '$socket' is not a socket"
log=${log:-$image/console.log}

common=(-nodefaults -no-user-config -display none -no-reboot -smp "$connections" -m "$memory_mib"
  -kernel "$image/vmlinuz" -initrd "$image/initramfs.gz")
cmdline="console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off tsc=reliable"

# A /dev/kvm proves nothing: on some nested machines guests hang on it. Tried once a boot of this machine.
kvm_works() {
  [[ -w /dev/kvm ]] || return 1
  local boot_id known=$image/kvm
  boot_id=$(cat /proc/sys/kernel/random/boot_id)
  if [[ ! -f $known ]] || ! grep -q "^$boot_id " "$known"; then
    local works=no
    if timeout --kill-after=1 8 qemu-system-x86_64 -accel kvm "${common[@]}" -serial stdio \
      -append "$cmdline trial=1" < /dev/null 2> /dev/null | grep -q "guest: trial ok"; then
      works=yes
    fi
    echo "$boot_id $works" > "$known"
  fi
  grep -q "^$boot_id yes" "$known"
}

if [[ $accel == auto ]]; then
  accel=tcg
  if kvm_works; then
    accel=kvm
  fi
fi

if [[ -n $port ]]; then
  # On QEMU's user network 10.0.2.2 is this machine's loopback.
  swap_device=(-netdev "user,id=net" -device "virtio-net-pci,netdev=net,romfile=")
  cmdline+=" nbd=10.0.2.2,$port,-connections,$connections${export_name:+,-name,$export_name}"
else
  swap_device=(-blockdev "driver=nbd,node-name=swap,server.type=unix,server.path=$socket,export=$export_name,cache.direct=on,discard=unmap"
    -device "virtio-blk-pci,drive=swap,logical_block_size=4096,physical_block_size=4096")
fi

: > "$log"
started=$SECONDS
# One virtual processor where one will do: under TCG two are slower. The kernel's NBD client uses a connection for each.
# Pages reach the NBD server as the guest's kernel sends them.
timeout --kill-after=2 "$timeout_s" qemu-system-x86_64 -accel "$accel" "${common[@]}" -serial "file:$log" \
  "${swap_device[@]}" -append "$cmdline verify=-m,$mib,-r,$rounds,-s,$seed" < /dev/null &
qemu=$!
trap 'kill "$qemu" 2> /dev/null || true; wait "$qemu" 2> /dev/null || true' EXIT
trap 'exit 130' INT TERM

echo "guest: booting on $accel"
hook_failed=""
while IFS= read -r line; do
  line=${line%$'\r'}
  printf '[%3d s] %s\n' $((SECONDS - started)) "$line"
  point=${line#progress }
  if [[ $line == progress\ * && -n ${hooks[$point]:-} ]]; then
    bash -c "${hooks[$point]}" || hook_failed=$point
  fi
done < <(tail -n +1 -s 0.2 -f --pid="$qemu" "$log")

status=0
wait "$qemu" || status=$?
[[ $status -eq 0 ]] || fail "the guest did not power off (status $status); see $log"
[[ -z $hook_failed ]] || fail "the command at progress point $hook_failed failed"
grep -aq '^RESULT wrong=0 checked=[1-9][0-9]* child=ok swapoff=ok' "$log" || fail "wrong pages or no result; see $log"
grep -aEq '^guest: verify exit=0 pswpin=[1-9][0-9]* pswpout=[1-9][0-9]* swaps=0' "$log" ||
  fail "the guest did not swap, or its swap is still on; see $log"
