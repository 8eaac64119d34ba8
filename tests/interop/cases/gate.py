"""SYN cookies against the kernel's TCP: nothing is lost by them, and honest clients get in beside a flood."""

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
