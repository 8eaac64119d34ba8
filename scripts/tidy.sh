#!/usr/bin/env bash
# clang-tidy over the sources that a clang build directory compiles.
#   scripts/tidy.sh BUILD_DIR          files changed since the upstream branch (else the last commit)
#   scripts/tidy.sh BUILD_DIR --all    every source of lib, drivers and apps
# Prints the findings and exits 1 if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?tidy.sh: name a build directory made with clang}
tidy=$(command -v clang-tidy-19) || { echo "SKIP: no clang-tidy-19"; exit 0; }
[[ -f $build/compile_commands.json ]] || { echo "tidy.sh: $build has no compile_commands.json" >&2; exit 2; }

if [[ ${2:-} == --all ]]; then
  mapfile -t files < <(git ls-files --cached --others --exclude-standard 'lib/*.cpp' 'drivers/*.cpp' 'apps/*.cpp')
else
  base=$(git rev-parse --verify -q '@{upstream}' || git rev-parse --verify -q HEAD~1 || true)
  if [[ -z $base ]]; then
    echo "tidy: no earlier commit to compare with, nothing to do"
    exit 0
  fi
  # At most 12 files: two minutes on two cores. --all is the whole.
  mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"
                         git ls-files --others --exclude-standard; } |
    grep -E '^(lib|drivers|apps)/.*\.cpp$' | sort -u | shuf --random-source=<(yes) -n 12)
fi
if ((${#files[@]} == 0)); then
  echo "tidy: no changed source"
  exit 0
fi
echo "tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" "$tidy" -p "$build" --quiet 2>/dev/null
