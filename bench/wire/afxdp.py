"""Sluice over AF_XDP beside nginx and a small epoll server on the kernel's TCP, with the same client over the same veth.

    wrk, kernel (10.96.0.1) veth1 ── veth0 (10.96.0.2) sluice-httpd by net_af_xdp | nginx, one worker | bench_kernel_httpd

One core for the client, one for the server; the kernel's work of receiving is steered to the core whose frames they are
(RPS), as the interrupts of a NIC would be. XDP is generic, which RPS needs: veth's own would run on the sender's core.
"""

import gzip
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import sys
import time

from lab import ROOT, Stats, expect, no_af_xdp, wait_until

sys.path.append(str(ROOT / "bench" / "report"))
import machine  # noqa: E402: the path comes first

SERVER, CLIENT = "10.96.0.2", "10.96.0.1"
SECONDS = 4
CONNECTIONS = 64
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
NGINX = """
worker_processes 1;
pid nginx.pid;
error_log nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{
    listen 80 backlog=4096;
    location / {{ default_type application/octet-stream; return 200 "{body}"; }}
  }}
}}
"""


def xdp_program():
    """libxdp's own, which gives each frame to its queue's socket."""
    places = (path for pattern in ("bpf", "*/bpf") for path in pathlib.Path("/usr/lib").glob(f"{pattern}/xsk_def_xdp_prog.o"))
    return next(places, None)


def obstacle():
    """Why nothing can be measured; None if it can."""
    for program, package in (("nginx", "bench"), ("wrk", "bench"), ("ethtool", "test")):
        if shutil.which(program) is None:
            return f"{program} is missing: scripts/install_deps.sh {package}"
    if xdp_program() is None:
        return "libxdp's xsk_def_xdp_prog.o is missing: scripts/install_deps.sh build"
    if len(os.sched_getaffinity(0)) < 2:
        return "needs two CPUs"
    if tsc_hertz() is None:
        return "the TSC of this CPU is not constant: no cycles can be made of time"
    return no_af_xdp()


def tsc_hertz():
    return machine.tsc_hz(pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii"))


def run_time_ns(pids):
    """CPU time of the processes, to the nanosecond; what interrupts did on top of them is in it, if the kernel does not
    count these apart."""
    return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) for pid in pids)


def counts_interrupts_apart():
    """Kernels built with CONFIG_IRQ_TIME_ACCOUNTING do."""
    for path, read in ((pathlib.Path("/proc/config.gz"), gzip.open), (pathlib.Path(f"/boot/config-{platform.release()}"), open)):
        if path.exists():
            with read(path, "rt", encoding="utf-8") as config:
                return "\nCONFIG_IRQ_TIME_ACCOUNTING=y\n" in config.read()
    return False


def interrupts_ns(cpu):
    line = re.search(rf"^cpu{cpu} (.*)$", pathlib.Path("/proc/stat").read_text(encoding="ascii"), re.M)[1].split()
    return (int(line[5]) + int(line[6])) * TICK_NS


def threads_of_soft_interrupts(cpu):
    for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text(encoding="ascii") == f"ksoftirqd/{cpu}\n":
                return [int(path.parent.name)]
        except (OSError, UnicodeDecodeError):
            continue
    return []  # A container does not see it.


def mask(cpu):
    """As /sys has it: words of 32 bits, the lowest last."""
    words = f"{1 << cpu:x}"
    groups = [words[max(end - 8, 0):end].zfill(8) for end in range(len(words), 0, -8)]
    return ",".join(reversed(groups))


class Field:
    """The veth and both its ends, for one server after another."""

    def __init__(self, lab):
        self.lab = lab
        self.server_cpu, self.client_cpu = sorted(os.sched_getaffinity(0))[:2]
        self.client = lab.add_namespace("client")
        self.counts_apart = counts_interrupts_apart()
        self.catching_up = [] if self.counts_apart else threads_of_soft_interrupts(self.server_cpu)
        lab.run("ip", "link", "add", "veth0", "numrxqueues", 1, "numtxqueues", 1, "type", "veth",
                "peer", "name", "veth1", "netns", self.client, "numrxqueues", 1, "numtxqueues", 1)
        for namespace, device, cpu in ((lab.namespace, "veth0", self.server_cpu), (self.client, "veth1", self.client_cpu)):
            lab.run_in(namespace, "ip", "link", "set", device, "up")
            lab.run_in(namespace, "tee", f"/sys/class/net/{device}/queues/rx-0/rps_cpus", input=mask(cpu))
        # An AF_XDP socket is given frames as they are: with checksums, and none that somebody has yet to cut.
        lab.run_in(self.client, "ethtool", "-K", "veth1", "tx", "off", "tso", "off", "gso", "off")
        lab.run_in(self.client, "ip", "address", "add", f"{CLIENT}/16", "dev", "veth1")
        lab.run_in(self.client, "tee", "/proc/sys/net/ipv4/ip_local_port_range", input="1024 65535")

        # The client's core is never idle either: with both cores busy a virtual CPU is slower, while a unit is timed as later.
        self.soak("soak.client", self.client_cpu)

    def soak(self, name, cpu):
        """(process, file of its count)"""
        count = self.lab.folder / f"{name}.count"
        count.unlink(missing_ok=True)
        program = self.lab.build / "bench" / "wire" / "bench_soak"
        return self.lab.start(name, "taskset", "-c", cpu, program, count), count

    def ran_ns(self, pids):
        """CPU time of the server's processes, and of the interrupts of its core."""
        return run_time_ns([*pids, *self.catching_up]) + (interrupts_ns(self.server_cpu) if self.counts_apart else 0)

    def start(self, name, *command):
        return self.lab.start(name, "taskset", "-c", self.server_cpu, *command)

    def wait_for(self, process, what):
        """Until a request is answered as it should be."""
        def answers():
            expect(process.is_running(), f"{what} ended: {process.err().strip()}")
            done = self.lab.try_run("ip", "netns", "exec", self.client, "curl", "-sS", "--fail", "-m", 1, "-o", "/dev/null",
                                    "-w", "%{size_download}", self.url())
            return done.stdout == "64"

        wait_until(answers, 20, f"{what} to answer")

    @staticmethod
    def url():
        return f"http://{SERVER}/bytes/64"

    def wrk(self, *options):
        """(requests answered, a second)"""
        process = self.lab.start(f"wrk{len(self.lab.processes)}", "taskset", "-c", self.client_cpu, "ip", "netns", "exec", self.client,
                                 "wrk", "-t", 1, "-c", CONNECTIONS, "-d", f"{SECONDS}s", *options, self.url())
        expect(process.wait(SECONDS + 20) == 0, f"wrk: {process.err().strip()}")
        said = process.out()
        expect("Non-2xx" not in said, f"wrk: {said}")
        count = re.search(r"(\d+) requests in", said)
        rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
        expect(count and rate and int(count[1]) > 0, f"wrk: {said}")
        return int(count[1]), float(rate[1])


class Spare:
    """What a core has to spare, in units of work that take as long each time; cost_ns() is the rest of its CPU time.

    Of time alone it could not be told: interrupts work on top of whatever runs, also of what only waits.
    """

    def __init__(self, glimpse):
        self.glimpse = glimpse  # Gives (units, CPU time of all that concerns us).
        found = []
        for _ in range(5):
            units, ran = glimpse()
            time.sleep(0.3)
            units_after, ran_after = glimpse()
            found.append((ran_after - ran) / (units_after - units))
        self.unit_ns = statistics.median(found)

    def cost_ns(self):
        units, ran = self.glimpse()
        return ran - units * self.unit_ns


class KernelServer:
    """A program on the kernel's TCP, and beside it one that takes what the core has to spare (SCHED_IDLE)."""

    def __init__(self, field, name):
        self.field = field
        field.lab.run("ip", "address", "add", f"{SERVER}/16", "dev", "veth0")
        if name == "nginx":
            folder = field.lab.folder / "nginx"
            folder.mkdir(exist_ok=True)
            folder.joinpath("nginx.conf").write_text(NGINX.format(body="x" * 64), encoding="ascii")
            self.process = field.start("nginx", shutil.which("nginx"), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "nginx.log",
                                       "-g", "daemon off;")
        else:
            self.process = field.start("epoll", field.lab.build / "bench" / "wire" / "bench_kernel_httpd", 80)
        field.wait_for(self.process, name)
        self.soak, self.count = field.soak("soak.server", field.server_cpu)
        self.pids = [self.process.pid, *self.children(), self.soak.pid]
        wait_until(lambda: self.count.exists() and self.glimpse()[0] > 0, 5, "bench_soak to begin")
        self.cost_ns = Spare(self.glimpse).cost_ns

    def children(self):
        pid = self.process.pid
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]

    def glimpse(self):
        return int.from_bytes(self.count.read_bytes(), sys.byteorder), self.field.ran_ns(self.pids)

    def stop(self):
        self.soak.kill()
        self.process.signal(15)
        expect(self.process.wait(10) in (0, -15), "the server does not end")
        self.field.lab.run("ip", "address", "del", f"{SERVER}/16", "dev", "veth0")


class SluiceServer:
    """sluice-httpd by AF_XDP. Its worker never sleeps: rounds in which nothing moved are what it has to spare."""

    def __init__(self, field):
        self.field = field
        lab = field.lab
        lab.numbers += 1
        self.instance = f"{lab.namespace}.afxdp{lab.numbers}"
        lab.run("ip", "link", "set", "dev", "veth0", "xdpgeneric", "obj", xdp_program(), "sec", "xdp")
        config = lab.folder / "empty.toml"
        config.write_text("", encoding="utf-8")
        # busy_budget=0: no system call at a poll that finds nothing.
        self.process = field.start(f"sluice-httpd.{lab.numbers}", lab.program("sluice-httpd"), "--config", config, "--instance", self.instance,
                                   "--idle", "spin", "--device", "net_af_xdp0,iface=veth0,busy_budget=0", "--address", f"{SERVER}/16")
        field.wait_for(self.process, "sluice-httpd")
        self.cost_ns = Spare(self.glimpse).cost_ns

    def glimpse(self):
        stats = Stats(json.loads(self.field.lab.ctl(self.instance, "stats", "--json")))
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        threads = [f"{self.process.pid}/task/{task.name}" for task in tasks.iterdir()]
        return stats.counter("IdleRounds"), self.field.ran_ns(threads)

    def stop(self):
        self.process.signal(15)
        expect(self.process.wait(20) in (0, 3), "sluice-httpd does not end")
        self.field.lab.run("ip", "link", "set", "dev", "veth0", "xdpgeneric", "off")


SERVERS = {"afxdp": SluiceServer, "nginx": lambda field: KernelServer(field, "nginx"), "epoll": lambda field: KernelServer(field, "epoll")}
KINDS = (("keepalive_rps", "cycles_per_request", ()), ("close_per_s", "cycles_per_close", ("-H", "Connection: close")))


def run(lab, figures, rounds):
    """Adds wire.afxdp.*, wire.nginx.* and wire.epoll.*."""
    hertz = tsc_hertz()
    field = Field(lab)
    for _ in range(rounds):
        seen = {}
        for name, make in SERVERS.items():
            server = make(field)
            for rate_name, cycles_name, options in KINDS:
                before = server.cost_ns()
                count, rate = field.wrk(*options)
                cycles = (server.cost_ns() - before) * hertz / 1e9 / count
                seen[name, rate_name], seen[name, cycles_name] = rate, cycles
                figures.add(f"wire.{name}.{rate_name}", "1/s", rate)
                figures.add(f"wire.{name}.{cycles_name}", "cycles", cycles)
            server.stop()
        fastest = max(seen[name, "keepalive_rps"] for name in SERVERS)
        figures.add("wire.afxdp.of_fastest", "ratio", seen["afxdp", "keepalive_rps"] / fastest)
        figures.add("wire.afxdp.cycles_vs_nginx", "ratio", seen["afxdp", "cycles_per_request"] / seen["nginx", "cycles_per_request"])
        figures.add("wire.afxdp.close_cycles_vs_nginx", "ratio", seen["afxdp", "cycles_per_close"] / seen["nginx", "cycles_per_close"])


def print_table(figures):
    print("wrk, kernel's TCP -> veth -> one server core")
    for name, title in (("afxdp", "sluice-httpd over AF_XDP"), ("nginx", "nginx, one worker"), ("epoll", "epoll server")):
        figures.row(f"  {title}: keep-alive, 64 octets (requests/s)", f"wire.{name}.keepalive_rps")
        figures.row("    cycles a request", f"wire.{name}.cycles_per_request")
        figures.row("    a connection for each request (1/s)", f"wire.{name}.close_per_s")
        figures.row("    cycles a connection", f"wire.{name}.cycles_per_close")
    figures.row("  Sluice's requests/s, of the fastest server's", "wire.afxdp.of_fastest", "{:.0%}")
    figures.row("  Sluice's cycles a request, of nginx's", "wire.afxdp.cycles_vs_nginx", "{:.2f}")
    figures.row("  Sluice's cycles a connection, of nginx's", "wire.afxdp.close_cycles_vs_nginx", "{:.2f}")
