#!/usr/bin/env bash
# That the one package list holds what the binaries link: each shared library must come from a listed package or from one that a listed one needs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib/install.sh
source "$root/deploy/lib/install.sh"
closure=$(mktemp)
trap 'rm -f "$closure"' EXIT
mapfile -t listed < <(listed_packages)
apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "${listed[@]}" |
  grep '^[a-z0-9]' | sort -u > "$closure"
PATH=/usr/sbin:/usr/bin:/sbin:/bin  # Debian's own

# owner PATH: the package that brings the file; dpkg may know it by its name from before /usr was merged.
owner() {
  local path
  path=$(realpath "$1")
  { dpkg -S "$path" || dpkg -S "${path#/usr}" || dpkg -S "$1" || dpkg -S "/usr$1"; } 2> /dev/null |
    head -1 | cut -d: -f1
}

status=0
while read -r library; do
  package=$(owner "$library" || true)
  if ! grep -qx "$package" "$closure"; then
    echo "the binaries need $library of '$package', which no listed package brings" >&2
    status=1
  fi
done < <(ldd "$root"/build/release/bin/* | awk '$2 == "=>" {print $3}' | sort -u)
# The commands that scripts use, each with a file of a listed package.
for command in etcd nbdkit nbdcopy nbdinfo qemu-system-x86_64 qemu-io nbd-client fio curl python3 cpio depmod dpkg-deb cmake ninja ccache g++ protoc; do
  path=$(command -v "$command") || { echo "$command is not installed" >&2; status=1; continue; }
  package=$(owner "$path" || true)
  grep -qx "$package" "$closure" || { echo "$command of '$package' is not brought by the list" >&2; status=1; }
done
exit $status
