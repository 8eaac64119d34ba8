"""A flood of spoofed SYNs over net_tap and honest kernel clients beside it; the kernel's listener over a veth, too.

    lab's namespace: flood, clients                      ours                  a namespace of the kernel's listener
    10.99.N.1 gateway, 10.99.N.3 clients ── tapN ── 10.99.N.2 sluice-echo
    10.98.0.1 gateway, 10.98.0.3 clients ── veth ──────────────────────────── 10.98.0.2 bench_kernel_echo, tcp_syncookies=1

The flood comes from anywhere behind the gateway; what is sent back to it ends in a blackhole there.
"""

import json
import signal
import time

from lab import Failed, expect, wait_until

SHARE_OF_LIMIT = 0.6
BOUND = 3  # Seconds: a client that was not served by then has failed. The kernel sends SYNs at 0, 1 and 3 s.
CLIENTS_PER_S = 250
CALM_SECONDS = 3
FLOOD_SECONDS = 4
LEAD_SECONDS = 0.5  # The flood runs so long before clients come.
NOBODY = "02:00:00:00:00:99"
KERNEL_IP = "10.98.0.2"


class Side:
    """One server, as clients and flood see it."""

    def __init__(self, lab, interface, mac, ip, source):
        self.lab, self.interface, self.mac, self.ip, self.source = lab, interface, mac, ip, source

    def program(self, name):
        found = self.lab.build / "bench" / "wire" / name
        expect(found.exists(), f"{name} is not built in {self.lab.build}")
        return found

    def start_flood(self, rate, seconds, mac=None):
        return self.lab.start("flood", self.program("bench_flood"), "--interface", self.interface, "--mac", mac or self.mac,
                              "--address", self.ip, "--rate", rate, "--seconds", seconds)

    def clients(self, seconds):
        """What bench_clients says, with shares."""
        process = self.lab.start("clients", self.program("bench_clients"), "--source", self.source, "--address", self.ip,
                                 "--rate", CLIENTS_PER_S, "--seconds", seconds, "--bound", BOUND)
        expect(process.wait(seconds + BOUND + 10) == 0, f"clients: {process.err().strip()}")
        said = json.loads(process.out())
        said["success"] = said["served"] / max(said["clients"], 1)
        said["at_once"] = 1 - said["sent_again"] / max(said["clients"], 1)
        return said

    def clients_in_flood(self, rate):
        """The same during a flood, and what the flood says of itself."""
        flood = self.start_flood(rate, LEAD_SECONDS + FLOOD_SECONDS + BOUND + 20)
        time.sleep(LEAD_SECONDS)
        said = self.clients(FLOOD_SECONDS)
        return said, end_flood(flood)


def end_flood(flood):
    flood.signal(signal.SIGTERM)
    expect(flood.wait(10) == 0, f"flood: {flood.err().strip()}")
    sent = json.loads(flood.out())
    sent["rate"] = sent["offered"] / sent["seconds"]
    sent["refused"] = 1 - sent["taken"] / max(sent["offered"], 1)
    return sent


def link_address(lab, namespace, device):
    return json.loads(lab.run_in(namespace, "ip", "-j", "link", "show", device).stdout)[0]["address"]


def start_ours(lab):
    """A sluice-echo of its own for each round: with empty queues, cookies off. It never sleeps: calm clients that
    wait for a worker to wake would make the flood look better."""
    server = lab.server("sluice-echo", "--gateway", f"10.99.{lab.numbers}.1", "--idle", "spin")
    number = server.tap.removeprefix("tap")
    source = f"10.99.{number}.3"
    lab.run("ip", "address", "add", f"{source}/24", "dev", server.tap)
    neighbor = json.loads(lab.run("ip", "-j", "neighbour", "show", server.ip).stdout)[0]
    return server, Side(lab, server.tap, neighbor["lladdr"], server.ip, source)


def lay_veth(lab):
    namespace = lab.add_namespace("kernel")
    lab.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", namespace)
    lab.run("ip", "address", "add", "10.98.0.1/24", "dev", "veth0")
    lab.run("ip", "address", "add", "10.98.0.3/24", "dev", "veth0")
    lab.run("ip", "link", "set", "veth0", "up")
    lab.run_in(namespace, "ip", "address", "add", f"{KERNEL_IP}/24", "dev", "veth1")
    lab.run_in(namespace, "ip", "link", "set", "veth1", "up")
    lab.run_in(namespace, "ip", "route", "add", "default", "via", "10.98.0.1")
    lab.run_in(namespace, "tee", "/proc/sys/net/ipv4/tcp_syncookies", input="1")
    # As ours has a core beside the flood's: else the listener runs within the flood's system calls.
    lab.run_in(namespace, "tee", "/sys/class/net/veth1/queues/rx-0/rps_cpus", input="1")
    return namespace


def start_kernel(lab, namespace):
    side = Side(lab, "veth0", link_address(lab, namespace, "veth1"), KERNEL_IP, "10.98.0.3")
    server = lab.start("kernel-echo", "ip", "netns", "exec", namespace, side.program("bench_kernel_echo"), 7)

    def listens():
        expect(server.is_running(), f"the kernel's listener ended: {server.err().strip()}")
        return "0.0.0.0:7" in lab.run_in(namespace, "ss", "-Hltn").stdout

    wait_until(listens, 5, "the kernel's listener")
    return server, side


def measure_limit(lab, figures):
    """Frames a second that the port counts while more are sent: to nobody; and SYNs, whose answers the tap carries, too.

    The second is the limit that counts: each frame, in or out, is a system call.
    """
    server, side = start_ours(lab)
    for _ in range(3):
        for name, mac in (("gate.flood_tap_receive_limit", NOBODY), ("gate.flood_tap_limit", None)):
            before = server.stats().counter("RxPackets")
            flood = side.start_flood(0, 1, mac)
            expect(flood.wait(10) == 0, f"flood: {flood.err().strip()}")
            seconds = json.loads(flood.out())["seconds"]
            figures.add(name, "frames/s", (server.stats().counter("RxPackets") - before) / seconds)
    server.kill()
    return SHARE_OF_LIMIT * figures.median("gate.flood_tap_limit")


def note(figures, prefix, calm, flooded, sent):
    figures.add(f"{prefix}flood_honest_success", "share", flooded["success"])
    figures.add(f"{prefix}flood_p99_ratio", "ratio", flooded["connect_us"]["p99"] / calm["connect_us"]["p99"])
    figures.add(f"{prefix}flood_echo_p99_ratio", "ratio", flooded["echo_us"]["p99"] / calm["echo_us"]["p99"])
    figures.add(f"{prefix}flood_at_once", "share", flooded["at_once"])
    figures.add(f"{prefix}flood_rate", "SYNs/s", sent["rate"])
    figures.add(f"{prefix}flood_refused", "share", sent["refused"])
    figures.add(f"{prefix}calm_honest_success", "share", calm["success"])
    for state, said in (("calm", calm), ("flood", flooded)):
        figures.add(f"{prefix}{state}_connect_p50", "us", said["connect_us"]["p50"])
        figures.add(f"{prefix}{state}_connect_p99", "us", said["connect_us"]["p99"])


def round_of_ours(lab, figures, rate):
    server, side = start_ours(lab)
    calm = side.clients(CALM_SECONDS)
    before = server.stats()
    flooded, sent = side.clients_in_flood(rate)
    after = server.stats()
    note(figures, "gate.", calm, flooded, sent)
    came = after.counter("RxPackets") - before.counter("RxPackets")
    cookies = after.outcome("SynCookieSent") - before.outcome("SynCookieSent")
    expect(cookies > sent["taken"] / 2, f"only {cookies} of {sent['taken']} SYNs were answered by cookies: was that a flood?")
    figures.add("gate.flood_frames_lost_behind_tap", "frames", max(sent["taken"] - came, 0))
    figures.add("gate.flood_cookies_rejected", "ACKs", after.counter("CookiesRejected") - before.counter("CookiesRejected"))
    figures.add("gate.flood_tx_dropped", "frames", after.counter("TxDropped") - before.counter("TxDropped"))
    server.kill()


def round_of_kernel(lab, namespace, figures, rate):
    server, side = start_kernel(lab, namespace)
    calm = side.clients(CALM_SECONDS)
    flooded, sent = side.clients_in_flood(rate)
    note(figures, "gate.kernel_", calm, flooded, sent)
    server.kill()


def run(lab, figures, rounds):
    """Adds gate.flood_* and gate.kernel_flood_*."""
    lab.run("ip", "route", "add", "blackhole", "default")
    namespace = lay_veth(lab)
    rate = measure_limit(lab, figures)
    for _ in range(rounds):
        round_of_ours(lab, figures, rate)
        round_of_kernel(lab, namespace, figures, rate)


def misses(figures):
    """Sentences about what the issue of the gate asks for and was not reached."""
    said = []
    for server in ("", "kernel_"):
        if figures.median(f"gate.{server}flood_rate") < 0.9 * SHARE_OF_LIMIT * figures.median("gate.flood_tap_limit"):
            said.append(f"{server}flood: the sender came to {figures.median(f'gate.{server}flood_rate'):,.0f} SYNs/s, less than was wanted")
    if figures.median("gate.flood_honest_success") < 0.99:
        said.append(f"honest success {figures.median('gate.flood_honest_success'):.2%}, not 99 %: "
                    f"the tap refused {figures.median('gate.flood_refused'):.1%} of all frames")
    if figures.median("gate.flood_p99_ratio") > 3:
        said.append(f"p99 of connects is {figures.median('gate.flood_p99_ratio'):.1f} times the calm one, not 3 "
                    f"(the kernel's own: {figures.median('gate.kernel_flood_p99_ratio'):.1f} times)")
    return said


def print_table(figures):
    row = figures.row
    row("net_tap's limit, frames nobody answers (frames/s)", "gate.flood_tap_receive_limit")
    row("net_tap's limit, SYNs all answered (frames/s)", "gate.flood_tap_limit")
    for title, prefix in (("net_tap, sluice-echo", "gate."), ("veth, kernel with tcp_syncookies=1", "gate.kernel_")):
        row(f"{title}: flood sent (SYNs/s)", f"{prefix}flood_rate")
        row("  of it refused by the interface", f"{prefix}flood_refused", "{:.2%}")
        row(f"  honest clients served within {BOUND} s, calm", f"{prefix}calm_honest_success", "{:.2%}")
        row(f"  honest clients served within {BOUND} s, in the flood", f"{prefix}flood_honest_success", "{:.2%}")
        row("  without sending anything again, in the flood", f"{prefix}flood_at_once", "{:.2%}")
        for state in ("calm", "flood"):
            row(f"  connect, {state}: p50 (us)", f"{prefix}{state}_connect_p50")
            row(f"  connect, {state}: p99 (us)", f"{prefix}{state}_connect_p99")
        row("  p99 in the flood to p99 when calm, connect", f"{prefix}flood_p99_ratio", "{:.2f}")
        row("  p99 in the flood to p99 when calm, connect and echo", f"{prefix}flood_echo_p99_ratio", "{:.2f}")
    row("frames that the tap took and the server did not count", "gate.flood_frames_lost_behind_tap")
