"""Connects that cannot succeed say which way they failed, soon; and one that must succeed at once."""

import errno
import re
import signal
import socket
import time

from lab import Failed, expect
from registry import case


def failed_connect(address, port, timeout):
    """(errno, seconds) of a kernel's connect that must fail."""
    began = time.monotonic()
    stream = socket.socket()
    stream.settimeout(timeout)
    try:
        stream.connect((address, port))
    except OSError as error:
        return error.errno, time.monotonic() - began
    finally:
        stream.close()
    raise Failed(f"connected to {address}:{port}")


def only_end(client, seconds):
    client.wait(seconds)
    ends = client.reports()
    expect(len(ends) == 1, f"{len(ends)} ends reported")
    return ends[0]


@case("a kernel client is refused by a port of ours without listener, at once")
def refused_by_us(lab):
    server = lab.server("sluice-echo")
    error, took = failed_connect(server.ip, 8, 5)
    expect(error == errno.ECONNREFUSED and took < 0.5, f"{errno.errorcode.get(error)} after {took:.2f} s")
    expect(server.stats().outcome("StrayAnswered") == 1, "not counted as a stray segment")


@case("our client is refused by a port of the kernel without listener, at once")
def refused_by_kernel(lab):
    end = only_end(lab.client("--connect", "10.99.0.1:9"), 10)
    expect("refused" in end["result"].lower() and end["ms"] < 500, f"{end}")


@case("a kernel client of a server that does not answer times out after its retries")
def timed_out_by_us(lab):
    lab.sysctl("ipv4/tcp_syn_retries", 1)
    lab.sysctl("ipv4/tcp_syn_linear_timeouts", 0)
    server = lab.server("sluice-echo")
    mac = re.search(r"lladdr (\S+)", lab.run("ip", "neighbour", "show", server.ip).stdout)[1]
    lab.run("ip", "neighbour", "replace", server.ip, "lladdr", mac, "nud", "permanent", "dev", server.tap)
    server.signal(signal.SIGSTOP)
    error, took = failed_connect(server.ip, 7, 20)
    expect(error == errno.ETIMEDOUT and 2.5 < took < 5, f"{errno.errorcode.get(error)} after {took:.2f} s")
    server.signal(signal.SIGCONT)
    with socket.create_connection((server.ip, 7), timeout=5) as stream:
        stream.sendall(b"Hutu")
        expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo after it went on")


@case("our client of a kernel that does not answer times out after its retries", needs=["nft"])
def timed_out_by_kernel(lab):
    lab.run("nft", "add table ip silent; add chain ip silent in { type filter hook input priority 0; }; "
                   "add rule ip silent in tcp dport 9000 drop")
    end = only_end(lab.client("--connect", "10.99.0.1:9000", "--set", "tcp.syn_retries=1"), 20)
    expect("timed" in end["result"].lower() and 2500 < end["ms"] < 4500, f"{end}")


@case("our client of an address without host: unreachable, once ARP gave up")
def no_neighbor(lab):
    end = only_end(lab.client("--connect", "10.99.0.77:80", "--set", "neighbor.retry=200ms"), 15)
    expect("unreachable" in end["result"].lower() and end["ms"] < 2000, f"{end}")


@case("our client behind a router that answers host unreachable: unreachable, at once")
def icmp_unreachable(lab):
    lab.sysctl("ipv4/ip_forward", 1)
    lab.run("ip", "route", "add", "unreachable", "192.0.2.0/24")
    end = only_end(lab.client("--connect", "192.0.2.1:80", "--gateway", "10.99.0.1"), 10)
    expect("unreachable" in end["result"].lower() and end["ms"] < 1500, f"{end}")


@case("our client without a route: unreachable, without a packet")
def no_route(lab):
    end = only_end(lab.client("--connect", "192.0.2.1:80"), 10)
    expect("unreachable" in end["result"].lower() and end["ms"] < 100, f"{end}")


@case("a client that comes again from the same port finds its TIME-WAIT entry giving way")
def time_wait_gives_way(lab):
    server = lab.server("sluice-test-client", "--script", "send:4,close")
    for turn in range(5):
        with socket.socket() as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind((server.peer_ip, 45000))
            stream.settimeout(5)
            stream.connect((server.ip, 7000))
            expect(stream.recv(4, socket.MSG_WAITALL) == bytes(range(4)) and stream.recv(1) == b"", f"turn {turn}: wrong octets")
        time.sleep(0.05)
    stats = server.stats()
    expect(stats.counter("TimeWaitReused") == 4, f"TIME-WAIT gave way {stats.counter('TimeWaitReused')} times of 4")
