#!/usr/bin/env bash
# Runs packetdrill scripts against the stack, through tests/packetdrill's plug-in, on a virtual clock.
#   scripts/conformance.sh PACKETDRILL SCRIPTS...                     scripts and folders of scripts
#   scripts/conformance.sh PACKETDRILL --list FILE.tsv --root DIR     the scripts that a list names
# PACKETDRILL is google/packetdrill's program (or any that loads --so_filename), built elsewhere. A list has
# the columns topic, tier, suite, licence, path below DIR; lines with # are comments. Topics are folders else.
#   --tier T1,T1d    of a list only these tiers (default: T1,T1d)
#   --plugin FILE    default: build-release/tests/packetdrill/libsluice-packetdrill.so, built if need be
#   --flags FLAGS    for --so_flags (default: mask_psh; see tests/packetdrill/README.md)
#   --jobs N         scripts at a time (default: CPUs)
#   --json FILE      results (default: build/conformance.json)
# Needs root: the shell lines of a script run in a network namespace of its own with an idle tun0, which has no
# name and goes with the last process in it. Prints passed/total by topic and each failure with packetdrill's words; the last line is
# `N passed, M failed`; exit 1 if any failed, 2 if nothing could be run.
set -euo pipefail

usage() { sed -n '2,15s/^# \{0,1\}//p' "$0"; }
refuse() { echo "conformance.sh: $* (see --help)" >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
tree=$(dirname "$here")
packetdrill=""
plugin=""
json=$tree/build/conformance.json
pass=()
scripts=()
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --plugin) plugin=$(realpath "${2:?--plugin needs a file}"); shift ;;
    --json) json=${2:?--json needs a file}; shift ;;
    --list | --root | --tier | --flags | --jobs) pass+=("$1" "${2:?$1 needs a value}"); shift ;;
    -*) refuse "unknown option: $1" ;;
    *) if [[ -z $packetdrill ]]; then packetdrill=$1; else scripts+=("$1"); fi ;;
  esac
  shift
done
[[ -n $packetdrill ]] || refuse "say where packetdrill is"
[[ -x $packetdrill && ! -d $packetdrill ]] || refuse "not a program: $packetdrill"
((${#scripts[@]} + ${#pass[@]} > 0)) || refuse "say which scripts to run"
((EUID == 0)) || refuse "needs root, for a network namespace"

if [[ -z $plugin ]]; then
  target=tests/packetdrill/libsluice-packetdrill.so
  [[ -f $tree/build-release/build.ninja ]] || meson setup "$tree/build-release" "$tree" --buildtype=release
  ninja -C "$tree/build-release" "$target" >&2
  plugin=$tree/build-release/$target
fi
[[ -f $plugin ]] || refuse "no such plug-in: $plugin"

mkdir -p "$(dirname "$json")"
exec python3 "$here/conformance_run.py" --packetdrill "$(realpath "$packetdrill")" \
  --plugin "$plugin" --json "$json" ${pass[@]+"${pass[@]}"} ${scripts[@]+"${scripts[@]}"}
