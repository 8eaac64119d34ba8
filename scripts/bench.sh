#!/usr/bin/env bash
# One entry point for all that is measured. Each suite writes build/bench/SUITE.json, a list of {name, unit, median, min,
# max, runs, command}, beside build/bench/machine.json, and prints its table.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat >&2 <<'END'
usage: scripts/bench.sh [SUITE...] [--count N] [--runs N] [--rounds N]
       scripts/bench.sh compare OLD.json NEW.json
       scripts/bench.sh report
  micro          flow table, timer wheel, checksums, parsing, building, hashing
  engine         the stack alone, its peer a replayer: rates, memory of a connection
  instructions   instructions per request-response, connection, received and sent MSS (what is run without a word)
  gate           SYNs answered by cookies, cookies taken, forged ACKs, strays: rates and instructions;
                 honest clients in a flood over net_tap and over memif, and the kernel's listener (root)
  wire           two processes, one core each, over memif, virtio-user and af_xdp (root)
  all            each of them in turn, then the report
  report         tables and pictures (PNG and SVG in build/bench/) of what was measured last
  compare        ratios of two results of one suite; marks what changed beyond the spread of both
  --count N      operations of callgrind's shorter run (default 2000, gate 20480); the longer one has 2 N
  --runs N       of each rate (default 7, micro 5)
  --rounds N     of each flood (default 5)
END
  exit 2
}

suites=()
count=""
runs=""
rounds=5
while (($#)); do
  case $1 in
    micro | engine | instructions | gate | wire) suites+=("$1") ;;
    all) suites+=(micro engine instructions gate wire report) ;;
    report) suites+=(report) ;;
    compare) (($# == 3)) || usage; exec bench/report/results.py compare "$2" "$3" ;;
    --count) count=${2:?"--count needs a number"}; shift ;;
    --runs) runs=${2:?"--runs needs a number"}; shift ;;
    --rounds) rounds=${2:?"--rounds needs a number"}; shift ;;
    *) usage ;;
  esac
  shift
done
((${#suites[@]})) || suites=(instructions)

build="build-release"
mkdir -p build/bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# need PROGRAM PACKAGE: or the suite cannot run.
need() {
  command -v "$1" >/dev/null || { echo "bench.sh: $1 is missing: apt-get install $2" >&2; exit 1; }
}

# build_targets TARGET...
build_targets() {
  [[ -f $build/build.ninja ]] || meson setup "$build" --buildtype=release >/dev/null
  ninja -C "$build" "$@" >"$work/build" || { cat "$work/build" >&2; exit 1; }
}

# alone COMMAND...: in a session of its own before all others (docs/measuring.md); without root as it is.
alone() {
  # shellcheck disable=SC2016  # the inner shell expands it
  setsid bash -c '{ echo -20 >/proc/self/autogroup; } 2>/dev/null || true; exec "$@"' alone "$@" &
  local child=$!
  # shellcheck disable=SC2064  # this very child, which no signal to our session reaches
  trap "kill $child 2>/dev/null" INT TERM
  wait "$child"
  trap - INT TERM
}

# script SUITE: bench/SUITE/SUITE.py measures and writes the JSON; 77 means that it was skipped and has said why.
script() {
  local program=bench/$1/$1.py
  [[ -x $program ]] || { echo "skipped: $1: $program is not here"; return 77; }
  "$program" --build-dir "$build" --json "build/bench/$1.json" ${runs:+--runs "$runs"} \
    --command "scripts/bench.sh $1${runs:+ --runs $runs}"
}

bench_micro() {
  build_targets bench/micro/bench_{micro,http}
  local program
  for program in bench_micro bench_http; do
    alone "$build/bench/micro/$program" --benchmark_repetitions="${runs:-5}" --benchmark_min_time=0.1 \
      --benchmark_format=json >"$work/$program.json"
  done
  bench/report/micro.py "scripts/bench.sh micro${runs:+ --runs $runs}" build/bench/micro.json "$work"/bench_{micro,http}.json
}

bench_engine() {
  build_targets bench/engine/bench_{engine,registers}
  script engine
}

bench_wire() {
  build_targets apps/httpd/sluice-httpd apps/load/sluice-load apps/ctl/sluicectl bench/wire/bench_{kernel_httpd,soak}
  script wire
}

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
  need valgrind valgrind
  build_targets bench/engine/bench_engine
  local count=${count:-2000}
  local program=$build/bench/engine/bench_engine operation short long each entries=()
  declare -A what=(
    [rr64]="request and response of 64 octets"
    [connection]="connection, from SYN to TIME-WAIT"
    [receive]="received MSS (1448 octets)"
    [send]="sent MSS (1448 octets)"
  )
  printf '%-40s %14s\n' "operation" "instructions"
  for operation in rr64 connection receive send; do
    # Requests of many connections in a burst, as under load.
    local options=()
    [[ $operation == rr64 ]] && options=(--open 64)
    short=$(instructions "$program" "$operation" "$count" "${options[@]}")
    long=$(instructions "$program" "$operation" $((2 * count)) "${options[@]}")
    each=$(((long - short) / count))
    printf '%-40s %14d\n' "${what[$operation]}" "$each"
    entries+=("$(entry "engine.instructions_per_${operation/connection/conn}" "$each" "scripts/bench.sh instructions --count $count")")
  done
  (IFS=,; printf '[%s]\n' "${entries[*]}") >build/bench/instructions.json
}

bench_gate() {
  need valgrind valgrind
  build_targets bench/engine/bench_gate bench/wire/bench_{flood,clients,kernel_echo,memif} apps/echo/sluice-echo apps/ctl/sluicectl
  local count=${count:-20480} runs=${runs:-7}
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
  bench/report/results.py merge build/bench/gate.json "$work/rates.json" "$work/instructions.json"
  echo
  # 77: it has said that it was skipped, and why.
  bench/wire/gate.py --build-dir "$build" --json build/bench/gate.json --rounds "$rounds" \
    --command "scripts/bench.sh gate --rounds $rounds" || { local status=$?; ((status == 77)) || exit "$status"; }
}

bench_report() {
  local results=()
  for suite in micro engine instructions gate wire; do
    [[ -f build/bench/$suite.json ]] && results+=("build/bench/$suite.json")
  done
  ((${#results[@]})) || { echo "bench.sh: nothing was measured yet" >&2; exit 1; }
  bench/report/results.py table "${results[@]}"
  need gnuplot gnuplot-nox
  bench/report/plot.py build/bench "${results[@]}"
}

# A suite that fails leaves the others their turn.
[[ ${suites[*]} == report ]] || bench/report/machine.py "$build" build/bench/machine.json
failed=()
for suite in "${suites[@]}"; do
  echo "== $suite"
  status=0
  ("bench_$suite") || status=$?
  if ((status == 77)); then continue; fi
  if ((status != 0)); then
    failed+=("$suite")
  elif [[ $suite != report ]]; then
    [[ $suite == instructions ]] || bench/report/results.py table "build/bench/$suite.json"
    echo "build/bench/$suite.json written"
  fi
done
if ((${#failed[@]})); then
  echo "bench.sh: failed: ${failed[*]}" >&2
  exit 1
fi
