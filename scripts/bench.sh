#!/usr/bin/env bash
# Measures. `bench.sh instructions`: what one operation costs the stack, counted by callgrind, which
# gives the same number each time. Writes build/bench/instructions.json and prints a table.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  echo "usage: scripts/bench.sh [instructions] [--count N]" >&2
  echo "  instructions   instructions per request-response, connection, received and sent MSS (default)" >&2
  echo "  --count N      operations of the shorter run (default 2000); the longer one has 2 N" >&2
  exit 2
}

count=2000
while (($#)); do
  case $1 in
    instructions) ;;
    --count) count=${2:?"--count needs a number"}; shift ;;
    *) usage ;;
  esac
  shift
done
command -v valgrind >/dev/null || { echo "bench.sh: valgrind is missing: apt-get install valgrind" >&2; exit 1; }

build="build-release"
[[ -f $build/build.ninja ]] || meson setup "$build" --buildtype=release >/dev/null
ninja -C "$build" bench/engine/bench_engine >/dev/null
program=$build/bench/engine/bench_engine
mkdir -p build/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# instructions OPERATION N: executed in one turn of the poll loop, receive to publish.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file="$work/out" --collect-atstart=no \
    --toggle-collect='sluice::bench::BenchHost::run(*' \
    "$program" "$1" "$2" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  awk '/^summary:|^totals:/ { print $2; exit }' "$work/out"
}

declare -A what=(
  [rr64]="request and response of 64 octets"
  [connection]="handshake and teardown"
  [receive]="received MSS (1448 octets)"
  [send]="sent MSS (1448 octets)"
)
printf '%-40s %14s\n' "operation" "instructions"
entries=()
for operation in rr64 connection receive send; do
  short=$(instructions "$operation" "$count")
  long=$(instructions "$operation" $((2 * count)))
  each=$(((long - short) / count))
  printf '%-40s %14d\n' "${what[$operation]}" "$each"
  entries+=("$(printf '{"name":"engine.instructions_per_%s","unit":"instructions","median":%d,"min":%d,"max":%d,"runs":1,"command":"scripts/bench.sh instructions --count %d"}' \
    "$operation" "$each" "$each" "$each" "$count")")
done
(IFS=,; printf '[%s]\n' "${entries[*]}") >build/bench/instructions.json
echo "build/bench/instructions.json written"
