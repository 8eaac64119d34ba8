"""sluice-load -> sluice-httpd in two processes, one core each, over a link in memory.

    sluice-load (10.98.1.1 to .64) ── memif, or virtio-user and vhost-user ── 10.98.0.2 sluice-httpd

The server closes first where a connection is for one request. All figures are the client's.
"""

import json
import os

from lab import Stats, expect, wait_until

SERVER = "10.98.0.2"
CLIENTS = "10.98.1.1-10.98.1.64/16"
SECONDS = 10
TIME_WAIT = 4_000_000  # Entries: what a million connections a second leave in four seconds.
STEPS = (0.5, 1, 1.5, 2)


class Link:
    """A sluice-httpd at one end of a link of its own; sluice-loads at the other, one after another."""

    def __init__(self, lab, kind, number):
        self.lab = lab
        self.kind = kind
        self.instance = f"{lab.namespace}.{kind}{number}"
        self.socket = lab.folder / f"{kind}{number}.socket"
        self.number = number
        self.runs = 0
        (lab.folder / "empty.toml").write_text("", encoding="utf-8")
        self.server = self.start("sluice-httpd", 0, self.instance, "--device", self.server_device(), "--address", f"{SERVER}/16",
                                 "--set", f"tcp.max_time_wait={TIME_WAIT}", "--set", "tcp.max_connections=200000",
                                 "--set", "tcp.max_half_open=65536", "--set", "gate.syn_ack_prefix_rate=100000000", "--set", "gate.syn_ack_prefix_burst=1000000")
        wait_until(self.serves, 20, f"sluice-httpd over {kind} to serve")

    def serves(self):
        expect(self.server.is_running(), f"sluice-httpd ended: {self.server.err().strip()}")
        return "listening" in self.server.out() + self.server.err()

    def start(self, program, cpu, instance, *options):
        cpus = sorted(os.sched_getaffinity(0))
        return self.lab.start(f"{program}.{instance}", "taskset", "-c", cpus[cpu % len(cpus)], self.lab.program(program),
                              "--config", self.lab.folder / "empty.toml", "--instance", instance, "--idle", "spin", *options)

    def server_device(self):
        return {"memif": f"net_memif0,role=server,socket={self.socket},socket-abstract=no",
                "vhost": f"net_vhost0,iface={self.socket},queues=1"}[self.kind]

    def client_device(self):
        return {"memif": f"net_memif0,role=client,mac=02:00:00:00:00:07,socket={self.socket},socket-abstract=no",
                "vhost": f"net_virtio_user0,mac=02:00:00:00:00:07,path={self.socket},queues=1"}[self.kind]

    def load(self, *options, seconds=SECONDS, phases=1):
        """What sluice-load says of a run: its measured phases."""
        self.runs += 1
        result = self.lab.folder / f"load{self.number}.{self.runs}.json"
        client = self.start("sluice-load", 1, f"{self.instance}.load{self.runs}", "--device", self.client_device(), "--address", CLIENTS,
                            "--target", f"{SERVER}:80", "--duration", f"{seconds}s", "--json", result, "--quiet", "--max-errors", "100%",
                            *options)
        status = client.wait(phases * seconds + 60)
        expect(status == 0, f"sluice-load gave {status}: {client.err().strip()}")
        return json.loads(result.read_text(encoding="utf-8"))["phases"]

    def stats(self):
        return Stats(json.loads(self.lab.ctl(self.instance, "stats", "--json")))


def overload(link, figures, prefix, capacity):
    """Open loop at shares of what it can carry: goodput must not fall."""
    rates = ",".join(f"{capacity * share:.0f}" for share in STEPS)
    phases = link.load("--mode", "http", "--connections", 256, "--pipeline", 32, "--steps", rates, seconds=4, phases=len(STEPS))
    goodput = [phase["answered_in_time_per_s"] for phase in phases]
    for share, phase in zip(STEPS, goodput):
        figures.add(f"{prefix}.overload_{share:g}x_rps", "1/s", phase)
    figures.add(f"{prefix}.overload_2x_ratio", "", goodput[-1] / max(goodput))


def run_over(kind, lab, figures, rounds):
    prefix = f"wire.{kind}"
    for number in range(rounds):
        link = Link(lab, kind, number)
        keepalive = link.load("--mode", "http", "--connections", 256, "--path", "/bytes/64")[0]
        figures.add(f"{prefix}.keepalive_rps", "1/s", keepalive["answered_in_time_per_s"])
        figures.add(f"{prefix}.keepalive_p99_us", "us", keepalive["latency_us"]["p99"])
        figures.add(f"{prefix}.keepalive_1k_rps", "1/s",
                    link.load("--mode", "http", "--connections", 256, "--path", "/bytes/1024")[0]["answered_in_time_per_s"])
        figures.add(f"{prefix}.pipelined_rps", "1/s",
                    link.load("--mode", "http", "--connections", 256, "--pipeline", 8)[0]["answered_in_time_per_s"])
        before = link.stats()
        closing = link.load("--mode", "http-close", "--connections", 1024)[0]
        after = link.stats()
        figures.add(f"{prefix}.conn_per_s", "1/s", closing["answered_in_time_per_s"])
        figures.add(f"{prefix}.conn_failed", "", closing["failed"])
        figures.add(f"{prefix}.time_wait_entries", "", after.now("time_wait"))
        for counter in ("TimeWaitEvicted", "TimeWaitReused"):
            figures.add(f"{prefix}.{counter}", "", after.counter(counter) - before.counter(counter))
        figures.add(f"{prefix}.bulk_gbps", "Gbit/s",
                    link.load("--mode", "download", "--size", "100M", "--connections", 4)[0]["received_bits_per_s"] / 1e9)
        overload(link, figures, prefix, keepalive["answered_in_time_per_s"])
        link.server.signal(15)
        expect(link.server.wait(20) in (0, 3), "sluice-httpd does not end")


ROWS = (("keep-alive, 64 octets (requests/s)", "keepalive_rps", "{:,.0f}"), ("  p99 (us)", "keepalive_p99_us", "{:,.0f}"),
        ("keep-alive, 1 KiB (requests/s)", "keepalive_1k_rps", "{:,.0f}"), ("8 under way on each connection (requests/s)", "pipelined_rps", "{:,.0f}"),
        ("a connection for each request (1/s)", "conn_per_s", "{:,.0f}"), ("  failed", "conn_failed", "{:,.0f}"),
        ("  TIME-WAIT entries at the end", "time_wait_entries", "{:,.0f}"), ("  evicted early", "TimeWaitEvicted", "{:,.0f}"),
        ("  reused by a newer SYN (RFC 6191)", "TimeWaitReused", "{:,.0f}"), ("bulk, 4 connections (Gbit/s)", "bulk_gbps", "{:,.2f}"),
        *((f"open loop at {share:g} times that (answered/s)", f"overload_{share:g}x_rps", "{:,.0f}") for share in STEPS),
        ("goodput at twice the load, of the best", "overload_2x_ratio", "{:,.2f}"))


class Part:
    """sluice-load and sluice-httpd over one kind of link."""

    def __init__(self, kind, title):
        self.kind = kind
        self.title = title

    def run(self, lab, figures, rounds):
        run_over(self.kind, lab, figures, rounds)

    def print_table(self, figures):
        print(self.title)
        for text, name, form in ROWS:
            figures.row(f"  {text}", f"wire.{self.kind}.{name}", form)
