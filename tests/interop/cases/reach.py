"""Is it there: ARP, ping, the banner of a page, silence where silence is due."""

import pathlib
import re
import signal
import socket
import time

from frames import Wire, arp, ethernet
from lab import Failed, expect
from registry import case


@case("ping is answered, short and full-sized, and the neighbour is learnt", needs=["ping"])
def ping(lab):
    server = lab.server("sluice-echo")
    for size in (0, 56, 1472):
        done = lab.run("ping", "-c", "3", "-i", "0.1", "-W", "2", "-M", "do", "-s", size, server.ip)
        expect(" 0% packet loss" in done.stdout, f"ping -s {size}:\n{done.stdout}")
    expect(server.peer_ip in server.ctl("neigh"), "the kernel's address is not in `sluicectl neigh`")
    expect(lab.run("ip", "neighbour", "show", server.ip).stdout.strip(), "the kernel did not learn our MAC")


@case("a tap's frames come without a signal each: no real-time signal is caught")
def no_signals(lab):
    server = lab.server("sluice-echo")
    status = pathlib.Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    caught = int(re.search(r"^SigCgt:\s+(\w+)$", status, re.M)[1], 16)
    real_time = [number for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if caught >> (number - 1) & 1]
    expect(not real_time, f"signals {real_time} are caught: one interrupts the worker for each frame")


@case("an unsolicited ARP reply changes nothing")
def unsolicited_arp(lab):
    server = lab.server("sluice-echo")
    with Wire(server.tap) as wire:
        ours = lab.run("ip", "neighbour", "show", server.ip).stdout
        mac = re.search(r"lladdr (\S+)", ours)[1]
        before = server.ctl("neigh", "--json")
        wire.send(ethernet(mac, wire.mac(), 0x0806, arp(2, "02:de:ad:00:00:01", server.peer_ip, mac, server.ip)))
        lab.run("ping", "-c", "2", "-i", "0.2", "-W", "2", server.ip)
        expect("02:de:ad:00:00:01" not in server.ctl("neigh", "--json"), f"the table took it: before {before}")
        expect("02:de:ad:00:00:01" in server.ctl("neigh", "--refused"), "sluicectl does not tell who claimed it")
    expect(server.stats().outcome("ArpOtherMac") == 1, "the reply was not counted")


@case("a datagram to UDP gets port unreachable, a strange protocol gets protocol unreachable")
def unreachable_out(lab):
    server = lab.server("sluice-echo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(3)
        udp.connect((server.ip, 9))
        udp.send(b"x")
        try:
            udp.recv(1)
        except ConnectionRefusedError:
            pass
        else:
            raise Failed("an answer from where nobody is")
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as raw, \
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.settimeout(3)
        raw.sendto(b"test", (server.ip, 0))
        packet = icmp.recv(1500)
        expect(packet[20:22] == b"\x03\x02", f"ICMP type and code {packet[20:22].hex()}, wanted 0302")


@case("every frame that came is in exactly one outcome")
def outcomes_add_up(lab):
    server = lab.server("sluice-echo")
    for _ in range(5):
        with socket.create_connection((server.ip, 7), timeout=5) as stream:
            stream.sendall(b"Hutu")
            expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo")
    lab.run("ping", "-c", "3", "-i", "0.05", server.ip)
    stats = server.stats()
    expect(stats.outcomes() == stats.counter("RxPackets") > 0,
           f"{stats.counter('RxPackets')} frames received, {stats.outcomes()} outcomes")


@case("a neighbour that takes another MAC, and says so by gratuitous ARP alone, is sent to there within seconds")
def mac_moves(lab):
    server = lab.server("sluice-echo")
    ours = re.search(r"lladdr (\S+)", lab.run("ip", "neighbour", "show", server.ip).stdout)[1]
    with socket.create_connection((server.ip, 7), timeout=10) as stream:
        stream.sendall(b"Hutu")
        expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo")
        lab.sysctl(f"ipv4/conf/{server.tap}/arp_notify", 1)
        time.sleep(1.2)  # one that has just been heard is not asked
        lab.run("ip", "link", "set", server.tap, "address", "02:00:00:00:0a:01")
        # Not even a request to us tells of it.
        lab.run("ip", "neighbour", "replace", server.ip, "lladdr", ours, "nud", "permanent", "dev", server.tap)
        stream.sendall(b"moved")
        expect(stream.recv(5, socket.MSG_WAITALL) == b"moved", "no echo at the new MAC")
    expect("02:00:00:00:0a:01" in server.ctl("neigh"), "the table does not have the new MAC")


@case("our addresses are announced: when a server starts, and when one is added")
def announced(lab):
    server = lab.server("sluice-echo")
    with Wire(server.tap) as wire:
        server.ctl("addr", "add", "10.99.0.7/24")
        heard = {frame[28:32] for frame in wire.receive(3) if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42]}
    wanted = {socket.inet_aton(server.ip), socket.inet_aton("10.99.0.7")}
    expect(heard == wanted, f"announced: {heard}, wanted {wanted}")
