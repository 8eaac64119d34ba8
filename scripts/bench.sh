#!/usr/bin/env bash
# Measures. `bench.sh instructions`: what one operation costs the stack, counted by callgrind, which
# gives the same number each time. `bench.sh gate`: what a listener under attack does a second on one
# core, the instructions of each, and what honest clients notice of a flood over net_tap and memif (as
# root). Writes build/bench/SUITE.json and prints tables.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  echo "usage: scripts/bench.sh [instructions|gate] [--count N] [--runs N] [--rounds N]" >&2
  echo "  instructions   instructions per request-response, connection, received and sent MSS (default)" >&2
  echo "  gate           SYNs answered by cookies, cookies taken, forged ACKs, strays: rates and instructions;" >&2
  echo "                 honest clients in a flood over net_tap and over memif, and the kernel's listener (root)" >&2
  echo "  --count N      operations of callgrind's shorter run (default 2000, gate 20480); the longer one has 2 N" >&2
  echo "  --runs N       of each rate (default 7)" >&2
  echo "  --rounds N     of each flood (default 5)" >&2
  exit 2
}

suite=instructions
count=""
runs=7
rounds=5
while (($#)); do
  case $1 in
    instructions | gate) suite=$1 ;;
    --count) count=${2:?"--count needs a number"}; shift ;;
    --runs) runs=${2:?"--runs needs a number"}; shift ;;
    --rounds) rounds=${2:?"--rounds needs a number"}; shift ;;
    *) usage ;;
  esac
  shift
done
command -v valgrind >/dev/null || { echo "bench.sh: valgrind is missing: apt-get install valgrind" >&2; exit 1; }

build="build-release"
[[ -f $build/build.ninja ]] || meson setup "$build" --buildtype=release >/dev/null
targets=(bench/engine/bench_engine)
[[ $suite == gate ]] && targets=(bench/engine/bench_gate bench/wire/bench_{flood,clients,kernel_echo,memif} apps/echo/sluice-echo apps/ctl/sluicectl)
ninja -C "$build" "${targets[@]}" >/dev/null
mkdir -p build/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# instructions N PROGRAM ARGUMENTS...: executed in turns of the poll loop, receive to publish.
instructions() {
  valgrind --tool=callgrind --callgrind-out-file="$work/out" --collect-atstart=no \
    --toggle-collect='sluice::bench::BenchHost::run(*' "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  awk '/^summary:|^totals:/ { print $2; exit }' "$work/out"
}

# entry NAME INSTRUCTIONS COMMAND
entry() {
  printf '{"name":"%s","unit":"instructions","median":%d,"min":%d,"max":%d,"runs":1,"command":"%s"}' "$1" "$2" "$2" "$2" "$3"
}

bench_instructions() {
  count=${count:-2000}
  local program=$build/bench/engine/bench_engine operation short long each entries=()
  declare -A what=(
    [rr64]="request and response of 64 octets"
    [connection]="handshake and teardown"
    [receive]="received MSS (1448 octets)"
    [send]="sent MSS (1448 octets)"
  )
  printf '%-40s %14s\n' "operation" "instructions"
  for operation in rr64 connection receive send; do
    short=$(instructions "$program" "$operation" "$count")
    long=$(instructions "$program" "$operation" $((2 * count)))
    each=$(((long - short) / count))
    printf '%-40s %14d\n' "${what[$operation]}" "$each"
    entries+=("$(entry "engine.instructions_per_$operation" "$each" "scripts/bench.sh instructions --count $count")")
  done
  (IFS=,; printf '[%s]\n' "${entries[*]}") >build/bench/instructions.json
}

bench_gate() {
  count=${count:-20480}
  local program=$build/bench/engine/bench_gate operation short long each entries=()
  "$program" --runs "$runs" --json "$work/rates.json" --command "scripts/bench.sh gate --runs $runs"
  printf '%-48s %10s\n' "" "instructions"
  for operation in syn_cookie syn_cookie_options cookie_ack_accept forged_ack_reject stray_capped; do
    short=$(instructions "$program" --operation "$operation" --count "$count")
    long=$(instructions "$program" --operation "$operation" --count $((2 * count)))
    each=$(((long - short) / count))
    printf '%-48s %10d\n' "$operation" "$each"
    entries+=("$(entry "gate.${operation}_instructions" "$each" "scripts/bench.sh gate --count $count")")
  done
  (IFS=,; printf '[%s]\n' "${entries[*]}") >"$work/instructions.json"
  python3 -c 'import json, sys
lists = [json.load(open(name, encoding="utf-8")) for name in sys.argv[1:3]]
json.dump(lists[0] + lists[1], open(sys.argv[3], "w", encoding="utf-8"), indent=1)' \
    "$work/rates.json" "$work/instructions.json" build/bench/gate.json
  echo
  # 77: it has said that it was skipped, and why.
  bench/wire/gate.py --build-dir "$build" --json build/bench/gate.json --rounds "$rounds" \
    --command "scripts/bench.sh gate --rounds $rounds" || { local status=$?; ((status == 77)) || exit "$status"; }
}

"bench_$suite"
echo "build/bench/$suite.json written"
