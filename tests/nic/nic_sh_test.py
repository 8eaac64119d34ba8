#!/usr/bin/python3
"""scripts/nic.sh on a made-up machine: a folder with what it reads of /sys, /proc and /dev, in which a thread plays the
kernel that binds drivers. Needs no root. Ends with `N passed, M failed`."""

import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import traceback

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/nic.sh"
MANAGEMENT, DATA, NEIGHBOUR, MELLANOX = "0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0"
STOP = "stop"

# Stand-ins for the commands that would change this machine.
COMMANDS = {
    "modprobe": 'mkdir -p "$SYSFS_ROOT/sys/module/$1" "$SYSFS_ROOT/sys/bus/pci/drivers/$1"; '
                '[[ -p $SYSFS_ROOT/sys/bus/pci/drivers/$1/unbind ]] || mkfifo "$SYSFS_ROOT/sys/bus/pci/drivers/$1/unbind"',
    "mount": 'echo "hugetlbfs ${*: -1} hugetlbfs rw,$4 0 0" >>"$SYSFS_ROOT/proc/mounts"',
    "umount": 'sed -i "\\\\# $1 #d" "$SYSFS_ROOT/proc/mounts"',
}


class Machine:
    """Two igb NICs, the first with the default route, a third port in the second's IOMMU group, and a Mellanox NIC."""

    def __init__(self, folder):
        self.root = folder / "root"
        self.pci = self.root / "sys/bus/pci"
        self.threads = {}
        self.write("proc/net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
                                     "br0 00000000 0100000A 0003 0 0 0 00000000\nbr0 0000000A 00000000 0001 0 0 0 00FFFFFF\n")
        self.write("proc/net/ipv6_route", "fe800000000000000000000000000000 40 0 00 0 0 0 0 00000001 eth1\n")
        self.write("proc/cpuinfo", "vendor_id : GenuineIntel\n")
        self.write("proc/mounts", "tmpfs /run tmpfs rw 0 0\n")
        self.write(f"lib/modules/{os.uname().release}/modules.dep", "kernel/vfio-pci.ko:\nkernel/uio_pci_generic.ko:\n")
        for path in ("sys/kernel/mm/hugepages", "sys/devices/system/node/node1/hugepages"):
            self.write(f"{path}/hugepages-2048kB/nr_hugepages", "0")
            self.write(f"{path}/hugepages-2048kB/free_hugepages", "0")
        (self.root / "run").mkdir()
        os.mkfifo(self.make("sys/bus/pci/drivers_probe"))
        self.driver("igb")
        self.driver("mlx5_core")
        self.device(MANAGEMENT, "eth0", "igb", group=1)
        self.device(DATA, "eth1", "igb", group=2, node=1)
        self.device(MELLANOX, "eth3", "mlx5_core", group=3, vendor="0x15b3")
        self.make("sys/class/net/eth0/upper_br0").touch()
        self.commands = folder / "commands"
        self.commands.mkdir()
        for name, text in COMMANDS.items():
            path = self.commands / name
            path.write_text(f"#!/bin/bash\n{text}\n", encoding="ascii")
            path.chmod(0o755)
        self.serve(self.pci / "drivers_probe", self.probe)

    # --- making it ---

    def make(self, path):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def write(self, path, text):
        self.make(path).write_text(text, encoding="ascii")

    def read(self, path):
        return (self.root / path).read_text(encoding="ascii").strip()

    def driver(self, name):
        (self.pci / "drivers" / name).mkdir(parents=True, exist_ok=True)
        if not (self.pci / "drivers" / name / "unbind").exists():
            os.mkfifo(self.pci / "drivers" / name / "unbind")

    def device(self, address, interface, driver, group=None, node=-1, vendor="0x8086"):
        path = f"sys/bus/pci/devices/{address}"
        for name, text in {"class": "0x020000", "vendor": vendor, "device": "0x10c9", "numa_node": str(node), "usual": driver,
                           "driver_override": ""}.items():
            self.write(f"{path}/{name}", text)
        self.make(f"{path}/net/{interface}").mkdir(parents=True)
        self.write(f"sys/class/net/{interface}/operstate", "up")
        self.attach(address, driver)
        if group is not None:
            members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(self.pci / "devices" / address)
            (self.pci / "devices" / address / "iommu_group").symlink_to(members.parent)

    # --- playing the kernel ---

    def serve(self, fifo, act):
        # Open for both: a reader alone would see an end after each writer, and lose what the next one writes just then.
        lines = os.fdopen(os.open(fifo, os.O_RDWR), "rb", buffering=0)

        def loop():
            with lines:
                while (word := lines.readline().decode().strip()) != STOP:
                    act(word)

        self.threads[fifo] = threading.Thread(target=loop, daemon=True)
        self.threads[fifo].start()

    def attach(self, address, driver):
        self.driver(driver)
        unbind = self.pci / "drivers" / driver / "unbind"
        if unbind not in self.threads:
            self.serve(unbind, lambda word: (self.pci / "devices" / word / "driver").unlink())
        # Last, for nic.sh goes on as soon as it sees this.
        (self.pci / "devices" / address / "driver").symlink_to(self.pci / "drivers" / driver)

    def probe(self, address):
        override = self.read(f"sys/bus/pci/devices/{address}/driver_override")
        self.attach(address, override or self.read(f"sys/bus/pci/devices/{address}/usual"))

    def stop(self):
        for fifo, thread in self.threads.items():
            fifo.write_text(f"{STOP}\n", encoding="ascii")
            thread.join()

    # --- looking at it ---

    def driver_of(self, address):
        link = self.pci / "devices" / address / "driver"
        return link.resolve().name if link.exists() else ""

    def run(self, *words):
        """(exit status, all output) of nic.sh."""
        environment = {**os.environ, "SYSFS_ROOT": str(self.root), "PATH": f"{self.commands}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", str(SCRIPT), *words], env=environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120, check=False)
        return done.returncode, done.stdout

    def must(self, *words):
        status, text = self.run(*words)
        assert status == 0, f"nic.sh {' '.join(words)} gave {status}:\n{text}"
        return text

    def must_refuse(self, *words, because):
        before = self.picture()
        status, text = self.run(*words)
        assert status == 1 and because in text, f"nic.sh {' '.join(words)} gave {status}, not '{because}':\n{text}"
        assert self.picture() == before, f"nic.sh {' '.join(words)} refused, but changed something"

    def picture(self):
        """All that nic.sh could have changed."""
        files = {str(path): path.read_text(encoding="ascii").strip() for path in sorted(self.root.rglob("*")) if path.is_file()}
        return files, {address: self.driver_of(address) for address in (MANAGEMENT, DATA, MELLANOX)}


PAGES = "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"


def status_says_what_is_there_and_missing(machine):
    status, text = machine.run("status")
    assert status == 1
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("0000:")}
    assert lines.keys() == {MANAGEMENT, DATA, MELLANOX}, text
    assert "default route by br0" in lines[MANAGEMENT] and "eth0" in lines[MANAGEMENT], text
    assert lines[DATA].split() == [DATA, "igb", "8086:10c9", "1", "2", "eth1", "up"], text
    assert "no huge pages: nic.sh setup --pages" in text, text
    assert "IOMMU         on, 3 groups" in text, text


def setup_and_undo_come_back_to_where_they_began(machine):
    before = machine.picture()
    machine.must("setup", "--pages", "64", "--bind", DATA)
    assert machine.driver_of(DATA) == "vfio-pci"
    assert machine.read(PAGES) == "64", "the pages are not on the NIC's NUMA node"
    assert "/dev/hugepages-2M hugetlbfs" in machine.read("proc/mounts")
    after = machine.picture()
    machine.must("setup", "--pages", "64", "--bind", DATA)
    machine.must("setup", "--pages", "32", "--node", "1")
    assert machine.picture() == after, "a second setup changed something"
    machine.must("undo")
    assert machine.driver_of(DATA) == "igb"
    files, drivers = machine.picture()
    files[str(machine.pci / "devices" / DATA / "driver_override")] = ""  # An empty line clears it.
    assert (files, drivers) == before
    assert "nothing to undo" in machine.must("undo")


def dry_run_says_and_changes_nothing(machine):
    before = machine.picture()
    text = machine.must("setup", "--pages", "64", "--bind", DATA, "--dry-run")
    assert f"would write: '{DATA}' to /sys/bus/pci/drivers_probe" in text and "would run: modprobe vfio-pci" in text, text
    assert machine.picture() == before
    machine.must("setup", "--bind", DATA)
    before = machine.picture()
    machine.must("undo", "--dry-run")
    assert machine.picture() == before


def the_way_to_the_machine_is_not_cut(machine):
    machine.must_refuse("setup", "--bind", MANAGEMENT, because="default route by br0")
    machine.write("proc/net/ipv6_route", "20010db8000000000000000000000000 40 0 00 0 0 0 0 00000001 eth1\n")
    machine.must_refuse("setup", "--bind", DATA, because="carries the machine's routes")
    machine.must("setup", "--bind", MANAGEMENT, "--force")
    assert machine.driver_of(MANAGEMENT) == "vfio-pci"


def nics_that_dpdk_shares_with_the_kernel_stay(machine):
    machine.must_refuse("setup", "--bind", MELLANOX, because="beside the kernel's driver")


def what_cannot_work_is_refused_before_anything_is_changed(machine):
    machine.must_refuse("setup", "--bind", "0000:09:00.0", because="no such PCI device")
    machine.must_refuse("setup", "--pages", "many", because="needs a number")
    machine.must_refuse("setup", "--pages", "8", "--size", "4M", because="2M or 1G")
    machine.must_refuse("setup", "--pages", "8", "--size", "1G", because="no huge pages of 1G")
    machine.must_refuse("setup", "--bind", DATA, "--driver", "igb", because="vfio-pci or uio_pci_generic")
    machine.must_refuse("setup", because="nothing to do")
    machine.device(NEIGHBOUR, "eth2", "igb", group=2)
    machine.must_refuse("setup", "--bind", DATA, because=f"shares IOMMU group 2 with {NEIGHBOUR}")
    machine.must("setup", "--bind", DATA, "--bind", NEIGHBOUR)


def without_an_iommu_uio_is_the_way(machine):
    (machine.pci / "devices" / DATA / "iommu_group").unlink()
    machine.must_refuse("setup", "--bind", DATA, because="intel_iommu=on iommu=pt")
    machine.write("sys/kernel/security/lockdown", "none [integrity] confidentiality")
    machine.must_refuse("setup", "--bind", DATA, "--driver", "uio_pci_generic", because="Secure Boot")
    machine.write("sys/kernel/security/lockdown", "[none] integrity confidentiality")
    machine.must("setup", "--bind", DATA.removeprefix("0000:"), "--driver", "uio_pci_generic")
    assert machine.driver_of(DATA) == "uio_pci_generic"


def no_iommu_mode_needs_the_kernels_consent_and_is_withdrawn(machine):
    (machine.pci / "devices" / DATA / "iommu_group").unlink()
    machine.driver("vfio-pci")
    status, text = machine.run("setup", "--bind", DATA, "--noiommu")
    assert status == 1 and "CONFIG_VFIO_NOIOMMU" in text, text
    parameter = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    machine.write(parameter, "N")
    machine.must("setup", "--bind", DATA, "--noiommu")
    assert machine.read(parameter) == "Y"
    machine.must("undo")
    assert machine.read(parameter) == "N"


def fewer_pages_than_asked_for_are_an_error(machine):
    (machine.root / PAGES).unlink()
    (machine.root / PAGES).symlink_to("/dev/null")  # Takes any number and then has none.
    status, text = machine.run("setup", "--pages", "8", "--node", "1")
    assert status == 1 and "only 0 of 8 pages of 2M" in text and "hugepagesz=2M hugepages=8" in text, text


CASES = (status_says_what_is_there_and_missing, setup_and_undo_come_back_to_where_they_began, dry_run_says_and_changes_nothing,
         the_way_to_the_machine_is_not_cut, nics_that_dpdk_shares_with_the_kernel_stay,
         what_cannot_work_is_refused_before_anything_is_changed, without_an_iommu_uio_is_the_way,
         no_iommu_mode_needs_the_kernels_consent_and_is_withdrawn, fewer_pages_than_asked_for_are_an_error)


def main():
    failed = 0
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="sluice-nic.") as folder:
            machine = Machine(pathlib.Path(folder))
            try:
                case(machine)
                print(f"ok    {case.__name__}", flush=True)
            except Exception:  # noqa: BLE001: whatever it was, the next case still runs
                failed += 1
                print(f"FAIL  {case.__name__}\n{traceback.format_exc(limit=-3)}", flush=True)
            finally:
                machine.stop()
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
