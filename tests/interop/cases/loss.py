"""2 % random loss each way: nftables on ingress for what we send, BPF on egress for what the kernel sends."""

import hashlib
import pathlib
import shutil

from cases.transfer import page_bytes
from lab import expect
from registry import case

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "loss.bpf.c"


def lose_two_percent(lab, tap):
    compiler = shutil.which("clang-19") or shutil.which("clang")
    lab.run(compiler, "-O2", "-Wall", "-Werror", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", SOURCE, "-o", "loss.bpf.o")
    if shutil.which("ethtool"):  # One segment a frame: loss is per segment.
        lab.try_run("ethtool", "-K", tap, "tso", "off", "gso", "off", "gro", "off")
    lab.run("tc", "qdisc", "add", "dev", tap, "clsact")
    lab.run("tc", "filter", "add", "dev", tap, "egress", "bpf", "direct-action", "object-file", "loss.bpf.o", "section", "classifier")
    lab.run("nft", f"add table netdev loss; add chain netdev loss in {{ type filter hook ingress device {tap} priority 0; }}; "
                   "add rule netdev loss in numgen random mod 100 < 2 counter drop")


def kernel_retransmits(lab):
    """RetransSegs of the namespace's TCP, from the kernel itself: nstat's history file is shared by all namespaces."""
    names, values = [line.split()[1:] for line in lab.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Tcp:")]
    return int(dict(zip(names, values))["RetransSegs"])


@case("2 % loss each way: 10 MB down and 10 MB up arrive whole", seconds=180, needs=["curl", "nft", "tc", "clang-19"])
def two_percent_loss(lab):
    server = lab.server("sluice-httpd")
    lose_two_percent(lab, server.tap)
    count = 10_000_000
    done = lab.run("bash", "-c", f"set -o pipefail; curl -sS --fail --max-time 80 http://{server.ip}/bytes/{count} | sha256sum", timeout=90)
    wanted = hashlib.sha256(page_bytes(count)).hexdigest()
    expect(done.stdout.split()[0] == wanted, f"down: SHA-256 {done.stdout.split()[0]}, wanted {wanted}")
    sent_again = server.stats().counter("RetransmittedSegments")
    expect(sent_again > 50, f"only {sent_again} segments were sent again: is anything lost at all?")

    body = hashlib.shake_256(b"lossy").digest(count)
    (lab.folder / "body").write_bytes(body)
    before = kernel_retransmits(lab)
    done = lab.run("curl", "-sS", "--fail", "--max-time", "80", "-H", "Expect:", "-T", "body", f"http://{server.ip}/sink", timeout=90)
    expect(hashlib.sha256(body).hexdigest() in done.stdout, f"up: the server answered {done.stdout.strip()!r}")
    kernel_sent_again = kernel_retransmits(lab) - before
    expect(kernel_sent_again > 10, f"the kernel sent only {kernel_sent_again} segments again: is anything lost at all?")
    expect(server.stats().counter("FastRetransmits") > 10, "no fast retransmits: every loss waited for the timer")


@case("2 % loss each way: 300 connections open, talk and close", seconds=120, needs=["nft", "tc", "clang-19"])
def loss_in_handshakes(lab):
    import asyncio
    server = lab.server("sluice-echo", "--time-wait", "1s")
    lose_two_percent(lab, server.tap)

    async def client(number):
        reader, writer = await asyncio.open_connection(server.ip, 7)
        text = f"number {number}".encode()
        writer.write(text)
        writer.write_eof()
        expect(await reader.read() == text, f"connection {number} got other octets")
        writer.close()

    async def crowd():
        for first in range(0, 300, 100):
            await asyncio.gather(*[client(number) for number in range(first, first + 100)])

    asyncio.run(asyncio.wait_for(crowd(), 100))
