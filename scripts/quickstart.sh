#!/usr/bin/env bash
# Shows Sluice at work: builds it, starts an echo and a web server on taps in a network namespace of
# their own, and lets the Linux kernel's clients talk to them.
#   sudo ./scripts/quickstart.sh           the show; under a minute once built
#   sudo ./scripts/quickstart.sh --keep    the show, then the servers go on until Ctrl-C
# Exit 0 if every check passed. Leaves nothing behind but the pictures in build-release/quickstart/.
set -euo pipefail
cd "$(dirname "$0")/.."

keep=0
for argument in "$@"; do
  case $argument in
    --keep) keep=1 ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown argument: $argument (see --help)" >&2; exit 2 ;;
  esac
done
if ((EUID != 0)); then
  echo "quickstart.sh: needs root for a network namespace and taps: sudo ./scripts/quickstart.sh" >&2
  exit 1
fi
[[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || true
if ! : 2>/dev/null <>/dev/net/tun; then
  echo "quickstart.sh: cannot open /dev/net/tun: the kernel has no tun module, or this container may not use it" >&2
  exit 1
fi

readonly build=build-release
readonly out=$build/quickstart
readonly namespace=sluice-show-$$
# The programs' own addresses, and the kernel's on the same taps.
readonly echo_ip=10.77.0.2 closer_ip=10.77.1.2 httpd_ip=10.77.2.2

if [[ -t 1 ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' green='' red='' plain=''
fi
steps=0 passed=0 failed=0
step() { steps=$((steps + 1)); printf '\n%s%2d  %s%s\n' "$bold" "$steps" "$1" "$plain"; }
note() { printf '    %s\n' "$@"; }
command_line() { printf '    %s$ %s%s\n' "$bold" "$1" "$plain"; }
shown() { sed "s/^/    ${dim}|${plain} /"; }
# check WHAT COMMAND...: a real one; the command's status decides.
check() {
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then
    passed=$((passed + 1))
    printf '    %sPASS%s  %s\n' "$green" "$plain" "$what"
  else
    failed=$((failed + 1))
    printf '    %sFAIL%s  %s\n' "$red" "$plain" "$what"
  fi
}

temporary=$(mktemp -d)
servers=() helpers=()
cleanup() {
  trap '' INT TERM HUP
  local pid
  for pid in ${helpers[@]+"${helpers[@]}"} ${servers[@]+"${servers[@]}"}; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for pid in ${servers[@]+"${servers[@]}"}; do
    for _ in {1..40}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  ip netns del "$namespace" 2>/dev/null || true
  rm -f "/dev/shm/sluice.$namespace".* "/dev/shm/sluice-control.$namespace".*
  rm -rf "$temporary"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

give_up() {
  printf '\n%squickstart.sh: %s%s\n' "$red" "$1" "$plain" >&2
  exit 1
}

# The source tree's owner builds, so that no file of root's is left in it.
owner=$(stat -c %U .)
as_owner() {
  if [[ $owner != root && $owner != UNKNOWN && (! -e $build || $(stat -c %U $build) == "$owner") ]]; then
    runuser -u "$owner" -- "$@"
  else
    "$@"
  fi
}

inside() { ip netns exec "$namespace" "$@"; }
# For `exec_inside ... &`: $! is then the program itself, which gets our signals, not a shell around it.
exec_inside() { exec ip netns exec "$namespace" "$@"; }
sluicectl() { "$build/apps/ctl/sluicectl" "$@"; }

# start NAME IP PROGRAM FLAGS...: a server on a tap called NAME; the kernel gets the address with .1.
start() {
  local name=$1 ip=$2 program=$3 pid
  shift 3
  local flags=(--device "net_tap${#servers[@]},iface=$name" --address "$ip/24" --instance "$namespace.$name" --time-wait 2s "$@")
  command_line "$program ${flags[*]}"
  # setpriv: should this script be killed with -9, the servers go too.
  exec_inside setpriv --pdeathsig KILL -- "$build/apps/${program#sluice-}/$program" "${flags[@]}" --drain-timeout 1s \
    </dev/null >"$temporary/$name.log" 2>&1 &
  pid=$!
  servers+=("$pid")
  local tries
  for ((tries = 0; tries < 100; ++tries)); do
    if ! kill -0 "$pid" 2>/dev/null; then
      shown <"$temporary/$name.log"
      give_up "$program did not start"
    fi
    if inside ip link show "$name" >/dev/null 2>&1; then
      inside ip address replace "${ip%.*}.1/24" dev "$name"
      inside ip link set "$name" up
      if inside ping -c1 -W1 -q "$ip" >/dev/null 2>&1; then
        return
      fi
    fi
    sleep 0.1
  done
  shown <"$temporary/$name.log"
  give_up "$program does not answer ping at $ip"
}

# capture NAME FILE: tcpdump on a tap, running when this returns.
capture() {
  : >"$temporary/tcpdump.log"
  exec_inside tcpdump -Z root -i "$1" --immediate-mode -U -n -w "$2" "tcp port 7" 2>"$temporary/tcpdump.log" &
  helpers=($!)
  for _ in {1..50}; do
    grep -q 'listening on' "$temporary/tcpdump.log" && return
    sleep 0.1
  done
  give_up "tcpdump does not start: $(cat "$temporary/tcpdump.log")"
}
end_capture() {
  sleep 0.3
  kill -TERM "${helpers[0]}" 2>/dev/null || true  # not INT: a shell's background jobs ignore it
  wait "${helpers[0]}" 2>/dev/null || true
  helpers=()
}

# story NAME TITLE: table of states, tcpdump's view and the picture of the last connection on tap NAME.
story() {
  local name=$1 title=$2
  note "" "Both ends' states, from the server's flight recorder:"
  command_line "sluicectl trace last --svg $out/$title.svg"
  sluicectl trace last --instance "$namespace.$name" --svg "$out/$title.svg" >"$temporary/trace" || true
  shown <"$temporary/trace"
  note "" "The same connection as the kernel's side of the tap saw it:"
  command_line "tcpdump -nr $out/$title.pcap"
  tcpdump -nttttt -r "$out/$title.pcap" 2>/dev/null | sed 's/^ *00:00:0//' >"$temporary/seen" || true
  shown <"$temporary/seen"
  note "" "${bold}The picture: $PWD/$out/$title.svg${plain}"
}
has_states() {
  local state
  for state in "$@"; do
    grep -q -- "-> $state)" "$temporary/trace" || return 1
  done
}
fins_seen_both_ways() { (($(grep -c 'Flags \[F' "$temporary/seen") == 2)); }
svg_is_drawn() { [[ -s $1 ]] && grep -q '<svg' "$1" && grep -q '</svg>' "$1"; }

printf '%sSluice%s: a TCP in user space on DPDK serves the Linux kernel'"'"'s own clients over a tap\n' "$bold" "$plain"

step "Packages"
scripts/install_deps.sh build show | sed 's/^/    /'

step "Build (release, in $build)"
if [[ ! -f $build/build.ninja ]]; then
  note "first time: this takes a few minutes"
  compiler=(env CC=gcc CXX=g++)
  command -v ccache >/dev/null && compiler=(env "CC=ccache gcc" "CXX=ccache g++")
  as_owner "${compiler[@]}" meson setup "$build" --buildtype=release >"$temporary/build.log" 2>&1 ||
    { tail -n 20 "$temporary/build.log"; give_up "meson setup failed"; }
fi
targets=(apps/echo/sluice-echo apps/httpd/sluice-httpd apps/ctl/sluicectl)
if [[ -t 1 ]]; then
  as_owner ninja -C "$build" "${targets[@]}" || give_up "the build failed"
else
  as_owner ninja -C "$build" "${targets[@]}" >"$temporary/build.log" 2>&1 ||
    { tail -n 30 "$temporary/build.log"; give_up "the build failed"; }
fi
as_owner mkdir -p "$out"
for target in "${targets[@]}"; do note "$build/$target"; done

step "Servers, in the network namespace $namespace"
for stale in $(ip netns list | sed -n 's/^\(sluice-show-[0-9]*\).*/\1/p'); do
  [[ -d /proc/${stale##*-} ]] || { ip netns del "$stale" && rm -f "/dev/shm/sluice.$stale".* "/dev/shm/sluice-control.$stale".*; } || true
done
ip netns add "$namespace"
inside sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2>/dev/null || true
inside ip link set lo up
start echo0 $echo_ip sluice-echo --trace yes
start closer0 $closer_ip sluice-echo --trace yes --close-after 4
start httpd0 $httpd_ip sluice-httpd
note "2 MSL is 2 s here, for the show; the default is 60 s. The second echo server closes first, after 4 octets."

step "Ping"
command_line "ping -c 3 $echo_ip"
inside ping -c 3 -i 0.2 -W 2 $echo_ip >"$temporary/ping" 2>&1 || true
sed '/^$/d' "$temporary/ping" | shown
check "3 of 3 echo requests answered" grep -q ' 3 received' "$temporary/ping"

step "Hutu: four octets there and back; the client closes first"
capture echo0 "$out/client-closes-first.pcap"
command_line "(printf Hutu; sleep 0.3) | nc -N $echo_ip 7"
(printf Hutu; sleep 0.3) | inside timeout 10 nc -N $echo_ip 7 >"$temporary/hutu" || true
(cat "$temporary/hutu"; echo) | shown
end_capture
printf Hutu >"$temporary/wanted"
check "the four octets that came back are the four that were sent" cmp "$temporary/hutu" "$temporary/wanted"
story echo0 client-closes-first
check "the server went through CLOSE-WAIT and LAST-ACK to CLOSED" has_states CLOSE-WAIT LAST-ACK CLOSED
check "tcpdump saw a FIN from either side" fins_seen_both_ways
check "the picture is drawn" svg_is_drawn "$out/client-closes-first.svg"

step "Hutu again; the server closes first, and waits 2 MSL"
capture closer0 "$out/server-closes-first.pcap"
command_line "printf Hutu | nc $closer_ip 7"
printf Hutu | inside timeout 10 nc $closer_ip 7 >"$temporary/hutu" || true
(cat "$temporary/hutu"; echo) | shown
check "the four octets that came back are the four that were sent" cmp "$temporary/hutu" "$temporary/wanted"
command_line "sluicectl conns --state TIME-WAIT"
sluicectl conns --instance "$namespace.closer0" --state TIME-WAIT >"$temporary/conns" || true
shown <"$temporary/conns"
check "the connection is in TIME-WAIT now" grep -q TIME-WAIT "$temporary/conns"
note "... 2 s later:"
sleep 2.2
sluicectl conns --instance "$namespace.closer0" --state TIME-WAIT >"$temporary/conns" || true
check "TIME-WAIT is over" sh -c "! grep -q TIME-WAIT '$temporary/conns'"
end_capture
story closer0 server-closes-first
check "the server went through FIN-WAIT-1 and TIME-WAIT to CLOSED" has_states FIN-WAIT-1 TIME-WAIT CLOSED
check "tcpdump saw a FIN from either side" fins_seen_both_ways
check "the picture is drawn" svg_is_drawn "$out/server-closes-first.svg"

step "A page, and 10 MB"
command_line "curl http://$httpd_ip/"
inside curl -sS --max-time 10 -w '\n%{http_code}\n' "http://$httpd_ip/" >"$temporary/page" 2>&1 || true
sed '$d' "$temporary/page" | sed '/^$/d' | shown
check "HTTP status 200" sh -c "tail -n 1 '$temporary/page' | grep -qx 200"
command_line "curl http://$httpd_ip/bytes/10000000 | sha256sum"
inside curl -sS --max-time 20 -w '%{stderr}%{speed_download}' "http://$httpd_ip/bytes/10000000" 2>"$temporary/speed" |
  sha256sum >"$temporary/sum" || true
/usr/bin/python3 - >"$temporary/sum-wanted" <<'PYTHON'
import hashlib
period = bytes((197 * k + k // 256) & 255 for k in range(65521))  # as apps/httpd/content.hpp says
print(hashlib.sha256((period * 153)[:10_000_000]).hexdigest(), " -")
PYTHON
{ cat "$temporary/sum"; awk '{printf "%.0f MB/s through the tap, which is no measure of speed\n", $1 / 1e6}' "$temporary/speed"; } | shown
check "the SHA-256 is that of the octets that were meant" cmp "$temporary/sum" "$temporary/sum-wanted"

step "A port that nobody listens on"
command_line "nc -v -w 3 $echo_ip 8"
began=$(date +%s%N)
inside timeout 10 nc -v -w 3 $echo_ip 8 </dev/null >"$temporary/refused" 2>&1 && refused=0 || refused=1
took=$((($(date +%s%N) - began) / 1000000))
shown <"$temporary/refused"
refused_at_once() { ((refused == 1 && took < 1000)) && grep -q 'refused' "$temporary/refused"; }
check "refused at once (${took} ms): a RST, not silence" refused_at_once

step "What sluicectl knows"
command_line "sluicectl conns"
for name in echo0 closer0 httpd0; do
  sluicectl conns --instance "$namespace.$name" >"$temporary/conns.$name" || true
done
cat "$temporary/conns".* | awk 'NR == 1 || !/^ *Recv-Q/' | shown

for pid in "${servers[@]}"; do
  check "server $pid is still alive and well" kill -0 "$pid"
done
chown -R --reference=. "$out"
printf '\n%s%d passed, %d failed%s, in %d s. Pictures and captures: %s\n' "$bold" "$passed" "$failed" "$plain" "$SECONDS" "$PWD/$out"
if ((failed > 0)); then
  for name in echo0 closer0 httpd0; do
    note "$name said:"
    shown <"$temporary/$name.log"
  done
fi

if ((keep)); then
  step "The servers go on until Ctrl-C"
  note "sudo ip netns exec $namespace curl http://$httpd_ip/" \
    "sudo ip netns exec $namespace nc $echo_ip 7" \
    "sudo ip netns exec $namespace tcpdump -ni echo0" \
    "sudo $build/apps/ctl/sluicectl conns -i"
  trap 'printf "\n"; note "stopped"; exit "$((failed > 0))"' INT
  wait -n "${servers[@]}" || true
  give_up "a server ended by itself"
fi
((failed == 0))
