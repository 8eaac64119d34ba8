#!/usr/bin/env bash
# Makes a machine ready for Sluice on a NIC: huge pages, and the NIC in a driver that DPDK can use.
#   nic.sh status                 NICs, huge pages, IOMMU; what is missing and how to mend it (exit 1 if something is)
#   nic.sh setup [--pages N [--size 2M|1G] [--node NODE]] [--bind PCI]... [--driver vfio-pci|uio_pci_generic]
#                [--noiommu] [--force] [--dry-run]
#   nic.sh undo [--dry-run]       the NICs' former drivers and the former numbers of pages
# setup may be repeated; it never takes pages away. With one NIC its NUMA node gets the pages, else the kernel spreads
# them. A NIC that carries a route is not taken without --force: it may be the one you are logged in by.
# SYSFS_ROOT stands before /sys, /proc, /dev, /run and /lib/modules (tests).
set -euo pipefail

root=${SYSFS_ROOT:-}
pci=$root/sys/bus/pci
state=$root/run/sluice-nic.state
dry_run=0

die() {
  echo "nic.sh: $*" >&2
  exit 1
}
say() { echo "nic.sh: $*"; }

# do_it COMMAND...: runs it, or says that it would.
do_it() {
  if ((dry_run)); then echo "would run: $*"; else "$@"; fi
}
# put VALUE FILE: writes one value to a file of the kernel's.
put() {
  if ((dry_run)); then
    echo "would write: '$1' to ${2#"$root"}"
  elif ! { printf '%s\n' "$1" >"$2"; } 2>/dev/null; then
    die "the kernel refuses '$1' in ${2#"$root"}"
  fi
}
# remember WORDS...: one line of what undo has to do; the oldest lines are done last.
remember() { ((dry_run)) || printf '%s\n' "$*" >>"$state"; }

content() { if [[ -r $1 ]]; then cat "$1"; fi; }

# --- what there is ---

driver_of() { if [[ -e $pci/devices/$1/driver ]]; then basename "$(readlink -f "$pci/devices/$1/driver")"; fi; }
group_of() { if [[ -e $pci/devices/$1/iommu_group ]]; then basename "$(readlink -f "$pci/devices/$1/iommu_group")"; fi; }
node_of() { content "$pci/devices/$1/numa_node"; }
interfaces_of() { # Of most drivers one; none when DPDK has the NIC.
  local path
  for path in "$pci/devices/$1"/net/* "$pci/devices/$1"/virtio*/net/*; do
    if [[ -e $path ]]; then basename "$path"; fi
  done
}
nics() {
  local path
  for path in "$pci"/devices/*; do
    if [[ $(content "$path/class") == 0x0200* ]]; then basename "$path"; fi
  done
}
is_for_dpdk() { [[ $1 == vfio-pci || $1 == uio_pci_generic || $1 == igb_uio ]]; }
# Mellanox and Microsoft: DPDK works beside the kernel's driver, which must stay.
is_shared_with_kernel() { [[ $(content "$pci/devices/$1/vendor") =~ ^0x(15b3|1414)$ ]]; }

# interface_use NAME: why the machine needs it, in a word; empty if it does not.
interface_use() {
  local name use="" iface destination mask rest upper
  while read -r iface destination rest; do
    [[ $iface == "$1" ]] || continue
    read -r _ _ _ _ _ mask _ <<<"$rest"
    if [[ $destination$mask == 0000000000000000 ]]; then use="default route"; else use=${use:-routes}; fi
  done < <(content "$root/proc/net/route")
  while read -r destination mask rest; do
    [[ ${rest##* } == "$1" && $destination != fe80* && $destination != ff* && $mask != 80 ]] || continue
    if [[ $mask == 00 ]]; then use="default route"; else use=${use:-routes}; fi
  done < <(content "$root/proc/net/ipv6_route")
  # What a bridge, a bond or a VLAN above it is needed for, it is.
  for upper in "$root/sys/class/net/$1"/upper_*; do
    [[ -e $upper ]] || continue
    name=${upper##*/upper_}
    rest=$(interface_use "$name")
    if [[ -n $rest && $use != "default route" ]]; then use="$rest by $name"; fi
  done
  echo "$use"
}
nic_use() {
  local interface use
  while read -r interface; do
    use=$(interface_use "$interface")
    if [[ -n $use ]]; then echo "$use"; return; fi
  done < <(interfaces_of "$1")
}

iommu_groups() {
  local path count=0
  for path in "$root"/sys/kernel/iommu_groups/*; do
    if [[ -e $path ]]; then count=$((count + 1)); fi
  done
  echo "$count"
}
iommu_advice() {
  local parameter="iommu=pt" vendor
  vendor=$(content "$root/proc/cpuinfo")
  if [[ $vendor == *GenuineIntel* ]]; then parameter="intel_iommu=on iommu=pt"; fi
  echo "switch VT-d or AMD-Vi on in the firmware and boot with '$parameter' (GRUB_CMDLINE_LINUX in /etc/default/grub," \
    "then update-grub); without one: nic.sh setup --driver uio_pci_generic"
}
has_module() {
  [[ -e $pci/drivers/$1 ]] || grep -qsE "/${1//[-_]/[-_]}\.ko" "$root/lib/modules/$(uname -r)"/modules.{dep,builtin}
}
noiommu_file() { echo "$root/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"; }

size_kb() {
  case $1 in
    2M) echo 2048 ;;
    1G) echo 1048576 ;;
    *) die "--size is 2M or 1G, not '$1'" ;;
  esac
}
# pages_folder NODE KB: "" is the machine's sum.
pages_folder() {
  if [[ -n $1 ]]; then echo "$root/sys/devices/system/node/node$1/hugepages/hugepages-$2kB"; else echo "$root/sys/kernel/mm/hugepages/hugepages-$2kB"; fi
}
pages_in() { echo $(($(content "$1/nr_hugepages") + 0)); }
# hugetlbfs_of KB: where pages of this size are mounted. Without the option it is the machine's default size.
hugetlbfs_of() {
  local directory type options size
  while read -r _ directory type options _; do
    [[ $type == hugetlbfs ]] || continue
    size=2048
    if [[ $options =~ pagesize=([0-9]+)([MG]) ]]; then
      size=$((BASH_REMATCH[1] * 1024))
      if [[ ${BASH_REMATCH[2]} == G ]]; then size=$((size * 1024)); fi
    fi
    if ((size == $1)); then echo "$directory"; return; fi
  done < <(content "$root/proc/mounts")
}

# --- status ---

show_nics() {
  local nic interface link
  printf '%-13s %-16s %-10s %-5s %-6s %-10s %-5s %s\n' NIC driver "IDs" NUMA group interface link "in use"
  while read -r nic; do
    interface=$(interfaces_of "$nic" | head -n 1)
    link=$(content "$root/sys/class/net/${interface:-none}/operstate")
    printf '%-13s %-16s %-10s %-5s %-6s %-10s %-5s %s\n' "$nic" "$(driver_of "$nic")" \
      "$(content "$pci/devices/$nic/vendor" | cut -c3-):$(content "$pci/devices/$nic/device" | cut -c3-)" \
      "$(node_of "$nic")" "$(group_of "$nic")" "${interface:--}" "${link:--}" "$(nic_use "$nic")"
  done < <(nics)
}

show_pages() {
  local folder kb where
  for folder in "$root"/sys/devices/system/node/node*/hugepages/hugepages-*kB; do
    [[ -e $folder/nr_hugepages ]] || continue
    kb=${folder##*hugepages-} kb=${kb%kB}
    where=${folder#"$root/sys/devices/system/node/"} where=${where%%/*}
    printf 'huge pages    %s: %s of %s MiB, %s free\n' "$where" "$(content "$folder/nr_hugepages")" $((kb / 1024)) \
      "$(content "$folder/free_hugepages")"
  done
  printf 'hugetlbfs     2M: %s; 1G: %s\n' "$(hugetlbfs_of 2048)" "$(hugetlbfs_of 1048576)"
}

# missing: one line for each thing without which a NIC cannot be served, with its mend.
missing() {
  local nic any=0 bound=0 pages=0 kb needs_iommu=1
  while read -r nic; do
    any=1
    if is_for_dpdk "$(driver_of "$nic")" || is_shared_with_kernel "$nic"; then bound=1; fi
    if [[ $(driver_of "$nic") == *uio* ]] || is_shared_with_kernel "$nic"; then needs_iommu=0; fi
  done < <(nics)
  if [[ $(content "$(noiommu_file)") == Y ]]; then needs_iommu=0; fi
  if ((!any)); then
    echo "no Ethernet controller on the PCI bus: Sluice can serve by net_tap"
    needs_iommu=0
  elif ((!bound)); then
    echo "no NIC is in DPDK's hands: nic.sh setup --bind PCI"
  fi
  for kb in 2048 1048576; do
    pages=$((pages + $(pages_in "$(pages_folder "" $kb)")))
  done
  if ((!pages)); then echo "no huge pages: nic.sh setup --pages 512 (or boot with hugepages=512)"; fi
  if ((pages)) && [[ -z $(hugetlbfs_of 2048)$(hugetlbfs_of 1048576) ]]; then
    echo "no hugetlbfs is mounted: nic.sh setup --pages $pages"
  fi
  if ((needs_iommu && $(iommu_groups) == 0)); then echo "no IOMMU: $(iommu_advice)"; fi
  if ((any && needs_iommu)) && ! has_module vfio-pci; then
    echo "this kernel has no vfio-pci: install linux-image-amd64 (the cloud flavour lacks it)"
  fi
}

status() {
  local groups lacks line
  show_nics
  show_pages
  groups=$(iommu_groups)
  if ((groups)); then echo "IOMMU         on, $groups groups"; else echo "IOMMU         off"; fi
  if [[ -e $pci/drivers/vfio-pci ]]; then echo "vfio-pci      loaded"; else echo "vfio-pci      not loaded"; fi
  if [[ -e $state ]]; then echo "undo          $(wc -l <"$state") steps in ${state#"$root"}"; fi
  lacks=$(missing)
  if [[ -z $lacks ]]; then echo "nothing is missing"; return 0; fi
  while read -r line; do echo "missing       $line"; done <<<"$lacks"
  return 1
}

# --- setup ---

reserve_pages() { # COUNT SIZE NODE
  local kb folder have directory
  kb=$(size_kb "$2")
  folder=$(pages_folder "$3" "$kb")
  [[ -e $folder/nr_hugepages ]] || die "this machine has no huge pages of $2${3:+ on node $3}"
  have=$(pages_in "$folder")
  if ((have >= $1)); then
    say "huge pages: $have of $2 are there"
  else
    remember restore "$folder/nr_hugepages" "$have"
    put "$1" "$folder/nr_hugepages"
    if ((!dry_run)) && (($(pages_in "$folder") < $1)); then
      # Free memory in pieces: compacted it may do.
      if [[ -w $root/proc/sys/vm/compact_memory ]]; then put 1 "$root/proc/sys/vm/compact_memory"; fi
      put "$1" "$folder/nr_hugepages"
      (($(pages_in "$folder") >= $1)) || die "only $(pages_in "$folder") of $1 pages of $2 could be had:" \
        "memory is short or in pieces; ask for fewer, or boot with 'hugepagesz=$2 hugepages=$1'"
    fi
    say "huge pages: $1 of $2${3:+ on node $3}"
  fi
  if [[ -z $(hugetlbfs_of "$kb") ]]; then
    directory=$root/dev/hugepages-$2
    do_it mkdir -p "$directory"
    remember unmount "$directory"
    do_it mount -t hugetlbfs -o "pagesize=$2" hugetlbfs "$directory"
    say "huge pages: hugetlbfs at ${directory#"$root"}"
  fi
}

# Others of the IOMMU group must be idle: the IOMMU cannot keep them apart.
check_group() {
  local path other driver
  for path in "$pci/devices/$1"/iommu_group/devices/*; do
    [[ -e $path ]] || continue
    other=$(basename "$path") driver=$(driver_of "$(basename "$path")")
    if [[ $other == "$1" || -z $driver || $driver == vfio-pci || $(content "$path/class") == 0x0604* ]]; then continue; fi
    if [[ " ${binds[*]} " == *" $other "* ]]; then continue; fi
    die "$1 shares IOMMU group $(group_of "$1") with $other ($driver): take it too (--bind $other), or use another slot"
  done
}

check_nic() {
  local use
  [[ -e $pci/devices/$1 ]] || die "$1: no such PCI device (nic.sh status lists the NICs)"
  [[ $(content "$pci/devices/$1/class") == 0x0200* ]] || die "$1 is no Ethernet controller"
  if is_shared_with_kernel "$1"; then
    die "$1: DPDK uses this NIC beside the kernel's driver ($(driver_of "$1")): give it to Sluice as it is"
  fi
  use=$(nic_use "$1")
  if [[ -n $use ]] && ((!force)); then
    die "$1 ($(interfaces_of "$1" | head -n 1)) carries the machine's $use: bind another, or say --force"
  fi
  if [[ $driver == vfio-pci && -z $(group_of "$1") ]] && ((!noiommu)); then
    die "$1 is behind no IOMMU, which vfio-pci needs: $(iommu_advice)"
  fi
  if [[ $driver == uio_pci_generic ]] && grep -qs '\[\(integrity\|confidentiality\)\]' "$root/sys/kernel/security/lockdown"; then
    die "the kernel is locked down (Secure Boot): uio_pci_generic cannot work; use vfio-pci with an IOMMU"
  fi
  if [[ $driver == vfio-pci ]]; then check_group "$1"; fi
}

load_driver() {
  local file
  if [[ ! -e $pci/drivers/$driver ]]; then
    has_module "$driver" || die "this kernel has no $driver: install linux-image-amd64 (the cloud flavour lacks it)"
    do_it modprobe "$driver"
  fi
  # vfio asks for the module of the IOMMU's type when it is loaded, but not every modprobe listens.
  if [[ $driver == vfio-pci && ! -e $root/sys/module/vfio_iommu_type1 ]]; then do_it modprobe vfio_iommu_type1; fi
  ((noiommu)) || return 0
  file=$(noiommu_file)
  [[ -e $file ]] || die "--noiommu: this kernel was built without CONFIG_VFIO_NOIOMMU (as Debian's): use --driver uio_pci_generic"
  if [[ $(content "$file") != Y ]]; then
    remember restore "$file" N
    put Y "$file"
  fi
}

# wait_driver PCI NAME: probing may go on behind the write that started it.
wait_driver() {
  local try
  ((dry_run)) && return 0
  for ((try = 0; try < 50; try++)); do
    if [[ $(driver_of "$1") == "$2" ]]; then return 0; fi
    sleep 0.1
  done
  return 1
}

# user_of PCI: a process that has it open. Unbinding it then would hang until that ends, and not listen to Ctrl-C.
user_of() {
  local device="" file pid
  case $(driver_of "$1") in
    vfio-pci) for file in "$root"/dev/vfio/{,noiommu-}"$(group_of "$1")"; do if [[ -e $file ]]; then device=$file; fi; done ;;
    uio_pci_generic) for file in "$pci/devices/$1"/uio/uio*; do device=$root/dev/$(basename "$file"); done ;;
  esac
  [[ -n $device && -e $device ]] || return 0
  for file in "$root"/proc/[0-9]*/fd/*; do
    [[ $file -ef $device ]] || continue
    pid=${file#"$root/proc/"} pid=${pid%%/*}
    echo "$(content "$root/proc/$pid/comm") (process $pid)"
    return
  done
}

# give PCI DRIVER: to this driver, or with "" to the one that the kernel chooses.
give() {
  local now user
  now=$(driver_of "$1")
  user=$(user_of "$1")
  [[ -z $user ]] || die "$1 is used by $user: stop it first"
  put "$2" "$pci/devices/$1/driver_override"
  if [[ -n $now ]]; then
    put "$1" "$pci/devices/$1/driver/unbind"
    wait_driver "$1" "" || die "$1: $now does not let it go (is a process using it?)"
  fi
  put "$1" "$pci/drivers_probe"
}

bind() {
  local now
  now=$(driver_of "$1")
  if [[ $now == "$driver" ]]; then say "$1: in $driver already"; return; fi
  remember bind "$1" "$now"
  give "$1" "$driver"
  wait_driver "$1" "$driver" || die "$1: $driver did not take it (dmesg says why); nic.sh undo gives it back"
  say "$1: ${now:-no driver} -> $driver"
}

setup() {
  local pages="" size=2M node="" driver=vfio-pci noiommu=0 force=0 nic
  local binds=()
  while (($#)); do
    case $1 in
      --pages) pages=${2:?--pages needs a number}; shift ;;
      --size) size=${2:?--size needs 2M or 1G}; shift ;;
      --node) node=${2:?--node needs a number}; shift ;;
      --bind) nic=${2:?--bind needs a PCI address}; [[ $nic == *:*:* ]] || nic=0000:$nic; binds+=("$nic"); shift ;;
      --driver) driver=${2:?--driver needs a name}; shift ;;
      --noiommu) noiommu=1 ;;
      --force) force=1 ;;
      --dry-run) dry_run=1 ;;
      *) die "setup: unknown argument: $1 (see --help)" ;;
    esac
    shift
  done
  [[ $pages =~ ^[0-9]*$ ]] || die "--pages needs a number, not '$pages'"
  [[ $driver == vfio-pci || $driver == uio_pci_generic ]] || die "--driver is vfio-pci or uio_pci_generic, not '$driver'"
  [[ -n $pages || ${#binds[@]} -gt 0 ]] || die "setup: nothing to do: give --pages, --bind or both"
  size_kb "$size" >/dev/null
  need_root
  # Everything that can be refused is, before anything is changed.
  for nic in ${binds[@]+"${binds[@]}"}; do check_nic "$nic"; done
  if [[ -z $node ]] && ((${#binds[@]} == 1)); then
    node=$(node_of "${binds[0]}")
    if [[ $node == -1 ]]; then node=""; fi
  fi
  if [[ -n $pages ]]; then reserve_pages "$pages" "$size" "$node"; fi
  if ((${#binds[@]} > 0)); then load_driver; fi
  for nic in ${binds[@]+"${binds[@]}"}; do bind "$nic"; done
}

# --- undo ---

undo_step() { # WORDS... of a line that `remember` wrote
  case $1 in
    restore) put "${3:-}" "$2" ;;
    unmount) do_it umount "$2" && do_it rmdir "$2" ;;
    bind)
      [[ -e $pci/devices/$2 ]] || { say "$2 is gone"; return; }
      if [[ -n ${3:-} && ! -e $pci/drivers/$3 ]]; then do_it modprobe "$3"; fi
      # A setup that failed may have left it where it was.
      if [[ -n ${3:-} && $(driver_of "$2") == "${3:-}" ]]; then put "" "$pci/devices/$2/driver_override"; else give "$2" ""; fi
      if [[ -n ${3:-} ]] && ! wait_driver "$2" "$3"; then die "$2: $3 did not take it back (dmesg says why)"; fi
      say "$2: -> ${3:-no driver}"
      ;;
  esac
}

undo() {
  local line words
  case ${1:-} in
    --dry-run) dry_run=1 ;;
    "") ;;
    *) die "undo: unknown argument: $1 (see --help)" ;;
  esac
  if [[ ! -e $state ]]; then say "nothing to undo"; return; fi
  need_root
  # Each step leaves the list once it is done: an undo that failed can be repeated.
  while [[ -s $state ]]; do
    ((dry_run)) && { tac "$state" | while read -r -a words; do undo_step "${words[@]}"; done; return; }
    line=$(tail -n 1 "$state")
    read -r -a words <<<"$line"
    undo_step "${words[@]}"
    sed -i '$d' "$state"
  done
  rm -f "$state"
}

need_root() {
  ((EUID == 0 || dry_run)) || [[ -n $root ]] || die "this needs root"
}

case ${1:-} in
  status) [[ $# == 1 ]] || die "status takes no argument"; status ;;
  setup) setup "${@:2}" ;;
  undo) undo "${@:2}" ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
