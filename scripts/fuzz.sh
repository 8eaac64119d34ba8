#!/usr/bin/env bash
# Fuzzes for hours: builds the targets of tests/fuzz with clang-19 and runs them all, each for an equal part.
#   scripts/fuzz.sh HOURS [TARGET...]        HOURS may be a fraction; TARGET: engine, parsers, ... (default: all)
#   --jobs N       targets at a time (default: CPUs, no more than targets)
#   --build DIR    default: build-fuzz
# What it learns stays in DIR/fuzz-corpus, and the next run begins there; failing inputs and logs are in DIR/fuzz-artifacts,
# with the command that repeats each in what it prints. Exit 1 on a finding, 2 if nothing could be run.
set -euo pipefail

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }
refuse() { echo "fuzz.sh: $* (see --help)" >&2; exit 2; }

tree=$(cd "$(dirname "$0")/.." && pwd)
build=$tree/build-fuzz
jobs=$(nproc)
hours=""
targets=()
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift ;;
    --build) build=$(realpath -m "${2:?--build needs a folder}"); shift ;;
    -*) refuse "unknown option: $1" ;;
    *) if [[ -z $hours ]]; then hours=$1; else targets+=("$1"); fi ;;
  esac
  shift
done
[[ $hours =~ ^[0-9]*\.?[0-9]+$ ]] || refuse "say for how many hours"
[[ $jobs =~ ^[1-9][0-9]*$ ]] || refuse "not a number of jobs: $jobs"
command -v clang++-19 >/dev/null || refuse "clang++-19 is missing: scripts/install_deps.sh gets it"
if ((${#targets[@]} == 0)); then
  for corpus in "$tree"/tests/fuzz/corpus/*/; do targets+=("$(basename "$corpus")"); done
fi
((jobs <= ${#targets[@]})) || jobs=${#targets[@]}

wrap() { if command -v ccache >/dev/null; then echo "ccache $1"; else echo "$1"; fi; }
[[ -f $build/build.ninja ]] ||
  CC=$(wrap clang-19) CXX=$(wrap clang++-19) meson setup "$build" "$tree" --buildtype=debugoptimized \
    -Db_sanitize=address,undefined -Db_lundef=false -Dcpp_args=-gline-tables-only -Dchecked=true -Dfuzz=true >&2 ||
  refuse "cannot configure $build"
programs=()
for target in "${targets[@]}"; do
  [[ -d $tree/tests/fuzz/corpus/$target ]] || refuse "no such target: $target"
  programs+=("tests/fuzz/fuzz_$target" "tests/fuzz/fuzz_${target}_canary")
done
ninja -C "$build" "${programs[@]}" >&2 || refuse "the targets do not build"

# Every target runs `jobs` times, `jobs` run at a time: together as long as was asked, and nobody idles.
seconds=$(awk -v hours="$hours" -v targets="${#targets[@]}" \
  'BEGIN { each = int(hours * 3600 / targets); print (each < 1 ? 1 : each) }')
turns=()
for ((i = 0; i < jobs; ++i)); do turns+=("${targets[@]}"); done
echo "fuzz.sh: ${targets[*]}: $jobs x $seconds s each, $jobs at a time"
status=0
"$tree/tests/fuzz/run.sh" --jobs "$jobs" --no-canaries "$build" "$seconds" "${turns[@]}" || status=$?
for target in "${targets[@]}"; do
  echo "fuzz.sh: $target: $(find "$build/fuzz-corpus/$target" -type f | wc -l) inputs learnt"
done
echo "fuzz.sh: to add what reaches more: FUZZER -set_cover_merge=1 -use_counters=0 tests/fuzz/corpus/NAME $build/fuzz-corpus/NAME"
exit "$status"
