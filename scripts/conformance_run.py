#!/usr/bin/python3
"""The inside of conformance.sh: runs packetdrill on each script, in a namespace of its own, and reports."""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

# A script takes 0.1 s of waiting for its start and hardly any time after it: the clock is virtual.
TIME_LIMIT_S = 30

ADDRESSES = ("--ip_version=ipv4", "--local_ip=192.168.0.1", "--gateway_ip=192.168.0.1",
             "--netmask_ip=255.255.0.0", "--remote_ip=192.0.2.1")


# What the shell lines of a script find: a namespace in which they may set what they like.
IN_NAMESPACE = ("unshare", "--net", "sh", "-c",
                'ip link set lo up && ip tuntap add dev tun0 mode tun && ip link set tun0 up && exec "$@"', "sh")


@dataclasses.dataclass
class Script:
    topic: str
    tier: str
    name: str
    path: pathlib.Path
    passed: bool = False
    error: str = ""


def from_list(list_file, root, tiers):
    scripts = []
    for number, line in enumerate(list_file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != 5:
            sys.exit(f"{list_file}:{number}: expected 5 columns, found {len(columns)}")
        topic, tier, _suite, _licence, name = columns
        if tier in tiers:
            scripts.append(Script(topic, tier, name, root / name))
    return scripts


def from_paths(paths):
    scripts = []
    for path in paths:
        found = sorted(path.rglob("*.pkt")) if path.is_dir() else [path]
        for file in found:
            name = file.relative_to(path).as_posix() if path.is_dir() else file.as_posix()
            topic = pathlib.PurePath(name).parent.name or path.resolve().name
            scripts.append(Script(topic, "", name, file))
    return scripts


def last_words(output, status):
    """packetdrill's line about the fault, and what it compares: two packets, or an assertion and its value."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    details = ("script packet:", "actual packet:", "assert ", "AssertionError")
    packets = [line for line in lines if line.startswith(details)]
    lines = [line for line in lines if not line.startswith(details)] or lines
    told = next((line for line in lines if re.search(r"\.pkt:\d+:", line)), lines[-1] if lines else "")
    if status in (124, 137):
        told = f"no end within {TIME_LIMIT_S} s. {told}".strip()
    return "\n".join([told or f"exit status {status}, no word", *packets])


def run(script, options):
    if not script.path.is_file():
        script.error = "no such file"
        return script
    command = ["timeout", "-k", "2", str(TIME_LIMIT_S), *IN_NAMESPACE, "env", f"LD_PRELOAD={options.plugin}",
               str(options.packetdrill), *ADDRESSES, f"--so_filename={options.plugin}",
               f"--so_flags={options.flags}", script.path.name]
    # Scripts name their helpers relative to their own folder.
    done = subprocess.run(command, cwd=script.path.parent, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    script.passed = done.returncode == 0
    if not script.passed:
        script.error = last_words(done.stdout.decode("utf-8", "replace"), done.returncode)
    return script


def print_table(scripts):
    rows = {}
    for script in scripts:
        row = rows.setdefault((script.topic, script.tier), [0, 0])
        row[0] += script.passed
        row[1] += 1
    width = max(len(topic) for topic, _tier in rows)
    for (topic, tier), (passed, total) in sorted(rows.items()):
        print(f"{topic:{width}}  {tier:4}  {passed:4}/{total}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packetdrill", type=pathlib.Path, required=True)
    parser.add_argument("--plugin", type=pathlib.Path, required=True)
    parser.add_argument("--flags", default="mask_psh")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--list", type=pathlib.Path)
    parser.add_argument("--root", type=pathlib.Path)
    parser.add_argument("--tier", default="T1,T1d")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("scripts", nargs="*", type=pathlib.Path)
    options = parser.parse_args()

    scripts = from_paths(options.scripts)
    if options.list:
        scripts += from_list(options.list, options.root or options.list.parent, options.tier.split(","))
    if not scripts:
        print("conformance: no script to run", file=sys.stderr)
        return 2

    with concurrent.futures.ThreadPoolExecutor(max(options.jobs, 1)) as pool:
        scripts = list(pool.map(lambda script: run(script, options), scripts))

    failed = [script for script in scripts if not script.passed]
    for script in failed:
        print(f"FAILED {script.name}")
        for line in script.error.splitlines():
            print(f"       {line}")
    print_table(scripts)
    results = [{"topic": s.topic, "tier": s.tier, "script": s.name, "passed": s.passed, "error": s.error}
               for s in scripts]
    summary = {"passed": len(scripts) - len(failed), "failed": len(failed), "scripts": results}
    options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"{len(scripts) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
