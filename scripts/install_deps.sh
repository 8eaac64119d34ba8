#!/usr/bin/env bash
# Installs the Debian packages that Sluice needs and this machine lacks. Debian's own archive only.
#   scripts/install_deps.sh [build] [show] [test] [bench]      without a word: the first three
# build: compilers and libraries; show: the kernel's clients that quickstart.sh uses;
# test: what the suites, the sanitizer builds and the checks use beside them;
# bench: whom scripts/bench.sh wire compares with. nginx is installed without being started.
set -euo pipefail

build=(g++ meson ninja-build pkg-config ccache
  dpdk libdpdk-dev libboost-dev libsodium-dev libtomlplusplus-dev libfmt-dev libcxxopts-dev
  nlohmann-json3-dev libexpected-dev libpcap-dev catch2 libbenchmark-dev python3)
show=(iproute2 iputils-ping netcat-openbsd curl tcpdump)
test=(git wrk socat nftables ethtool nmap hping3 linux-libc-dev valgrind gnuplot-nox shellcheck librsvg2-bin libxml2-utils
  clang-19 libclang-rt-19-dev llvm-19 clang-tidy-19 clang-format-14)
bench=(nginx wrk ethtool curl gnuplot-nox)

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }

wanted=()
for group in "${@:-all}"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    show) wanted+=("${show[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    all) wanted+=("${build[@]}" "${show[@]}" "${test[@]}") ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install_deps.sh: no such group: $group (build, show, test, bench)" >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  echo "install_deps.sh: no apt-get here; Sluice is built on Debian 12. Install by hand: ${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "packages: all ${#wanted[@]} are here"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "install_deps.sh: ${#missing[@]} packages are missing; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
log=$(mktemp)
policy=""
cleanup() {
  rm -f "$log"
  [[ -z $policy ]] || "${as_root[@]}" rm -f "$policy"
}
trap cleanup EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" </dev/null >"$log" 2>&1
}

# Debian starts a web server that it installs, now and at each boot; nobody asked for one here.
is_nginx_new=""
for package in "${missing[@]}"; do
  [[ $package != nginx ]] || is_nginx_new=yes
done
if [[ $is_nginx_new && ! -e /usr/sbin/policy-rc.d ]]; then
  policy=/usr/sbin/policy-rc.d
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

echo "packages: installing ${#missing[@]} of ${#wanted[@]}: ${missing[*]}"
# The lists may be absent or old; a failed refresh matters only if the install fails too.
apt update || true
if ! apt install --no-install-recommends "${missing[@]}"; then
  tail -n 20 "$log" >&2
  echo "install_deps.sh: apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
if [[ $is_nginx_new ]] && command -v systemctl >/dev/null; then
  "${as_root[@]}" systemctl --quiet disable nginx || true
fi
