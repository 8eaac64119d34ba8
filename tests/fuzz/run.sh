#!/bin/bash
# Runs every fuzz target of a build directory for a bounded time, from its checked-in corpus, then
# proves that each can fail: its canary, with a deliberate over-read, must be caught.
#
#   tests/fuzz/run.sh BUILD_DIR SECONDS_EACH        (build with CXX=clang++-19 and -Dfuzz=true)
#
# New inputs are kept in BUILD_DIR/fuzz-corpus, failing ones in BUILD_DIR/fuzz-artifacts.
set -u

if [ $# -ne 2 ] || ! [ -d "$1" ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 BUILD_DIR SECONDS_EACH" >&2
  exit 2
fi
build=$(cd "$1" && pwd)
seconds=$2
corpus_root=$(cd "$(dirname "$0")" && pwd)/corpus
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:abort_on_error=0:exitcode=77"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:print_stacktrace=1"

clean=0 caught=0 runs=0 failures=0
say_failure() {
  echo "fuzz: $1" >&2
  failures=$((failures + 1))
}

run_target() {  # executable, name, log, folder of new inputs, folder of failing inputs
  "$1" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=2048 -use_value_profile=1 \
    -print_final_stats=1 -artifact_prefix="$5/$2-" \
    "$4" "$corpus_root/$2" >"$3" 2>&1
}

mkdir -p "$build/fuzz-artifacts"
for canary in "$build"/tests/fuzz/fuzz_*_canary; do
  target=${canary%_canary}
  name=${target##*/fuzz_}
  if ! [ -x "$canary" ] || ! [ -x "$target" ]; then
    say_failure "no targets in $build/tests/fuzz"
    break
  fi
  if ! [ -d "$corpus_root/$name" ]; then
    say_failure "$name has no corpus"
    continue
  fi

  log=$build/fuzz-artifacts/$name.log
  mkdir -p "$build/fuzz-corpus/$name"
  if run_target "$target" "$name" "$log" "$build/fuzz-corpus/$name" "$build/fuzz-artifacts"; then
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $name: $count runs in $seconds s, nothing found"
    runs=$((runs + count))
    clean=$((clean + 1))
  else
    tail -n 40 "$log" >&2
    say_failure "$name failed; to repeat: $target $build/fuzz-artifacts/$name-<file named above>"
  fi

  # The canary begins from the corpus alone, not from what earlier runs have learnt.
  log=$build/fuzz-artifacts/${name}_canary.log
  scratch=$(mktemp -d)
  mkdir "$scratch/corpus"
  if run_target "$canary" "$name" "$log" "$scratch/corpus" "$scratch"; then
    say_failure "$name: the canary over-read was NOT caught in $seconds s: this fuzzer proves nothing"
  elif grep -Eq 'ERROR: AddressSanitizer: (heap-buffer-overflow|use-after-poison)' "$log"; then
    echo "fuzz: $name: canary over-read caught"
    caught=$((caught + 1))
  else
    tail -n 40 "$log" >&2
    say_failure "$name: the canary failed by something else than its over-read"
  fi
  rm -rf "$scratch"
done

if [ "$failures" -ne 0 ] || [ "$clean" -eq 0 ]; then
  echo "fuzz: FAILED: $failures failure(s), $clean target(s) clean, $caught canaries caught"
  exit 1
fi
echo "fuzz: OK: $clean target(s) clean over $runs runs, $caught of $clean canaries caught"
