"""Octets in bulk and clients in number: what comes out is what went in."""

import asyncio
import hashlib
import pathlib
import socket

from lab import expect, wait_until
from registry import case

MEGABYTE = 1_000_000


# What sluice-httpd's /bytes/N repeats (apps/httpd/content.hpp).
PAGE_PATTERN = bytes((197 * k + k // 256) & 255 for k in range(65521))


def page_bytes(count):
    """The octets of /bytes/COUNT."""
    return (PAGE_PATTERN * (count // len(PAGE_PATTERN) + 1))[:count]


@case("curl gets 100 MB, and its SHA-256 is that of what was meant", seconds=120, needs=["curl", "sha256sum"])
def download_100mb(lab):
    server = lab.server("sluice-httpd")
    count = 100 * MEGABYTE
    done = lab.run("bash", "-c", f"set -o pipefail; curl -sS --fail http://{server.ip}/bytes/{count} | sha256sum", timeout=110)
    wanted = hashlib.sha256(page_bytes(count)).hexdigest()
    expect(done.stdout.split()[0] == wanted, f"SHA-256 {done.stdout.split()[0]}, wanted {wanted}")


@case("curl puts 100 MB, and the server saw the same SHA-256", seconds=120, needs=["curl"])
def upload_100mb(lab):
    server = lab.server("sluice-httpd")
    body = hashlib.shake_256(b"upload").digest(100 * MEGABYTE)
    (lab.folder / "body").write_bytes(body)
    done = lab.run("curl", "-sS", "--fail", "-H", "Expect:", "-T", "body", f"http://{server.ip}/sink", timeout=110)
    wanted = hashlib.sha256(body).hexdigest()
    expect(wanted in done.stdout, f"the server answered {done.stdout.strip()!r}, wanted {wanted}")
    expect(str(len(body)) in done.stdout, f"the server counted otherwise: {done.stdout.strip()!r}")


@case("100 MB each way at once on one connection, echoed octet for octet", seconds=120)
def echo_both_ways(lab):
    server = lab.server("sluice-echo")
    block = hashlib.shake_256(b"echo").digest(MEGABYTE)

    async def talk():
        reader, writer = await asyncio.open_connection(server.ip, 7, limit=4 * MEGABYTE)

        async def send():
            for _ in range(100):
                writer.write(block)
                await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        for number in range(100):
            expect(await reader.readexactly(MEGABYTE) == block, f"megabyte {number} came back changed")
        expect(await reader.read() == b"", "octets after the end")
        await sending
        writer.close()
        await writer.wait_closed()

    asyncio.run(asyncio.wait_for(talk(), 110))


@case("1,000 clients at once are all served, and all seen by sluicectl", seconds=120)
def thousand_clients(lab):
    server = lab.server("sluice-echo", "--time-wait", "1s")

    async def client(number, everybody_is_here, go_on):
        reader, writer = await asyncio.open_connection(server.ip, 7)
        everybody_is_here.append(number)
        await go_on.wait()
        for turn in range(5):
            text = f"client {number} says this the {turn}. time".encode() * 7
            writer.write(text)
            expect(await reader.readexactly(len(text)) == text, f"client {number} got somebody else's octets")
        writer.close()
        await writer.wait_closed()

    async def crowd():
        here, go_on = [], asyncio.Event()
        clients = [asyncio.create_task(client(number, here, go_on)) for number in range(1000)]
        while len(here) < 1000:
            await asyncio.sleep(0.05)
            for done in (task for task in clients if task.done()):
                done.result()
        rows = await asyncio.to_thread(server.conns)
        go_on.set()
        await asyncio.gather(*clients)
        return sum(row["state"] == "ESTABLISHED" for row in rows)

    seen = asyncio.run(asyncio.wait_for(crowd(), 110))
    expect(seen == 1000, f"sluicectl saw {seen} established connections")
    wait_until(lambda: server.stats().now("connections") == 0, 10, "all connections to be gone")
    wait_until(lambda: server.stats().now("time_wait") == 0, 10, "TIME-WAIT to end")


@case("1,000 connections that we open to the kernel are all served", seconds=120)
def thousand_opened(lab):
    count = 1000

    async def session(reader, writer):
        writer.write(await reader.readexactly(1000))
        await writer.drain()
        writer.close()

    async def listen():
        kernel = await asyncio.start_server(session, "0.0.0.0", 9000, backlog=2000)
        client = await asyncio.to_thread(lab.client, "--connect", "10.99.0.1:9000", "--count", count,
                                         "--script", "send:1000,read:1000,read:eof,close", "--time-wait", "1s")
        await asyncio.to_thread(client.wait, 90)
        kernel.close()
        return client

    lab.sysctl("core/somaxconn", 4096)
    client = asyncio.run(asyncio.wait_for(listen(), 110))
    ends = client.reports()
    good = [end for end in ends if end["received"] == 1000 and end["eof"]]
    expect(len(good) == count, f"{len(good)} of {count} connections did their work; first ends: {ends[:3]}")


@case("pieces of an odd length, echoed to a slow reader several in a segment, have right checksums", seconds=30)
def odd_pieces(lab):
    server = lab.server("sluice-echo")
    before = csum_errors()
    text = b""
    with socket.socket() as stream:
        # What the reader leaves waiting becomes segments that several received packets share.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(10)
        stream.connect((server.ip, 7))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(200):
            piece = hashlib.shake_256(str(number).encode()).digest(301)
            stream.sendall(piece)
            text += piece
            wait_until(lambda sent=len(text): server.stats().counter("PayloadReceived") >= sent, 5, "a piece to arrive alone")
        stream.shutdown(socket.SHUT_WR)
        got = b""
        while block := stream.recv(3000):
            got += block
    expect(got == text, f"{len(got)} octets came back of {len(text)}, or others")
    expect(csum_errors() == before, f"the kernel found {csum_errors() - before} wrong checksums")


def csum_errors():
    """TCP checksums that the kernel found wrong in this namespace."""
    names, values = (line.split() for line in pathlib.Path("/proc/net/snmp").read_text(encoding="ascii").splitlines() if line.startswith("Tcp: "))
    return int(values[names.index("InCsumErrors")])


@case("one connection carries many requests, and several at once", needs=["curl"])
def keep_alive(lab):
    server = lab.server("sluice-httpd")
    urls = [f"http://{server.ip}/bytes/{size}" for size in (0, 1, 1447, 1448, 1449, 65535, 65536, 300_000)]
    done = lab.run("curl", "-sS", "--fail", "-w", "%{num_connects} %{size_download}\n", *[w for u in urls for w in ("-o", "/dev/null", u)])
    rows = [line.split() for line in done.stdout.splitlines()]
    expect([int(size) for _, size in rows] == [0, 1, 1447, 1448, 1449, 65535, 65536, 300_000], f"sizes: {rows}")
    expect(sum(int(connects) for connects, _ in rows) == 1, f"new connections per request: {rows}")
