#!/bin/sh
# Installs into a directory of its own, builds a small server outside the tree with what pkg-config
# says, and runs its --help. Usage: install_test.sh BUILD_DIR
set -eu

build=${1:?usage: install_test.sh BUILD_DIR}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

DESTDIR="$work/root" meson install -C "$build" --no-rebuild >"$work/install.log" 2>&1 ||
  { cat "$work/install.log"; exit 1; }
pc=$(find "$work/root" -name sluice.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR="$work/root"
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cflags=$(pkg-config --cflags sluice)
libs=$(pkg-config --libs sluice)
echo "pkg-config: $cflags $libs"
case "$cflags $libs" in
  *dpdk* | *rte_* | *-march*) echo "FAIL: sluice.pc shows DPDK's flags"; exit 1 ;;
esac

cp "$here/outside_server.cpp" "$work/server.cpp"
cd "$work"
# shellcheck disable=SC2086  # flags are words
c++ -std=c++20 -Wall -Wextra -Werror $cflags server.cpp -o server $libs
LD_LIBRARY_PATH=$(dirname "$(find "$work/root" -name 'libsluice.so' | head -n 1)")
export LD_LIBRARY_PATH
./server --help | grep -q -- '--device' || { echo "FAIL: --help does not name --device"; exit 1; }
./server --workers 0 2>"$work/error" && { echo "FAIL: --workers 0 was taken"; exit 1; }
grep -q -- '--workers 0: expected' "$work/error" || { cat "$work/error"; exit 1; }
for program in sluice-echo sluice-httpd sluice-load sluicectl; do
  "$(find "$work/root" -type f -name "$program")" --version ||
    { echo "FAIL: $program was not installed or does not run"; exit 1; }
done
echo "install test passed"
