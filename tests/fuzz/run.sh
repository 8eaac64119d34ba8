#!/bin/bash
# Runs fuzz targets of a build directory for a bounded time each, from their checked-in corpora, then
# proves that each can fail: its canary, with a deliberate fault, must be caught.
#
#   tests/fuzz/run.sh [--jobs N] [--seed N] [--no-canaries] BUILD_DIR SECONDS_EACH [TARGET...]
#
# BUILD_DIR was configured with CXX=clang++-19 and -Dfuzz=true. N targets run at a time (default: 2). TARGET: engine,
# parsers, ... (default: all); one that is named twice runs twice. --seed: one search that can be repeated (a gate
# wants that; default: another search each time). New inputs are kept in BUILD_DIR/fuzz-corpus,
# failing ones and logs in BUILD_DIR/fuzz-artifacts. Exit 1 on any finding.
set -u

usage() {
  sed -n '5,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
jobs=2
with_canaries=true
seed=0
while [[ ${1:-} == --* ]]; do
  case $1 in
    --jobs) jobs=${2:-}; shift ;;
    --seed) seed=${2:-}; shift ;;
    --no-canaries) with_canaries=false ;;
    *) usage ;;
  esac
  shift
done
if [ $# -lt 2 ] || ! [ -d "$1" ] || ! [[ $2 =~ ^[1-9][0-9]*$ && $jobs =~ ^[1-9][0-9]*$ && $seed =~ ^[0-9]+$ ]]; then usage; fi
build=$(cd "$1" && pwd)
seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:abort_on_error=0:exitcode=77"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:print_stacktrace=1"

names=("$@")
if [ $# -eq 0 ]; then
  for canary in "$build"/tests/fuzz/fuzz_*_canary; do
    name=${canary##*/fuzz_}
    names+=("${name%_canary}")
  done
fi

run_target() {  # executable, name, log, folder of new inputs, folder of failing inputs
  local dictionary=()
  if [ -f "$here/$2.dict" ]; then dictionary=("-dict=$here/$2.dict"); fi
  "$1" -max_total_time="$seconds" -seed="$seed" -timeout=25 -rss_limit_mb=1024 -max_len=2048 -use_value_profile=1 \
    -print_final_stats=1 -artifact_prefix="$5/$2-" "${dictionary[@]}" \
    "$4" "$here/corpus/$2" >"$3" 2>&1
}

show_finding() {  # log
  cut -c1-240 "$1" | awk '/invariant broken|ERROR:|runtime error:/ { on = 1 } on && lines++ < 24' >&2
}

say_failure() {  # name, what; to its verdict
  echo "fuzz: $1: $2" >&2
  echo "failure" >>"$verdict"
}

run_clean() {  # name, log
  local target=$build/tests/fuzz/fuzz_$1 count
  mkdir -p "$build/fuzz-corpus/$1"
  if run_target "$target" "$1" "$2" "$build/fuzz-corpus/$1" "$build/fuzz-artifacts"; then
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$2")
    echo "fuzz: $1: $count runs in $seconds s, nothing found"
    echo "clean $count" >>"$verdict"
  else
    show_finding "$2"
    say_failure "$1" "failed; to repeat: $target $(sed -n 's/.*Test unit written to //p' "$2" | tail -n 1)"
  fi
}

# The canary begins from the corpus alone, not from what earlier runs have learnt.
run_canary() {  # name, log
  local scratch
  scratch=$(mktemp -d)
  mkdir "$scratch/corpus"
  if run_target "$build/tests/fuzz/fuzz_$1_canary" "$1" "$2" "$scratch/corpus" "$scratch"; then
    say_failure "$1" "the canary's fault was NOT caught in $seconds s: this fuzzer proves nothing"
  elif grep -Eq 'ERROR: AddressSanitizer: (heap-buffer-overflow|use-after-poison)' "$2"; then
    echo "fuzz: $1: canary caught"
    echo "caught" >>"$verdict"
  else
    show_finding "$2"
    say_failure "$1" "the canary failed by something else than its fault"
  fi
  rm -rf "$scratch"
}

check_target() {  # name, number
  local log=$build/fuzz-artifacts/$1.$2
  verdict=$verdicts/$2
  if ! [ -x "$build/tests/fuzz/fuzz_$1" ] || ! [ -x "$build/tests/fuzz/fuzz_$1_canary" ]; then
    say_failure "$1" "no such target in $build/tests/fuzz"
  elif ! [ -d "$here/corpus/$1" ]; then
    say_failure "$1" "has no corpus"
  else
    run_clean "$1" "$log.log"
    if $with_canaries; then run_canary "$1" "$log.canary.log"; fi
  fi
}

mkdir -p "$build/fuzz-artifacts"
verdicts=$(mktemp -d)
trap 'rm -rf "$verdicts"' EXIT
number=0
for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  number=$((number + 1))
  check_target "$name" "$number" &
done
wait

clean=$(cat "$verdicts"/* | grep -c '^clean')
caught=$(cat "$verdicts"/* | grep -c '^caught')
failures=$(cat "$verdicts"/* | grep -c '^failure')
runs=$(cat "$verdicts"/* | awk '/^clean/ { runs += $2 } END { print runs + 0 }')
if [ "$failures" -ne 0 ] || [ "$clean" -ne "$number" ]; then
  echo "fuzz: FAILED: $failures failure(s), $clean of $number run(s) clean, $caught canaries caught"
  exit 1
fi
echo "fuzz: OK: $number run(s) clean, $runs inputs in all, $caught canaries caught"
