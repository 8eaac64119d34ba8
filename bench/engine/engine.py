#!/usr/bin/python3
"""The engine suite: what the server's stack costs alone, its peer a replayer of templates outside of what is timed.

Rates and cycles by bench_engine, each figure's runs in processes of their own, those that are compared in turn.
Instructions are the instructions suite's. Ends with 77, and says why, where memory lacks for 10 M connections.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "report"))

import results  # noqa: E402: the path comes first

MSS_BITS = 1448 * 8  # of what the application gets
SCALE = {"1": 1, "1k": 1000, "10k": 10_000, "1m": 1_000_000, "10m": 10_000_000}
# As bench_engine calls an operation, and as its results are called.
AT_SCALE = {"rr64_acked": "rr64", "receive": "rx", "connection": "conn", "send": "tx"}
GIB = 1 << 30
NEEDED_GIB = {"10m": 4, "20m": 8}


class Bench:
    def __init__(self, arguments):
        self.program = pathlib.Path(arguments.build_dir) / "bench" / "engine" / "bench_engine"
        self.runs = arguments.runs
        self.command = arguments.command
        self.results = []
        if not self.program.exists():
            sys.exit(f"engine.py: {self.program} is not built")

    def start(self, operation, count, *options, cpu=None):
        """bench_engine in a session of its own, before all others if we may (docs/measuring.md)."""
        file = tempfile.NamedTemporaryFile(suffix=".json")  # closed, and so removed, by finish()
        command = [str(self.program), operation, str(count), "--json", file.name, *map(str, options)]
        command = ["taskset", "-c", str(cpu if cpu is not None else min(os.sched_getaffinity(0))), *command]

        def alone():
            os.setsid()
            try:
                with open("/proc/self/autogroup", "w", encoding="ascii") as group:
                    group.write("-20")
            except OSError:
                pass  # not root: as it is

        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=alone), file

    @staticmethod
    def finish(started):
        process, file = started
        _, error = process.communicate(timeout=600)
        if process.returncode != 0:
            sys.exit(f"engine.py: {error.strip()}")
        with file:
            return json.load(file)

    def run(self, operation, count, *options, cpu=None):
        return self.finish(self.start(operation, count, *options, cpu=cpu))

    def add(self, name, unit, values):
        one = results.result(name, unit, values, self.command)
        self.results.append(one)
        print(f"{name:44} {results.figure(one['median']):>12} {unit}  ({results.figure(one['min'])} to {results.figure(one['max'])})", flush=True)


def rates(said):
    """Operations a second of the processes' runs, medians of each process."""
    return [one["per_s"] for one in said if one["operation"] != "memory"]


def measure_rates(bench):
    for name, operation, count, options, scale, unit in (
            ("engine.rr64_per_s", "rr64", 640_000, ("--open", 1000), 1, "1/s"),
            ("engine.conn_full_per_s", "connection", 160_000, (), 1, "1/s"),
            ("engine.bulk_rx_gbps", "receive", 640_000, (), MSS_BITS / 1e9, "Gbit/s"),
            ("engine.bulk_tx_gbps", "send", 640_000, (), MSS_BITS / 1e9, "Gbit/s")):
        values = []
        for _ in range(bench.runs):
            values += [rate * scale for rate in rates(bench.run(operation, count, "--runs", 3, *options))]
        bench.add(name, unit, values)


def measure_scale(bench):
    """Each operation beside so many open connections; requests go to any of them, and each response is acknowledged apart."""
    cycles = {operation: {name: [] for name in SCALE} for operation in AT_SCALE}
    memory = []
    for _ in range(max(bench.runs // 2, 3)):
        for name, count in SCALE.items():
            is_largest = name == "10m"
            said = bench.run(",".join(AT_SCALE), 160_000, "--open", count, "--runs", 5, *(["--memory"] if is_largest else []))
            for one in said:
                if one["operation"] == "memory":
                    memory.append(one)
                else:
                    cycles[one["operation"]][name].append(statistics.median(one["cycles"]))
    for operation, of_size in cycles.items():
        for name, values in of_size.items():
            bench.add(f"engine.{AT_SCALE[operation]}_cycles_{name}", "cycles", values)
    requests = cycles["rr64_acked"]
    bench.add("engine.rr_ratio_10m_1k", "", [large / small for large, small in zip(requests["10m"], requests["1k"])])
    bench.add("mem.gib_10m_conns", "GiB", [one["octets_after_requests"] / GIB for one in memory])
    million = bench.run("rr64_acked", 32_000, "--open", SCALE["1m"], "--memory")[0]
    # What does not grow with connections (pools, tables of a worker) goes by the difference.
    bench.add("mem.bytes_per_idle_conn", "octets",
              [(one["octets"] - million["octets"]) / (one["open"] - million["open"]) for one in memory])


def measure_20_million(bench):
    said = bench.run("rr64_acked", 320_000, "--open", 20_000_000, "--memory")
    bench.add("mem.gib_20m_conns", "GiB", [one["octets_after_requests"] / GIB for one in said if one["operation"] == "memory"])
    bench.add("engine.rr64_cycles_20m", "cycles", [statistics.median(one["cycles"]) for one in said if one["operation"] != "memory"])


def measure_workers(bench):
    """Two workers, a core each, that make their own packets, beside each of them alone."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        print("skipped: scale.two_workers_ratio: one CPU is ours")
        return
    ratios = []
    of_registers = []
    options = ("--open", 1000, "--runs", 9)
    for _ in range(max(bench.runs, 5)):
        alone = [rates(bench.run("rr64", 640_000, *options, cpu=cpu))[0] for cpu in cpus]
        both = [bench.start("rr64", 640_000, *options, cpu=cpu) for cpu in cpus]
        together = [rates(bench.finish(started))[0] for started in both]
        ratios.append(2 * sum(together) / sum(alone))
        alone = [additions(bench, cpu) for cpu in cpus]
        of_registers.append(2 * sum(additions(bench, *cpus)) / sum(map(sum, alone)))
    bench.add("scale.two_workers_ratio", "", ratios)
    # What the machine gives at most: half of 2 where two CPUs are threads of one core.
    bench.add("scale.two_cpus_registers_ratio", "", of_registers)


def additions(bench, *cpus):
    """Additions to registers a second, on each of `cpus` at once."""
    program = bench.program.with_name("bench_registers")
    running = [subprocess.Popen(["taskset", "-c", str(cpu), program], stdout=subprocess.PIPE, text=True) for cpu in cpus]
    return [float(one.communicate(timeout=60)[0]) for one in running]


def available_gib():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / (1 << 20)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--command", default="bench/engine/engine.py")
    bench = Bench(parser.parse_args())
    if available_gib() < NEEDED_GIB["10m"]:
        print(f"skipped: engine: {NEEDED_GIB['10m']} GiB are wanted for 10 M connections")
        sys.exit(77)
    measure_rates(bench)
    measure_scale(bench)
    if available_gib() >= NEEDED_GIB["20m"]:
        measure_20_million(bench)
    else:
        print(f"skipped: 20 M connections: {NEEDED_GIB['20m']} GiB are wanted")
    measure_workers(bench)
    results.save(parser.parse_args().json, bench.results)


if __name__ == "__main__":
    main()
