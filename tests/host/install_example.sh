#!/usr/bin/env bash
# What is installed is enough to build a program with libvswap, by CMake and by pkg-config, and it runs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prefix=$run_dir/prefix
example=$root/client/example

cmake --install "$root/build/release" --prefix "$prefix" > "$run_dir/install.log" || fail "$(tail "$run_dir/install.log")"
libdir=$(dirname "$(find "$prefix" -name libvswap.a)")
for file in bin/vswapd bin/vswapctl bin/vswap-bench include/vswap/client/swap_client.h; do
  [[ -e $prefix/$file ]] || fail "$file is not installed"
done
nbdkit "$libdir/nbdkit/plugins/nbdkit-vswap-plugin.so" --dump-plugin > "$run_dir/dump" || fail "the installed plugin"
# Nothing of this tree is in what a user includes or reads, and no header needs one that is not there.
if grep -rlF "$root" "$prefix/include" "$libdir/cmake" "$libdir/pkgconfig"; then
  fail "paths of the source tree are installed"
fi

# Elsewhere than where it was installed, too.
mv "$prefix" "$run_dir/moved"
prefix=$run_dir/moved
libdir=$(dirname "$(find "$prefix" -name libvswap.a)")
export PKG_CONFIG_PATH=$libdir/pkgconfig

cp -r "$example" "$run_dir/example"
by_cmake() {
  cmake -S "$run_dir/example" -B "$run_dir/by_cmake" -DCMAKE_PREFIX_PATH="$prefix" &&
    cmake --build "$run_dir/by_cmake"
}
by_cmake > "$run_dir/cmake.log" 2>&1 || fail "by CMake: $(tail "$run_dir/cmake.log")"
read -ra flags <<< "$(pkg-config --cflags --libs vswap)"
g++ -std=c++20 -Wall -Wextra "$run_dir/example/example.cc" "${flags[@]}" -o "$run_dir/by_pkg_config" ||
  fail "by pkg-config"

bin=$prefix/bin
start_vswapd --memory-max 4MiB --capacity-pages 256
for program in "$run_dir/by_cmake/example" "$run_dir/by_pkg_config"; do
  "$program" "$VSWAP_LISTEN" > "$run_dir/out" 2>&1 || fail "$program: $(cat "$run_dir/out")"
  for line in 'open: ok' '16 entries from offset' 'store: ok' 'load: ok' 'duplicate: ok' \
    '16 references dropped' 'load: not_found' 'close: ok'; do
    grep -qF -- "$line" "$run_dir/out" || fail "$program does not say '$line': $(cat "$run_dir/out")"
  done
done
expect_empty
