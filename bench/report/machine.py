#!/usr/bin/python3
"""Describes the machine that measures, and what it is given to do: machine.py BUILD-DIR OUT.json"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def said(*command):
    """What a command says; nothing if it is not here or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def field(text, name):
    found = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def caches():
    found = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        found.append({"level": int(read(index / "level") or 0), "type": read(index / "type"), "size": read(index / "size"),
                      "shared_by": read(index / "shared_cpu_list")})
    return found


def tsc_hz(cpuinfo):
    """From the kernel's own calibration: of a constant TSC, BogoMIPS is twice its MHz."""
    if "constant_tsc" not in field(cpuinfo, "flags").split():
        return None
    return round(float(field(cpuinfo, "bogomips") or 0) * 500_000) or None


def compiler(build):
    for line in read(pathlib.Path(build) / "meson-logs" / "meson-log.txt").splitlines():
        if line.startswith("C++ compiler for the host machine:"):
            quoted = re.search(r'"(.*)"', line)
            return quoted[1] if quoted else line.partition(":")[2].strip()
    return ""


def describe(build):
    cpuinfo, meminfo = read("/proc/cpuinfo"), read("/proc/meminfo")
    return {
        "cpu": field(cpuinfo, "model name"),
        "cpus": os.cpu_count(),
        "cpus_allowed": len(os.sched_getaffinity(0)),
        "is_virtual": "hypervisor" in field(cpuinfo, "flags").split(),
        "caches": caches(),
        "tsc_hz": tsc_hz(cpuinfo),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_kib": int((field(meminfo, "MemTotal") or "0").split()[0]),
        "huge_pages": {"total": int(field(meminfo, "HugePages_Total") or 0), "size": field(meminfo, "Hugepagesize"),
                       "transparent": read("/sys/kernel/mm/transparent_hugepage/enabled")},
        "numa_nodes": len(list(pathlib.Path("/sys/devices/system/node").glob("node[0-9]*"))),
        "kernel": platform.release(),
        "compiler": compiler(build),
        "dpdk": said("pkg-config", "--modversion", "libdpdk"),
        "commit": said("git", "rev-parse", "HEAD"),
        "is_modified": bool(said("git", "status", "--porcelain", "--untracked-files=no")),
        "load_average": list(os.getloadavg()),
    }


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    machine = describe(sys.argv[1])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(machine, file, indent=1)
        file.write("\n")
    load = machine["load_average"][0]
    print(f"{machine['cpu']}, {machine['cpus']} CPUs, kernel {machine['kernel']}, {machine['compiler'] or 'compiler unknown'}, "
          f"DPDK {machine['dpdk'] or 'unknown'}, commit {machine['commit'][:12]}{' (modified)' if machine['is_modified'] else ''}")
    if load > 0.5:
        print(f"load average {load:.1f}: others work here, see docs/measuring.md; medians and instructions count, single figures do not")


if __name__ == "__main__":
    main()
