"""A network that loses, reorders and duplicates: the lab's namespace is the router between a client and two servers.

    client (kernel) -- client0 [router] tap0   -- a program of ours
                                        kernel0 -- a server (kernel)

Both servers answer the same client through the same queues, so what differs between two transfers is the TCP that sends.
A drop in a router is not told to the sender's TCP; one on the sender's own egress would be.
"""

import pathlib
import re
import shutil
import sys
import time

from lab import ROOT, wait_until

CLIENT_IP = "10.98.0.2"
KERNEL_IP = "10.97.0.2"
RATE = "100mbit"
QUEUE_BYTES = 128 * 1024  # 10 ms at 100 Mbit/s
TOOLS = ("curl", "nft", "tc", "ethtool", "clang-19")
LOSS_SOURCE = ROOT / "tests" / "interop" / "loss.bpf.c"


def lose_each_way(lab, taps, per_mille):
    """From now on so much of what comes from `taps` (nftables, ingress) and goes to them (BPF, egress) is lost at random."""
    lab.run(shutil.which("clang-19") or "clang", "-O2", "-Wall", "-Werror", "-target", "bpf", f"-DLOST_PER_MILLE={per_mille}u",
            "-I/usr/include/x86_64-linux-gnu", "-c", LOSS_SOURCE, "-o", "loss.bpf.o")
    for tap in taps:
        lab.try_run("tc", "qdisc", "add", "dev", tap, "clsact")  # There already, after the first rate.
        lab.run("tc", "filter", "replace", "dev", tap, "egress", "protocol", "all", "prio", 1, "handle", 1, "bpf", "direct-action",
                "object-file", "loss.bpf.o", "section", "classifier")
    devices = ", ".join(taps)
    lab.run("nft", "add table netdev loss; delete table netdev loss; add table netdev loss; "
                   f"add chain netdev loss in {{ type filter hook ingress devices = {{ {devices} }} priority 0; }}; "
                   f"add rule netdev loss in numgen random mod 1000 < {per_mille} counter drop")


def one_segment_a_frame(lab, device, namespace=None):
    """Loss and order are then those of segments, not of 64 kB frames: TCP builds them whatever ethtool says, unless a frame has one segment."""
    lab.run_in(namespace, "ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
    lab.run_in(namespace, "ip", "link", "set", "dev", device, "gso_max_segs", 1)


def kernel_counters(lab, namespace=None):
    """TCP's counters of a namespace, from the kernel itself: nstat's history file is shared by all namespaces."""
    counters = {}
    for file, family in (("snmp", "Tcp"), ("netstat", "TcpExt")):
        lines = lab.run_in(namespace, "cat", f"/proc/net/{file}").stdout.splitlines()
        names, values = [line.split()[1:] for line in lines if line.startswith(f"{family}:")]
        counters |= dict(zip(names, map(int, values)))
    return counters


def tell(text):
    """Evidence, into the runner's output."""
    print(f"     {text}", flush=True)


def kernel_line(before, after):
    names = ("OutSegs", "RetransSegs", "TCPFastRetrans", "TCPLostRetransmit", "TCPTimeouts", "TCPLossProbes", "TCPDSACKRecv",
             "TCPDSACKUndo", "TCPFullUndo", "TCPPartialUndo", "TCPLossUndo", "TCPSpuriousRTOs", "TCPSACKReorder", "TCPTSReorder")
    return ", ".join(f"{name} {after.get(name, 0) - before.get(name, 0)}" for name in names)


def our_line(before, after):
    names = ("SegmentsSent", "RetransmittedSegments", "FastRetransmits", "RtoFired", "TailLossProbes", "DsacksReceived",
             "RecoveriesUndone", "SpuriousTimeouts")
    return ", ".join(f"{name} {after.counter(name) - before.counter(name)}" for name in names)


class Path:
    """The network above. `server` is a sluice-httpd, `kernel` the kernel's: both have /bytes/COUNT and /sink."""

    def __init__(self, lab, config=""):
        self.lab = lab
        lab.sysctl("ipv4/ip_forward", 1)
        self.client = self._join("client", "client0", CLIENT_IP)
        self.kernel = self._join("kernel", "kernel0", KERNEL_IP)
        self.server = lab.server("sluice-httpd", "--gateway", "10.99.0.1", config=config)
        self.addresses = {"ours": self.server.ip, "kernel": KERNEL_IP}
        self.server_devices = (self.server.tap, "kernel0")
        one_segment_a_frame(lab, self.server.tap)
        for device in ("client0", *self.server_devices):
            lab.run("tc", "qdisc", "add", "dev", device, "root", "handle", "10:", "tbf", "rate", RATE, "burst", "16kb", "limit", QUEUE_BYTES)
        script = pathlib.Path(__file__).with_name("kernel_httpd.py")
        lab.start("kernel-httpd", "ip", "netns", "exec", self.kernel, sys.executable, script, KERNEL_IP)
        wait_until(lambda: lab.run_in(self.kernel, "ss", "-Hltn").stdout, 10, "the kernel's server to listen")

    def _join(self, name, device, address):
        """A namespace with `address`, behind the router's `device`."""
        lab, router = self.lab, address.rsplit(".", 1)[0] + ".1"
        namespace = lab.add_namespace(name)
        lab.run("ip", "link", "add", device, "type", "veth", "peer", "name", "up0", "netns", namespace)
        lab.run("ip", "address", "add", f"{router}/24", "dev", device)
        lab.run("ip", "link", "set", device, "up")
        lab.run_in(namespace, "ip", "address", "add", f"{address}/24", "dev", "up0")
        lab.run_in(namespace, "ip", "link", "set", "up0", "up")
        # Ours is cubic, and remembers no path: what one transfer met is not to help or hurt the kernel's next.
        lab.run_in(namespace, "ip", "route", "add", "default", "via", router, "congctl", "cubic")
        lab.run_in(namespace, "tee", "/proc/sys/net/ipv4/tcp_no_metrics_save", input="1")
        one_segment_a_frame(lab, device)
        one_segment_a_frame(lab, "up0", namespace)
        return namespace

    def lose(self, per_mille):
        lose_each_way(self.lab, self.server_devices, per_mille)

    def reorder(self, every):
        """Of every `every` packets to the client two in a row take a slow lane, 3 ms a packet, behind the bottleneck: the second is overtaken.

        The lanes are where no queue stands: in one with a queue the first of the two would overtake all of it.
        """
        def client(*words):
            self.lab.run_in(self.client, *words)

        client("ip", "link", "add", "lanes", "type", "ifb")
        client("ip", "link", "set", "lanes", "up")
        client("tc", "qdisc", "add", "dev", "up0", "clsact")
        client("tc", "filter", "add", "dev", "up0", "ingress", "protocol", "ip", "u32", "match", "u32", 0, 0,
               "action", "mirred", "egress", "redirect", "dev", "lanes")
        client("tc", "qdisc", "add", "dev", "lanes", "root", "handle", "1:", "htb", "default", 1)
        client("tc", "class", "add", "dev", "lanes", "parent", "1:", "classid", "1:1", "htb", "rate", "1gbit", "quantum", 3000)
        client("tc", "class", "add", "dev", "lanes", "parent", "1:", "classid", "1:2", "htb", "rate", "4mbit", "burst", 100, "cburst", 100, "quantum", 3000)
        client("tc", "filter", "add", "dev", "lanes", "parent", "1:", "protocol", "ip", "u32", "match", "ip", "tos", "0x20", "0xfc", "flowid", "1:2")
        self.lab.run("nft", "add table ip lanes; add chain ip lanes over { type filter hook forward priority 0; }; "
                            f"add rule ip lanes over oifname client0 numgen inc mod {every} < 2 counter ip dscp set cs1")

    def duplicate(self, device, every):
        """Of every `every` packets that the router sends by `device`, one comes twice."""
        hosts = {"client0": CLIENT_IP, "kernel0": KERNEL_IP, self.server.tap: self.server.ip}
        self.lab.run("nft", "add table ip twice; add chain ip twice over { type filter hook forward priority 0; }; "
                            f"add rule ip twice over oifname {device} numgen inc mod {every} 0 counter dup to {hosts[device]} device {device}")

    def counted(self, table):
        """Packets that the rules of an nftables table counted."""
        listed = self.lab.run("nft", "list", "table", "ip", table).stdout
        return sum(map(int, re.findall(r"counter packets (\d+)", listed)))

    def tell_sockets(self):
        """What each end says of a transfer in flight: `ss -ti` and `sluicectl conns -i`."""
        for end in self.addresses:
            transfer = self.lab.start(f"curl-{end}", "ip", "netns", "exec", self.client, "curl", "-sS", "--max-time", "20", "-o",
                                      "/dev/null", f"http://{self.addresses[end]}/bytes/4000000")
            time.sleep(0.25)
            told = (self.server.ctl("conns", "-i") if end == "ours"
                    else self.lab.run_in(self.kernel, "ss", "-Htin", "state", "established").stdout)
            transfer.kill()
            for line in told.splitlines():
                tell(f"{end}| {' '.join(line.split())}")

    def get(self, end, count):
        """The client fetches COUNT octets from `end` ("ours" or "kernel"): seconds from the first octet to the last, and the octets."""
        seconds = self._curl("%{time_total} %{time_starttransfer}", "-o", "got", f"http://{self.addresses[end]}/bytes/{count}")
        return seconds, (self.lab.folder / "got").read_bytes()

    def put(self, end, body):
        """The client sends `body` to `end`: seconds from the request to the answer, and the answer's text."""
        (self.lab.folder / "body").write_bytes(body)
        seconds = self._curl("%{time_total} %{time_pretransfer}", "-o", "got", "-H", "Expect:", "-T", "body", f"http://{self.addresses[end]}/sink")
        return seconds, (self.lab.folder / "got").read_text(encoding="utf-8")

    def _curl(self, times, *words):
        done = self.lab.run_in(self.client, "curl", "-sS", "--fail", "--max-time", 60, "-w", times, *words, timeout=65)
        end, begin = map(float, done.stdout.split())
        return end - begin
