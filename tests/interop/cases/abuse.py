"""Unanswered SYNs, garbage, readers that never read: the server goes on serving and sluicectl answers."""

import random
import re
import socket
import time

from frames import ACK, FIN, PSH, RST, SYN, URG, Wire, arp, ethernet, icmp_echo, ipv4, mss_option, tcp
from lab import expect, wait_until
from registry import case

SEED = 20240607


def our_mac(lab, server):
    return re.search(r"lladdr (\S+)", lab.run("ip", "neighbour", "show", server.ip).stdout)[1]


def expect_echo(server, text=b"Hutu"):
    with socket.create_connection((server.ip, 7), timeout=5) as stream:
        stream.sendall(text)
        expect(stream.recv(len(text), socket.MSG_WAITALL) == text, "no echo")


def expect_outcomes_add_up(server):
    stats = server.stats()
    expect(stats.outcomes() == stats.counter("RxPackets"),
           f"{stats.counter('RxPackets')} frames received, {stats.outcomes()} outcomes")


def send_syns(lab, server, count, first_port):
    """SYNs from 198.51.100.0/24, which the kernel takes the answers for and drops."""
    with Wire(server.tap) as wire:
        mac = our_mac(lab, server)
        for number in range(count):
            source = f"198.51.100.{1 + number % 254}"
            wire.send(ethernet(mac, wire.mac(), 0x0800, ipv4(source, server.ip, 6, tcp(
                source, server.ip, first_port + number, 7, 1_000_000 + number, 0, SYN, options=mss_option(1460)))))


@case("100 unanswered SYNs, again and again, do not wear a listener out")
def unanswered_syns(lab):
    server = lab.server("sluice-echo", "--gateway", "10.99.0.1", "--set", "tcp.half_open_lifetime=2s")
    for turn in range(3):
        send_syns(lab, server, 100, 10_000 + 1000 * turn)
        wait_until(lambda: server.stats().outcome("SynQueued") >= 100 * (turn + 1), 3, "100 more half-open entries")
        half_open = [row for row in server.conns() if row["state"] == "SYN-RECV"]
        expect(len(half_open) >= 90, f"sluicectl shows {len(half_open)} SYN-RECV rows")
        expect_echo(server)
        wait_until(lambda: server.stats().now("half_open") == 0, 6, "half-open entries to expire")
    expect(server.stats().counter("HalfOpenExpired") == 300, "not every entry was counted as expired")
    expect_echo(server)


@case("without cookies a half-open queue that is full ignores SYNs, and serves again when it is not")
def full_syn_queue(lab):
    lab.sysctl("ipv4/tcp_syn_linear_timeouts", 0)
    server = lab.server("sluice-echo", "--gateway", "10.99.0.1", "--set", "tcp.half_open_lifetime=2s", "--set", "tcp.max_half_open=32",
                        "--set", "gate.syn_cookies=off")
    send_syns(lab, server, 100, 10_000)
    wait_until(lambda: server.stats().outcome("SynQueueFull") >= 60, 3, "SYNs to be ignored")
    began = time.monotonic()
    with socket.create_connection((server.ip, 7), timeout=15) as stream:  # The kernel's second or third SYN is taken.
        stream.sendall(b"Hutu")
        expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo")
    expect(time.monotonic() - began < 10, "it took too long until the listener served again")


def base_frames(mac, source_mac, source, destination):
    def segment(*fields, **named):
        return ethernet(mac, source_mac, 0x0800, ipv4(source, destination, 6, tcp(source, destination, *fields, **named)))
    return [
        ethernet("ff:ff:ff:ff:ff:ff", source_mac, 0x0806, arp(1, source_mac, source, "00:00:00:00:00:00", destination)),
        ethernet(mac, source_mac, 0x0806, arp(2, source_mac, source, mac, destination)),
        ethernet(mac, source_mac, 0x0800, ipv4(source, destination, 1, icmp_echo(1, 1, bytes(range(64))))),
        ethernet(mac, source_mac, 0x0800, ipv4(source, destination, 17, b"\x00\x35\x00\x35\x00\x10\x00\x00udp data")),
        ethernet(mac, source_mac, 0x0800, ipv4(source, destination, 6, b"")),
        ethernet(mac, source_mac, 0x8100, b"\x00\x05\x08\x00" + ipv4(source, destination, 1, icmp_echo(1, 1, b"vlan"))),
        ethernet(mac, source_mac, 0x86DD, b"\x60" + bytes(59)),
        segment(3333, 7, 1, 0, SYN, options=mss_option(1460) + b"\x04\x02\x08\x0a" + bytes(8) + b"\x01\x03\x03\x07"),
        segment(3333, 7, 2, 1, ACK | PSH, b"data" * 100),
        segment(3333, 7, 2, 1, ACK | FIN),
        segment(3333, 7, 2, 1, RST),
        segment(3333, 7, 2, 1, ACK | URG | PSH, b"urgent"),
        segment(3334, 9, 2, 1, 0x3F, b"christmas"),
    ]


def mutated(rng, frame):
    """A frame with flipped, inserted, cut or random octets."""
    octets = bytearray(frame)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        kind = rng.randrange(6)
        at = rng.randrange(14, max(15, len(octets)))
        if kind == 0 and at < len(octets):
            octets[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(octets):
            octets[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del octets[at:at + rng.randrange(1, 40)]
        elif kind == 3:
            octets[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif kind == 4:
            octets[at:] = rng.randbytes(len(octets[at:]))
        else:
            del octets[rng.randrange(14, max(15, len(octets))):]
    return bytes(octets[:1514])


@case("20,000 frames of garbage, half of them nearly right: all counted, and the server still serves", seconds=120)
def garbage(lab):
    server = lab.server("sluice-echo", "--set", "tcp.half_open_lifetime=2s")
    rng = random.Random(SEED)
    held = socket.create_connection((server.ip, 7), timeout=5)
    with Wire(server.tap) as wire:
        mac, source_mac = our_mac(lab, server), wire.mac()
        bases = base_frames(mac, source_mac, "10.99.0.50", server.ip)
        before = server.stats().counter("RxPackets")
        for number in range(20_000):
            if number % 10 == 0:
                wire.send(mac_bytes_random(rng, mac) + rng.randbytes(rng.randrange(8, 300)))
            else:
                wire.send(mutated(rng, rng.choice(bases)))
            if number % 64 == 0:
                time.sleep(0.001)
    wait_until(lambda: server.stats().counter("RxPackets") >= before + 19_000, 10, "the frames to be taken in")
    expect(server.is_running(), f"the server died (seed {SEED})")
    held.sendall(b"still there")
    expect(held.recv(11, socket.MSG_WAITALL) == b"still there", f"the connection of before is gone (seed {SEED})")
    held.close()
    expect_echo(server)
    expect_outcomes_add_up(server)


def mac_bytes_random(rng, mac):
    return rng.choice((bytes.fromhex(mac.replace(":", "")), b"\xff" * 6, rng.randbytes(6)))


@case("readers that never read take every buffer: sluicectl answers, ping too, and all comes back", seconds=90)
def no_buffers(lab):
    server = lab.server("sluice-echo", config="[pools]\nreceive_pkts = 2048\nreceive_low_watermark_pkts = 256\n"
                                              "[tcp]\nreceive_buffer_bytes = 4194304\n")
    free_at_first = server.stats().now("receive_mbufs_free")
    streams = []
    for _ in range(40):
        stream = socket.create_connection((server.ip, 7), timeout=5)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.setblocking(False)
        streams.append(stream)
    block = bytes(65536)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and server.stats().outcome("PayloadShed") == 0:
        for stream in streams:
            try:
                while stream.send(block) > 0:
                    pass
            except BlockingIOError:
                pass
        time.sleep(0.05)
    stats = server.stats()
    expect(stats.outcome("PayloadShed") > 0, f"buffers never ran low: {stats.now('receive_mbufs_free')} of {free_at_first} are free")
    expect(len([row for row in server.conns() if row["state"] == "ESTABLISHED"]) == 40, "sluicectl does not see 40 connections")
    lab.run("ping", "-c", "3", "-i", "0.2", "-W", "2", server.ip)
    for stream in streams:
        stream.close()
    wait_until(lambda: not server.conns() or server.stats().now("connections") == 0, 20, "the connections to be gone")
    wait_until(lambda: server.stats().now("receive_mbufs_free") >= free_at_first - 64, 10,
               f"the buffers to be back ({free_at_first} at first)")
    expect_echo(server)
