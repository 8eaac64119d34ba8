#!/usr/bin/env bash
# clang-tidy over the sources that a clang build directory compiles.
#   scripts/tidy.sh BUILD_DIR          12 files: those changed since the upstream branch or the last commit first
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
  upstream=$(git rev-parse --verify -q '@{upstream}' || true)
  base=$upstream
  if [[ -z $base || $base == "$(git rev-parse HEAD)" ]]; then base=$(git rev-parse --verify -q HEAD~1 || true); fi
  # At most 12 files: two minutes on two cores. --all is the whole. What changed goes first; places left
  # are filled by the commit's number, so that in time every file has its turn.
  mapfile -t files < <({
    { if [[ -n $base ]]; then git diff --name-only --diff-filter=d "$base"; fi
      git ls-files --others --exclude-standard; } | grep -E '^(lib|drivers|apps)/.*\.cpp$' | sort -u || true
    git ls-files 'lib/*.cpp' 'drivers/*.cpp' 'apps/*.cpp' | shuf --random-source=<(while :; do git rev-parse HEAD; done)
  } | awk '!seen[$0]++' | head -n 12)
fi
if ((${#files[@]} == 0)); then
  echo "tidy: no changed source"
  exit 0
fi
echo "tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" "$tidy" -p "$build" --quiet 2>/dev/null
