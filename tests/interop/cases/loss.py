"""1, 2 and 5 % random loss each way: nftables on ingress for what we send, BPF on egress for what the kernel sends."""

import hashlib

from cases.transfer import page_bytes
from lab import expect
from path import TOOLS, kernel_counters, kernel_line, lose_each_way, one_segment_a_frame, our_line, tell
from registry import case


def lossy_server(lab, program, per_mille, *arguments):
    server = lab.server(program, *arguments)
    one_segment_a_frame(lab, server.tap)
    lose_each_way(lab, [server.tap], per_mille)
    return server


def both_ways(lab, server, count, least):
    """`count` octets down and up, whole; what each sender did goes into the output."""
    before = server.stats()
    done = lab.run("bash", "-c", f"set -o pipefail; curl -sS --fail --max-time 60 http://{server.ip}/bytes/{count} | sha256sum", timeout=65)
    wanted = hashlib.sha256(page_bytes(count)).hexdigest()
    expect(done.stdout.split()[0] == wanted, f"down: SHA-256 {done.stdout.split()[0]}, wanted {wanted}")
    tell(f"down, ours:  {our_line(before, server.stats())}")

    body = hashlib.shake_256(b"lossy").digest(count)
    (lab.folder / "body").write_bytes(body)
    kernel_before = kernel_counters(lab)
    done = lab.run("curl", "-sS", "--fail", "--max-time", "60", "-H", "Expect:", "-T", "body", f"http://{server.ip}/sink", timeout=65)
    expect(hashlib.sha256(body).hexdigest() in done.stdout, f"up: the server answered {done.stdout.strip()!r}")
    kernel_after = kernel_counters(lab)
    tell(f"up, kernel:  {kernel_line(kernel_before, kernel_after)}")
    sent_again = kernel_after["RetransSegs"] - kernel_before["RetransSegs"]
    expect(sent_again > least, f"the kernel sent only {sent_again} segments again: is anything lost at all?")
    return server.stats()


def lose_and_transfer(lab, per_mille, count):
    server = lossy_server(lab, "sluice-httpd", per_mille)
    lost = count / 1448 * per_mille / 1000  # about so many: half of it is four standard deviations away
    stats = both_ways(lab, server, count, lost / 2)
    sent_again = stats.counter("RetransmittedSegments")
    expect(lost / 2 < sent_again < 3 * lost, f"{sent_again} segments were sent again, about {lost:.0f} were lost")
    fast, timeouts = stats.counter("FastRetransmits"), stats.counter("RtoFired")
    expect(fast > 3 * timeouts, f"{timeouts} timeouts beside {fast} fast recoveries: losses waited for the timer")


@case("1 % loss each way: 10 MB down and 10 MB up arrive whole", seconds=150, needs=TOOLS)
def one_percent_loss(lab):
    lose_and_transfer(lab, 10, 10_000_000)


@case("2 % loss each way: 10 MB down and 10 MB up arrive whole", seconds=150, needs=TOOLS)
def two_percent_loss(lab):
    lose_and_transfer(lab, 20, 10_000_000)


@case("5 % loss each way: 4 MB down and 4 MB up arrive whole", seconds=150, needs=TOOLS)
def five_percent_loss(lab):
    lose_and_transfer(lab, 50, 4_000_000)


@case("2 % loss each way: 300 connections open, talk and close", seconds=120, needs=TOOLS)
def loss_in_handshakes(lab):
    import asyncio
    server = lossy_server(lab, "sluice-echo", 20, "--time-wait", "1s")

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
