#!/usr/bin/python3
"""Google Benchmark's JSON as results of ours, with the ratios that are asked for: micro.py COMMAND OUT.json GOOGLE.json..."""

import json
import sys

import results

SIZES = {1_000: "1k", 100_000: "100k", 1_000_000: "1m", 10_000_000: "10m", 30_000_000: "30m"}
# name: what it costs at ten million, in times of what it costs at a thousand
RATIOS = {"table.lookup_ratio_10m_1k": "table.lookup_hit", "table.lookup_miss_ratio_10m_1k": "table.lookup_miss",
          "table.lookup_with_key_ratio_10m_1k": "table.lookup_hit_with_key", "timer.idle_ratio_10m_1k": "timer.idle_turn"}


def name_of(run_name):
    """`table.erase/1000000/manual_time` is table.erase_1m."""
    name, *rest = run_name.split("/")
    for part in rest:
        if part.isdigit():
            name += "_" + SIZES.get(int(part), part)
    return name


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    command, out, *files = sys.argv[1:]
    runs = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            runs += [run for run in json.load(file)["benchmarks"] if run["run_type"] == "iteration"]
    values, units = {}, {}  # of an item, by name, in order of the repetitions: TSC cycles or ns of CPU time
    for run in runs:
        if run.get("error_occurred"):
            sys.exit(f"{run['run_name']}: {run['error_message']}")
        name = name_of(run["run_name"])
        units[name] = "cycles" if "cycles" in run else "ns"
        values.setdefault(name, []).append(run["cycles"] if "cycles" in run else 1e9 / run["items_per_second"])
    found = [results.result(name, units[name], each, command) for name, each in values.items()]
    for name, base in RATIOS.items():
        small, large = values.get(base + "_1k"), values.get(base + "_10m")
        if small and large:
            found.append(results.result(name, "ratio", [b / a for a, b in zip(small, large)], command))
    results.save(out, found)


if __name__ == "__main__":
    main()
