#!/usr/bin/env bash
# That the one package list holds what the binaries link: each shared library must come from a listed package or from one that a listed one needs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
mapfile -t listed < <(listed_packages)
apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "${listed[@]}" |
  grep '^[a-z0-9]' | sort -u > /tmp/vswap-closure.$$
trap 'rm -f /tmp/vswap-closure.$$' EXIT
status=0
for binary in "$root"/build/release/bin/*; do
  while read -r library; do
    package=$(dpkg -S "$(realpath "$library")" 2> /dev/null | head -1 | cut -d: -f1)
    [[ -n $package ]] || package=$(dpkg -S "/usr$(realpath "$library")" 2> /dev/null | head -1 | cut -d: -f1)
    if ! grep -qx "$package" /tmp/vswap-closure.$$; then
      echo "$binary needs $library of '$package', which no listed package brings" >&2
      status=1
    fi
  done < <(ldd "$binary" | awk '$2 == "=>" {print $3}')
done
# The commands that scripts use, each with a file of a listed package.
for command in nbdkit nbdcopy nbdinfo qemu-system-x86_64 qemu-io fio curl python3 cpio depmod dpkg-deb cmake ninja ccache g++ protoc; do
  path=$(command -v "$command") || { echo "$command is not installed" >&2; status=1; continue; }
  package=$(dpkg -S "$path" 2> /dev/null | head -1 | cut -d: -f1)
  [[ -n $package ]] || package=$(dpkg -S "$(realpath "$path")" 2> /dev/null | head -1 | cut -d: -f1)
  [[ -n $package ]] || package=$(dpkg -S "${path#/usr}" 2> /dev/null | head -1 | cut -d: -f1)
  grep -qx "$package" /tmp/vswap-closure.$$ || { echo "$command of '$package' is not brought by the list" >&2; status=1; }
done
exit $status
