"""sluice-load -> sluice-httpd in two processes, one core each, over a link in memory.

    sluice-load (10.98.1.1 to .64) ── memif, or virtio-user and vhost-user ── 10.98.0.2 sluice-httpd

The server closes first where a connection is for one request; timestamps are on. Rates are the client's; how busy each
of the two is, is its own BusyTime: rounds of its loop in which something moved.
"""

import json
import os
import time

from lab import Stats, expect, wait_until

SERVER = "10.98.0.2"
CLIENTS = "10.98.1.1-10.98.1.64/16"
SECONDS = 3
CONNECTING_SECONDS = 10  # At a million a second: until each port of each client was in TIME-WAIT, and more.
TIME_WAIT = 4_000_000
WARM_UP = 1
STEPS = (0.5, 1, 1.5, 2)
# Of a page that costs the server more than the client: of others one core cannot ask for twice what one core answers.
PAGES = ("--mode", "http", "--connections", 256, "--pipeline", 32, "--path", "/status")
CROWD = ("--mode", "http-close", "--connections", 10_000, "--set", "pools.receive_pkts=131072")


class Link:
    """A sluice-httpd and a sluice-load at the two ends of a link of their own.

    Each measurement has new ones: TIME-WAIT of a client that is gone would refuse the next one, whose clock of
    timestamps is another, and the memif PMD of DPDK 22.11 may crash when its peer leaves while it receives.
    """

    def __init__(self, lab, kind):
        lab.numbers += 1
        self.lab = lab
        self.kind = kind
        self.instance = f"{lab.namespace}.{kind}{lab.numbers}"
        self.socket = lab.folder / f"{kind}{lab.numbers}.socket"
        (lab.folder / "empty.toml").write_text("", encoding="utf-8")
        self.server = self.start("sluice-httpd", 0, self.instance, "--device", self.server_device(), "--address", f"{SERVER}/16",
                                 "--set", f"tcp.max_time_wait={TIME_WAIT}", "--set", "tcp.max_connections=200000",
                                 "--set", "tcp.max_half_open=65536", "--set", "pools.receive_pkts=131072", "--set", "gate.syn_ack_prefix_rate=100000000",
                                 "--set", "gate.syn_ack_prefix_burst=1000000")
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
        """What sluice-load says of its measured phases. Then self.before and self.after are the server's counters,
        self.busy the share of its time that each end was busy in the middle of the run."""
        result = self.lab.folder / f"{self.instance}.json"
        loader = f"{self.instance}.load"
        self.before = self.stats(self.instance)
        client = self.start("sluice-load", 1, loader, "--device", self.client_device(), "--address", CLIENTS, "--target", f"{SERVER}:80",
                            "--duration", f"{seconds}s", "--warmup", f"{WARM_UP}s", "--json", result, "--quiet", "--max-errors", "100%", *options)
        self.busy = self.watch(client, loader, WARM_UP + phases * seconds)
        status = client.wait(60)
        expect(status == 0, f"sluice-load gave {status}: {client.err().strip()}")
        self.after = self.stats(self.instance)
        self.server.kill()
        return json.loads(result.read_text(encoding="utf-8"))["phases"]

    def watch(self, client, loader, seconds):
        def has_begun():
            expect(client.is_running(), f"sluice-load ended: {client.err().strip()}")
            return "look with" in client.err()

        wait_until(has_begun, 20, "sluice-load to begin")
        time.sleep(WARM_UP + 0.5)
        glimpses = [self.glimpse(loader)]
        time.sleep(max(seconds - WARM_UP - 2, 0.5))
        glimpses.append(self.glimpse(loader))
        expect(client.is_running(), f"sluice-load ended early: {client.err().strip()}")
        took = glimpses[1][0] - glimpses[0][0]
        return [(after - before) / took for before, after in zip(glimpses[0][1:], glimpses[1][1:])]

    def glimpse(self, loader):
        return (time.monotonic_ns(), *(self.stats(instance).counter("BusyTime") for instance in (self.instance, loader)))

    def stats(self, instance):
        return Stats(json.loads(self.lab.ctl(instance, "stats", "--json")))


def add_busy(link, figures, name):
    for end, share in zip(("server", "client"), link.busy):
        figures.add(f"{name}_{end}_busy", "share", share)


def keep_alive(lab, kind, figures, prefix):
    """Requests on connections that stay, each when the last was answered; then eight under way on each."""
    for name, options in (("keepalive_rps", ()), ("keepalive_1k_rps", ("--path", "/bytes/1024")), ("pipelined_rps", ("--pipeline", 8))):
        link = Link(lab, kind)
        phase = link.load("--mode", "http", "--connections", 256, *options)[0]
        expect(phase["failed"] == 0, f"{phase['failed']} requests failed")
        figures.add(f"{prefix}.{name}", "1/s", phase["answered_in_time_per_s"])
        add_busy(link, figures, f"{prefix}.{name}")
        if name == "keepalive_rps":
            figures.add(f"{prefix}.keepalive_p99_us", "us", phase["latency_us"]["p99"])


def connecting(lab, kind, figures, prefix):
    """A connection for each request."""
    link = Link(lab, kind)
    phase = link.load("--mode", "http-close", "--connections", 1024, seconds=CONNECTING_SECONDS)[0]
    figures.add(f"{prefix}.conn_per_s", "1/s", phase["answered_in_time_per_s"])
    figures.add(f"{prefix}.conn_failed", "", phase["failed"])
    add_busy(link, figures, f"{prefix}.conn_per_s")
    figures.add(f"{prefix}.time_wait_entries", "", link.after.now("time_wait"))
    for counter, name in (("TimeWaitEvicted", "time_wait_evicted"), ("TimeWaitReused", "time_wait_reused")):
        figures.add(f"{prefix}.{name}", "", link.after.counter(counter) - link.before.counter(counter))


def bulk(lab, kind, figures, prefix):
    link = Link(lab, kind)
    phase = link.load("--mode", "download", "--size", "10M", "--connections", 4)[0]
    figures.add(f"{prefix}.bulk_gbps", "Gbit/s", phase["received_bits_per_s"] / 1e9)
    add_busy(link, figures, f"{prefix}.bulk_gbps")


def goodput_at(lab, kind, options, steps):
    """What it can carry in a closed loop, then an open one at `steps` times that; and the link, for how busy it was."""
    capacity = Link(lab, kind).load(*options)[0]["answered_in_time_per_s"]
    link = Link(lab, kind)
    phases = link.load(*options, "--steps", ",".join(f"{capacity * share:.0f}" for share in steps), phases=len(steps))
    return capacity, [phase["answered_in_time_per_s"] for phase in phases], link


def overload(lab, kind, figures, prefix):
    """Requests on connections that stay: goodput must not fall."""
    capacity, goodput, link = goodput_at(lab, kind, PAGES, STEPS)
    figures.add(f"{prefix}.overload_capacity_rps", "1/s", capacity)
    for share, rate in zip(STEPS, goodput):
        figures.add(f"{prefix}.overload_{share:g}x_rps", "1/s", rate)
    figures.add(f"{prefix}.overload_2x_ratio", "", goodput[-1] / max(*goodput, capacity))
    add_busy(link, figures, f"{prefix}.overload")


def overload_by_connections(lab, kind, figures, prefix):
    """A connection for each request, as many at once as a crowd of clients that wait longer and longer has."""
    capacity, goodput, link = goodput_at(lab, kind, CROWD, (1, 2))
    figures.add(f"{prefix}.conn_overload_capacity_per_s", "1/s", capacity)
    figures.add(f"{prefix}.conn_overload_2x_per_s", "1/s", goodput[-1])
    figures.add(f"{prefix}.conn_overload_2x_ratio", "", goodput[-1] / max(*goodput, capacity))
    add_busy(link, figures, f"{prefix}.conn_overload")


ROWS = (("keep-alive, 64 octets (requests/s)", "keepalive_rps", "{:,.0f}"), ("  p99 (us)", "keepalive_p99_us", "{:,.0f}"),
        ("  server busy", "keepalive_rps_server_busy", "{:.0%}"), ("  client busy", "keepalive_rps_client_busy", "{:.0%}"),
        ("keep-alive, 1 KiB (requests/s)", "keepalive_1k_rps", "{:,.0f}"), ("8 under way on each connection (requests/s)", "pipelined_rps", "{:,.0f}"),
        ("a connection for each request (1/s)", "conn_per_s", "{:,.0f}"), ("  failed", "conn_failed", "{:,.0f}"),
        ("  server busy", "conn_per_s_server_busy", "{:.0%}"), ("  client busy", "conn_per_s_client_busy", "{:.0%}"),
        ("  TIME-WAIT entries at the end", "time_wait_entries", "{:,.0f}"), ("  evicted early", "time_wait_evicted", "{:,.0f}"),
        ("  reused by a newer SYN (RFC 6191)", "time_wait_reused", "{:,.0f}"), ("bulk, 4 connections (Gbit/s)", "bulk_gbps", "{:,.2f}"),
        ("dear pages, as many as it can (1/s)", "overload_capacity_rps", "{:,.0f}"),
        *((f"  open loop at {share:g} times that (answered/s)", f"overload_{share:g}x_rps", "{:,.0f}") for share in STEPS),
        ("  answered at twice the load, of the best", "overload_2x_ratio", "{:.0%}"),
        ("10,000 connections at once, one for each request, as many as it can (1/s)", "conn_overload_capacity_per_s", "{:,.0f}"),
        ("  open loop at twice that (answered/s)", "conn_overload_2x_per_s", "{:,.0f}"),
        ("  answered at twice the load, of the best", "conn_overload_2x_ratio", "{:.0%}"))


class Part:
    """sluice-load and sluice-httpd over one kind of link."""

    def __init__(self, kind, title):
        self.kind = kind
        self.title = title

    @staticmethod
    def obstacle():
        return None

    def run(self, lab, figures, rounds):
        for _ in range(rounds):
            for measurement in (keep_alive, connecting, bulk, overload, overload_by_connections):
                measurement(lab, self.kind, figures, f"wire.{self.kind}")

    def print_table(self, figures):
        print(self.title)
        for text, name, form in ROWS:
            figures.row(f"  {text}", f"wire.{self.kind}.{name}", form)
