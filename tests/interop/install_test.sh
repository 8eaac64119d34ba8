#!/bin/sh
# Installs into a directory of its own, builds a small server outside the tree with what pkg-config
# says, and has it answer a SYN. Usage: install_test.sh BUILD_DIR
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
# It serves: the SYN of the capture is answered (cases/replay.py says what is in it).
./server --device "net_pcap0,rx_pcap=$here/data/replay.pcap,tx_pcap=$work/out.pcap" --address 10.99.0.2/24 \
  --mac 02:00:00:00:00:02 --listen 7 --instance "install.$$" --exit-when-idle 500ms --drain-timeout 0s >"$work/log" 2>&1 ||
  [ $? -eq 3 ] || { cat "$work/log"; echo "FAIL: the server did not end in good order"; exit 1; }
PYTHONPATH="$here" PYTHONDONTWRITEBYTECODE=1 python3 - "$work/out.pcap" <<'END' || { cat "$work/log"; echo "FAIL: no SYN-ACK from port 7"; exit 1; }
import sys
from frames import ACK, SYN, parse_tcp, read_pcap
answers = [parse_tcp(frame) for frame in read_pcap(sys.argv[1])]
sys.exit(not any(each and each["flags"] & (SYN | ACK) == SYN | ACK and each["source_port"] == 7 for each in answers))
END
for program in sluice-echo sluice-httpd sluice-load sluicectl; do
  "$(find "$work/root" -type f -name "$program")" --version ||
    { echo "FAIL: $program was not installed or does not run"; exit 1; }
done
echo "install test passed"
