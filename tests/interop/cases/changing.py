"""What an operator changes while a server runs: addresses, routes, neighbours, and the configuration file."""

import json
import os
import re
import signal
import socket

from cases.gate import is_served
from lab import expect, wait_until
from registry import case


def answers_ping(lab, address):
    return lab.try_run("ping", "-c1", "-W1", "-q", address).returncode == 0


def is_found_by_ping(lab, address):
    """As answers_ping, if the kernel asked in vain before: it would ask again a second after it last did."""
    lab.run("ip", "neighbour", "flush", "to", address)
    return answers_ping(lab, address)


def is_silent(stream):
    stream.settimeout(1)
    try:
        stream.recv(1, socket.MSG_PEEK)
        return False
    except TimeoutError:
        return True


def refused(lab, server, *words):
    """The complaint about a command that must fail."""
    done = lab.try_run(lab.program("sluicectl"), *words, "--instance", server.instance)
    expect(done.returncode == 1, f"{words}: exit status {done.returncode}, wanted 1: {done.stdout} {done.stderr}")
    return done.stderr


@case("what a stopped server was told and did not answer it does not do when it goes on; instances shows that it hangs")
def told_while_stopped(lab):
    server = lab.server("sluice-echo")
    server.signal(signal.SIGSTOP)
    asked = [lab.start(words[0], lab.program("sluicectl"), *words, "--instance", server.instance)
             for words in (("gate", "deny", "198.51.100.0/24"), ("addr", "add", "10.99.0.7/24"))]
    for process in asked:
        expect(process.wait(20) == 1 and "will not do it later" in process.err(), f"{process.name} got: {process.err()}")
    age = json.loads(server.ctl("instances", "--json"))[0]["last_round_ms_ago"]
    expect(age > 5000, f"a server stopped for 10 s had its last round {age} ms ago")
    server.signal(signal.SIGCONT)
    expect("in the list" in server.ctl("gate", "deny", "192.0.2.0/24"), "it does not go on")
    expect(json.loads(server.ctl("gate", "prefixes", "--json"))[0]["deny"] == ["192.0.2.0/24"], "the deny was done late")
    expect("10.99.0.7" not in server.ctl("addr"), "the address was added late")
    age = json.loads(server.ctl("instances", "--json"))[0]["last_round_ms_ago"]
    expect(age < 5000, f"a server that runs had its last round {age} ms ago")


@case("an address is served as soon as it is added, its connections stand still while it is gone and go on when it is back")
def address_while_running(lab):
    server = lab.server("sluice-echo", "--workers", "2")
    expect(not answers_ping(lab, "10.99.0.7"), "10.99.0.7 answers before it was added")
    expect("addr 10.99.0.7/24 added (2 workers)" in server.ctl("addr", "add", "10.99.0.7/24"), "addr add says something else")
    expect(is_found_by_ping(lab, "10.99.0.7"), "10.99.0.7 does not answer")
    held = socket.create_connection((server.ip, 7), timeout=10)
    with socket.create_connection(("10.99.0.7", 7), timeout=20) as stream:
        stream.sendall(b"Hutu")
        expect(stream.recv(4) == b"Hutu", "10.99.0.7 does not echo")
        server.ctl("addr", "del", "10.99.0.7/24")
        expect(not answers_ping(lab, "10.99.0.7"), "10.99.0.7 answers though it was deleted")
        stream.sendall(b"gone")
        expect(is_silent(stream), "an answer came from an address that was deleted")
        held.sendall(b"here")
        expect(held.recv(4) == b"here", "a connection of another address was disturbed")
        expect(len(server.conns()) == 2, "the connection of the address did not stay")
        server.ctl("addr", "add", "10.99.0.7/24")
        stream.settimeout(20)
        expect(stream.recv(4) == b"gone", "the connection did not go on")
    held.close()
    expect("is ours already" in refused(lab, server, "addr", "add", "10.99.0.7/16"), "an address twice")
    expect("no address 10.99.0.8/24 here" in refused(lab, server, "addr", "del", "10.99.0.8/24"), "an address that is not there")
    shown = [row["address"] for row in json.loads(server.ctl("addr", "--json"))]
    expect(shown == 2 * ["10.99.0.2/24", "10.99.0.7/24"], f"addr shows {shown}")
    expect(server.stop() in (0, 3), "did not end in good order")


@case("who lies behind a gateway is served while there is a route to it")
def route_while_running(lab):
    server = lab.server("sluice-echo")
    lab.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    expect(not is_served(server, "192.0.2.1"), "served without a route")
    expect(server.stats().counter("TxNoRoute") > 0, "no answer was without a route")
    server.ctl("route", "add", "192.0.2.0/24", "via", server.peer_ip)
    expect(is_served(server, "192.0.2.1"), "not served by the new route")
    with socket.create_connection((server.ip, 7), timeout=20, source_address=("192.0.2.1", 0)) as stream:
        stream.sendall(b"Hutu")
        expect(stream.recv(4) == b"Hutu", "no echo")
        server.ctl("route", "del", "192.0.2.0/24")
        server.ctl("route", "add", "default", "via", server.peer_ip)
        stream.sendall(b"on")
        expect(stream.recv(2) == b"on", "the connection did not take the other route")
    server.ctl("route", "del", "default")
    expect(not is_served(server, "192.0.2.1"), "served though the routes are gone")
    expect("no other host in a subnet of ours" in refused(lab, server, "route", "add", "default", "via", "172.16.0.1"), "a far gateway")
    expect("no route 0.0.0.0/0 here" in refused(lab, server, "route", "del", "default"), "a route that is not there")
    expect(server.stop() in (0, 3), "did not end in good order")


@case("a neighbour that is pinned is sent to where the operator says, one that is forgotten is asked for again")
def neighbor_while_running(lab):
    server = lab.server("sluice-echo")
    expect(is_served(server), "not served")
    server.ctl("neigh", "add", server.peer_ip, "lladdr", "02:00:00:00:00:99", "permanent")
    states = [(row["address"], row["state"], row["mac"]) for row in json.loads(server.ctl("neigh", "--json"))]
    expect((server.peer_ip, "STATIC", "02:00:00:00:00:99") in states, f"neigh shows {states}")
    expect(not is_served(server), "served though answers go to another MAC address")
    expect("pinned already" in refused(lab, server, "neigh", "add", server.peer_ip, "lladdr", "02:00:00:00:00:98"), "pinned twice")
    server.ctl("neigh", "del", server.peer_ip)
    expect(is_served(server), "not served though the neighbour is learnt again")
    expect(server.stop() in (0, 3), "did not end in good order")


def ttl(lab, server):
    return int(re.search(r"ttl=(\d+)", lab.run("ping", "-c1", "-W2", server.ip).stdout)[1])


@case("SIGHUP and sluicectl reload put a changed file into force, name what needs a restart, and refuse a file with a mistake")
def reload(lab):
    server = lab.server("sluice-echo", config="[interface]\nttl = 77\n")
    path = lab.folder / "config0.toml"
    held = socket.create_connection((server.ip, 7), timeout=10)
    expect(ttl(lab, server) == 77, "the configured TTL is not used")
    path.write_text("[interface]\nttl = 78\n[tcp]\nmax_connections = 1000\nnodelay = true\n", encoding="utf-8")
    said = server.ctl("reload")
    expect("changed: interface.ttl, tcp.nodelay" in said and "needs a restart: tcp.max_connections" in said, f"reload says {said}")
    expect(ttl(lab, server) == 78, "the new TTL is not used")
    held.sendall(b"Hutu")
    expect(held.recv(4) == b"Hutu", "a connection was disturbed")

    path.write_text("[interface]\nttl = 79\n[tcp]\nrto_min = \"soon\"\n", encoding="utf-8")
    complaint = refused(lab, server, "reload")
    expect(f"{path}:4: tcp.rto_min" in complaint and "nothing has changed" in complaint, f"a mistake: {complaint}")
    server.signal(signal.SIGHUP)
    wait_until(lambda: f"not reloaded: {path}:4:" in server.err(), 5, "the log to tell the mistake")
    expect(ttl(lab, server) == 78, "a file with a mistake was taken in part")

    path.write_text("[interface]\nttl = 79\n", encoding="utf-8")
    server.signal(signal.SIGHUP)
    wait_until(lambda: ttl(lab, server) == 79, 5, "the TTL of the last file")
    expect("changed: interface.ttl, tcp.nodelay" in server.err(), "the reload is not in the log")
    held.close()
    expect(server.stop() in (0, 3), "did not end in good order")


@case("another thread has the workers listen, stop listening, connect and hear messages while they serve")
def ordered_by_a_thread(lab):
    fifo = lab.folder / "orders"
    os.mkfifo(fifo)
    server = lab.server("sluice-test-changing", "--workers", "2", "--orders", fifo)
    with open(fifo, "w", encoding="ascii") as orders:

        def order(line, answer):
            orders.write(line + "\n")
            orders.flush()
            wait_until(lambda: f"{line}: {answer}" in server.out(), 5, f"'{answer}' to '{line}'; it says {server.out()}")

        def is_open():
            try:
                with socket.create_connection((server.ip, 8000), timeout=5) as stream:
                    stream.sendall(b"Hutu")
                    return stream.recv(4) == b"Hutu"
            except ConnectionRefusedError:
                return False

        expect(not is_open(), "port 8000 is open before anybody listens")
        order("listen 8000", "done")
        expect(is_open(), "port 8000 is not served")
        order("listen 8000", "cannot listen on port 8000: workers 0, 1 refused: nothing has changed (address in use)")
        held = socket.create_connection((server.ip, 8000), timeout=5)

        def is_echoed():
            held.sendall(b"Hutu")
            return held.recv(4) == b"Hutu"

        # The kernel is connected as soon as it has the SYN-ACK; the worker accepts by the ACK that follows. A listener
        # takes its half-open connections with it, so unlisten must come after that ACK: an echo shows that it did.
        expect(is_echoed(), "port 8000 does not echo")
        order("unlisten 8000", "done")
        expect(not is_open(), "port 8000 is still open")
        expect(is_echoed(), "an accepted connection did not stay")
        held.close()
        order("unlisten 8001", "invalid argument")
        order("post 7", "done")
        wait_until(lambda: server.out().count("worker 0 heard 7") == 2, 5, "the message from outside, and the worker's own")
        with socket.create_server((server.peer_ip, 9000)) as listener:
            listener.settimeout(5)
            order(f"connect {server.peer_ip} 9000", "done")
            stream, _ = listener.accept()
            with stream:
                stream.settimeout(5)
                expect(stream.recv(5) == b"Hutu\n", "the connection says something else")
        wait_until(lambda: "closed: closed by both sides" in server.out(), 5, "the connection's end")
        expect(server.stats().counter("MessagesDelivered") == 2, "messages are not counted")
    expect(server.stop() == 0, "did not end in good order")
