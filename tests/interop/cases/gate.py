"""The gate against the kernel's TCP: SYN cookies lose nothing, honest clients get in beside a flood, a list says who may."""

import json
import os
import pathlib
import socket
import struct
import threading
import time

from cases.abuse import expect_echo, send_syns
from cases.transfer import page_bytes
from lab import expect, wait_until
from registry import case


TIMESTAMPS, SACK, WINDOW_SCALE, ECN = 1, 2, 4, 8  # tcpi_options


def options_of(server):
    """What the client's kernel says of its end: tcpi_options, both window scales, the MSS that it sends."""
    with socket.create_connection((server.ip, 80), timeout=5) as stream:
        stream.sendall(b"GET /bytes/3000 HTTP/1.1\r\nHost: x\r\n\r\n")
        expect(len(stream.recv(1000)) > 0, "no answer")
        info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return info[5], info[6], struct.unpack_from("I", info, 16)[0]


@case("a connection made by a cookie has every option of one that was not, and carries 20 MB each way", needs=("curl",))
def cookies_keep_options(lab):
    lab.sysctl("ipv4/tcp_ecn", 1)
    plain = lab.server("sluice-httpd", "--set", "gate.syn_cookies=off")
    agreed = options_of(plain)
    plain.stop()
    server = lab.server("sluice-httpd", "--set", "gate.syn_cookies=always")
    by_cookie = options_of(server)
    every = TIMESTAMPS | SACK | WINDOW_SCALE | ECN
    expect(by_cookie == agreed and agreed[0] & every == every, f"options, scales, MSS: with cookies {by_cookie}, without {agreed}")
    count = 20_000_000
    got = lab.folder / "got"
    lab.run("curl", "-sS", "--fail", "--max-time", 30, "-o", got, f"http://{server.ip}/bytes/{count}")
    expect(got.read_bytes() == page_bytes(count), "other octets came than were sent")
    done = lab.run("curl", "-sS", "--fail", "--max-time", 30, "-H", "Expect:", "-T", got, f"http://{server.ip}/sink")
    expect(str(count) in done.stdout, f"the server took other than {count} octets: {done.stdout}")
    stats = server.stats()
    expect(stats.outcome("SynQueued") == 0 and stats.outcome("CookieCompleted") == 3,
           f"{stats.outcome('SynQueued')} entries, {stats.outcome('CookieCompleted')} cookies of 3")


@case("beside a flood of SYNs every honest client gets in, and cookies end when the flood does", seconds=60)
def flood(lab):
    server = lab.server("sluice-echo", "--gateway", "10.99.0.1", "--set", "tcp.max_half_open=64", "--set", "tcp.half_open_lifetime=3s")
    is_over = threading.Event()

    def send():
        port = 10_000
        while not is_over.is_set():
            send_syns(lab, server, 200, port)
            port = 10_000 + (port - 10_000 + 200) % 40_000

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: server.stats().counter("CookiesEngaged") > 0, 5, "cookies to begin")
        clients, slowest, end = 0, 0.0, time.monotonic() + 30
        while clients < 100 or (server.stats().outcome("SynCookieSent") < 1000 and time.monotonic() < end):
            began = time.monotonic()
            expect_echo(server)
            slowest = max(slowest, time.monotonic() - began)
            clients += 1
    finally:
        is_over.set()
        sender.join()
    stats = server.stats()
    expect(stats.outcome("SynCookieSent") > 1000, f"only {stats.outcome('SynCookieSent')} cookies: was that a flood?")
    expect(stats.outcome("CookieCompleted") == clients, f"{stats.outcome('CookieCompleted')} of {clients} clients came by a cookie")
    expect(slowest < 1, f"the slowest client waited {slowest:.2f} s: its SYN or its ACK was ignored")
    wait_until(lambda: server.stats().now("half_open") == 0, 6, "half-open entries to expire")
    expect_echo(server)
    expect(server.stats().counter("CookiesReleased") == 1, "cookies did not end")


def is_served(server, source=None):
    """A new connection echoes, or nothing at all comes back. One try: a SYN is sent again only after 1 s."""
    try:
        with socket.create_connection((server.ip, 7), timeout=0.6, source_address=(source, 0) if source else None) as stream:
            stream.sendall(b"Hutu")
            return stream.recv(4) == b"Hutu"
    except TimeoutError:
        return False


def prefixes(server):
    return json.loads(server.ctl("gate", "prefixes", "--json"))[0]


@case("a client is denied while the server runs: neither its SYN, its ping nor its connection is answered until it is allowed again")
def denied_while_running(lab):
    server = lab.server("sluice-echo")
    held = socket.create_connection((server.ip, 7), timeout=10)
    expect(is_served(server), "not served before anything was denied")
    expect("1 prefix denied, 1 in the list" in server.ctl("gate", "deny", "10.99.0.0/24"), "deny says something else")
    expect(server.stats().outcome("SourceDenied") == 0, "something was denied before it came")
    expect(not is_served(server), "served though its prefix is denied")
    expect(lab.try_run("ping", "-c1", "-W1", "-q", server.ip).returncode != 0, "ping is answered")
    before = server.stats().outcome("SourceDenied")
    expect(before >= 2, f"{before} packets denied of a SYN and a ping")
    held.sendall(b"Hutu")
    wait_until(lambda: server.stats().outcome("SourceDenied") > before, 5, "a segment of the connection to be denied")
    shown = prefixes(server)
    expect(shown["deny"] == ["10.99.0.0/24"] and shown["denied_packets_total"] > before, f"gate prefixes shows {shown}")

    server.ctl("gate", "allow", f"{server.peer_ip}/32")
    expect(is_served(server), "not served though its address is allowed, which is longer than the denied prefix")
    expect(held.recv(4) == b"Hutu", "the connection that waited did not go on")
    held.close()
    lab.run("ip", "address", "add", "10.99.0.9/24", "dev", server.tap)
    expect(not is_served(server, "10.99.0.9"), "another address of the denied prefix is served")
    server.ctl("gate", "forget", "10.99.0.0/24", "10.99.0.1")
    expect(is_served(server, "10.99.0.9"), "not served though the list is empty")
    expect(prefixes(server)["deny"] == [] and prefixes(server)["allow"] == [], "the list is not empty")
    for line in ("gate: deny 10.99.0.0/24: the list has 1 now", "gate: forget 10.99.0.0/24 and 1 more: the list has 0 now"):
        expect(line in server.err(), f"no line '{line}' in the log")
    packets = server.stats()
    expect(packets.outcomes() == packets.counter("RxPackets"), "outcomes do not sum to packets")
    expect(server.stop() in (0, 3), "did not end in good order")


@case("a server that serves only whom its configuration lists; its control socket is its user's alone and goes with it")
def only_listed_sources(lab):
    server = lab.server("sluice-echo", config='[gate]\nother_sources = "deny"\nallow = ["10.99.0.1"]\n')
    lab.run("ip", "address", "add", "10.99.0.9/24", "dev", server.tap)
    expect(is_served(server) and not is_served(server, "10.99.0.9"), "the list is not what is served")
    control = pathlib.Path(f"/dev/shm/sluice-control.{server.instance}")
    expect(control.is_socket() and control.stat().st_mode & 0o777 == 0o600 and control.stat().st_uid == os.geteuid(),
           f"{control}: mode {control.stat().st_mode:o}")
    for words, complaint in ((("deny", "10.99.0.1/24"), "is no prefix"), (("deny",), "which prefixes"), (("admit",), "what is 'admit'"),
                             (("forget", "192.0.2.1"), "not in the list")):
        done = lab.try_run(lab.program("sluicectl"), "gate", *words, "--instance", server.instance)
        expect(done.returncode in (1, 2) and complaint in done.stderr, f"gate {words}: {done.returncode} {done.stderr}")
    server.kill()
    expect(control.exists(), "a killed server cannot have removed its socket")
    done = lab.try_run(lab.program("sluicectl"), "gate", "deny", "10.99.0.1", "--instance", server.instance)
    expect(done.returncode == 1 and "is dead" in done.stderr, f"a dead server: {done.returncode} {done.stderr}")
    again = lab.server("sluice-echo", number=0)
    lab.run("ip", "address", "add", "10.99.0.9/24", "dev", again.tap)
    expect(is_served(again, "10.99.0.9"), "the list of a dead server lives on")
    expect("1 prefix denied, 1 in the list" in again.ctl("gate", "deny", "10.99.0.9"), "the dead server's socket was not replaced")
    again.stop()
    expect(not control.exists(), f"{control} is left behind")
