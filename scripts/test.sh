#!/usr/bin/env bash
# Installs what is missing, builds, and runs every suite that this machine allows.
#   scripts/test.sh            gcc release, all suites (interop needs root and /dev/net/tun)
#   scripts/test.sh --full     the long run: gcc and clang, 20,000 simulated worlds, 10 M connections, clang-tidy on all
#   scripts/test.sh --suite S  only suite S: checks, unit, state, script, sim, interop, nic (repeatable)
# Ends with the runners' own totals and `N passed, M failed`; exit 0 if nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."

full=0
suites=()
while (($#)); do
  case $1 in
    --full) full=1; export SLUICE_LONG_TESTS=1 ;;
    --suite) suites+=(--suite "${2:?--suite needs a name}"); shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument: $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done

say() { printf '\n== %s\n' "$*"; }

say "packages"
if ! scripts/install_deps.sh build show test; then
  echo "not everything could be installed: the build below says what it misses"
fi

wrap() { if command -v ccache >/dev/null; then echo "ccache $1"; else echo "$1"; fi; }

# configure DIR C-COMPILER C++-COMPILER: once; later runs reuse the directory.
configure() {
  [[ -f $1/build.ninja ]] || CC=$(wrap "$2") CXX=$(wrap "$3") meson setup "$1" --buildtype=release
}

failed=0
logs=()
# run_suites LABEL DIR: builds and tests; what fails is counted, and the other runs still happen.
run_suites() {
  say "build ($1, in $2)"
  if ! ninja -C "$2"; then
    failed=1
    return
  fi
  say "tests ($1)"
  rm -f "$2/meson-logs/test-sh.json"
  meson test -C "$2" --no-rebuild --print-errorlogs --logbase test-sh ${suites[@]+"${suites[@]}"} || failed=1
  logs+=("$1=$2/meson-logs/test-sh.json")
}

configure build-release gcc g++
run_suites gcc build-release

long_passed=0
crowd_passed=0
if ((full)); then
  say "20,000 simulated worlds"
  if build-release/tests/sim/sim_worlds --worlds 20000; then long_passed=1; else failed=1; fi
  say "10 million connections"
  if build-release/bench/engine/bench_engine rr64_acked 320000 --open 10000000 --memory --limit 260; then crowd_passed=1; else failed=1; fi
  if command -v clang++-19 >/dev/null; then
    configure build-clang clang-19 clang++-19
    run_suites clang build-clang
    say "clang-tidy on everything"
    scripts/tidy.sh build-clang --all || failed=1
  else
    echo "skipped: clang build and clang-tidy (no clang++-19)"
  fi
fi

say "totals"
if ((full)); then
  echo "  20,000 simulated worlds: $( ((long_passed)) && echo passed || echo FAILED)"
  echo "  10 million connections: $( ((crowd_passed)) && echo passed || echo FAILED)"
fi
echo "  fuzz: skipped: libFuzzer needs clang and sanitizers, which .ci/run builds"
scripts/totals.py ${logs[@]+"${logs[@]}"} || failed=1
exit "$failed"
