#!/usr/bin/env bash
# Makes what the guest boots from: DIR/vmlinuz, DIR/initramfs.gz and DIR/verify. The kernel is Debian's package,
# downloaded once for DIR and unpacked, not installed. With --nbd-client the guest can be an NBD client itself.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
modules=(virtio_pci virtio_blk)

fail() {
  echo "guest/build.sh: $*" >&2
  exit 1
}

kernel=linux-image-cloud-amd64
programs=()
while [[ $# -gt 1 ]]; do
  case $1 in
    --kernel) kernel=$2 && shift ;;
    --nbd-client)
      modules+=(virtio_net nbd)
      programs+=(/usr/sbin/nbd-client)
      ;;
    *) break ;;
  esac
  shift
done
if [[ $# -ne 1 || $1 == -* ]]; then
  echo "usage: $0 [--kernel PACKAGE (default linux-image-cloud-amd64)] [--nbd-client] DIR" >&2
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)

# One at a time: the demo and the tests share the folder.
exec 9> "$out/lock"
flock 9

# The versioned package behind $kernel.
kernel_package() {
  apt-cache depends --no-suggests --no-recommends "$kernel" |
    awk '/Depends: linux-image-[0-9]/ {print $2; exit}'
}

fetch_kernel() {
  local package
  package=$(kernel_package)
  [[ -n $package ]] || fail "apt knows no $kernel; run apt-get update"
  rm -rf "$out/kernel" && mkdir -p "$out/download"
  (cd "$out/download" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
    fail "cannot download $package"
  dpkg-deb -x "$out/download/$package"_*.deb "$out/kernel.part"
  rm -rf "$out/download"
  mv "$out/kernel.part" "$out/kernel"
}

[[ -d $out/kernel/boot ]] || fetch_kernel
version=$(basename "$out"/kernel/lib/modules/*)
cp "$out/kernel/boot/vmlinuz-$version" "$out/vmlinuz"

g++ -std=c++20 -O2 -static -Wall -Wextra -Wshadow -Wconversion -Werror -o "$out/verify" "$here/verify.cc"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,modules}
cp /bin/busybox "$root/bin/busybox"
cp "$out/verify" "$root/verify"
# With their shared libraries, each where the program looks for it.
for program in "${programs[@]}"; do
  cp "$program" "$root/bin/"
  ldd "$program" | grep -o '/[^ ]*' | xargs -I{} cp --dereference --parents {} "$root/"
done
install -m 755 "$here/init" "$root/init"
depmod -b "$out/kernel" "$version"
modprobe -d "$out/kernel" -S "$version" --show-depends -a "${modules[@]}" |
  awk '$1 == "insmod" && !seen[$2]++ {print $2}' |
  while read -r path; do
    cp "$path" "$root/modules/"
    [[ $path != *.xz ]] || xz -d "$root/modules/${path##*/}"
    basename "$path" .xz >> "$root/modules/order"
  done
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) > "$out/initramfs.gz.part"
mv "$out/initramfs.gz.part" "$out/initramfs.gz"
