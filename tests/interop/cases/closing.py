"""Who closes first, and half-close: one direction ends while the other still carries data."""

import hashlib
import socket
import time

from lab import expect, wait_until
from registry import case

PERIOD = bytes(range(251))


def pattern(count):
    return (PERIOD * (count // 251 + 1))[:count]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@case("socat closes its half first, and still gets every octet back", needs=["socat"])
def half_close_by_kernel_client(lab):
    server = lab.server("sluice-echo", "--time-wait", "1s")
    body = hashlib.shake_256(b"half").digest(5_000_000)
    # -t: how long socat waits for the other half after its own end.
    done = lab.run("socat", "-t", "20", "-", f"TCP:{server.ip}:7", input=body, text=False)
    expect(done.stdout == body, f"{len(done.stdout)} octets of {len(body)} came back")
    wait_until(lambda: not server.conns(), 5, "the connection to be gone")


@case("our server closes its half first, and still reads what the client goes on to send")
def half_close_by_our_server(lab):
    server = lab.server("sluice-test-client", "--script", "send:1000,shutdown,read:eof,close", "--time-wait", "1s")
    with socket.create_connection((server.ip, 7000), timeout=20) as stream:
        expect(read_all(stream) == pattern(1000), "the server's octets came wrong")
        wait_until(lambda: [row["state"] for row in server.conns()] == ["FIN-WAIT-2"], 5, "FIN-WAIT-2 here")
        body = pattern(3_000_000)
        stream.sendall(body)
    report = wait_until(server.reports, 10, "the server's report")[-1]
    expect(report["received"] == len(body) and report["sha256"] == sha256(body), f"the server read {report}")
    wait_until(lambda: not server.conns(), 5, "TIME-WAIT to end")


@case("our client closes its half first, and still reads what the kernel goes on to send", needs=["socat"])
def half_close_by_our_client(lab):
    body = hashlib.shake_256(b"kernel").digest(3_000_000)
    (lab.folder / "body").write_bytes(body)
    # Sends only after it saw our FIN: `cat` of the socket ends first.
    lab.start("socat", "socat", "-t", "20", "TCP-LISTEN:9000,reuseaddr", "SYSTEM:cat > got; cat body")
    client = lab.client("--connect", "10.99.0.1:9000", "--script", "send:200000,shutdown,read:eof,close",
                        "--time-wait", "1s")
    client.wait(20)
    report = client.reports()[-1]
    expect(report["sha256"] == sha256(body) and report["eof"], f"our client read {report}")
    expect((lab.folder / "got").read_bytes() == pattern(200_000), "the kernel's side got something else")


@case("the kernel closes its half first, and still reads what our client goes on to send")
def half_close_by_kernel_server(lab):
    with socket.create_server(("0.0.0.0", 9000)) as listener:
        client = lab.client("--connect", "10.99.0.1:9000", "--script", "read:eof,send:3000000,close", "--time-wait", "1s")
        listener.settimeout(10)
        stream, _ = listener.accept()
    with stream:
        stream.settimeout(10)
        stream.shutdown(socket.SHUT_WR)
        expect(read_all(stream) == pattern(3_000_000), "the kernel's side got something else")
    client.wait(10)
    report = client.reports()[-1]
    expect(report["sent"] == 3_000_000 and "reset" not in report["result"], f"our client says {report}")


@case("a client's RST ends the connection, an abort of ours reaches the client as RST")
def reset_both_ways(lab):
    server = lab.server("sluice-test-client", "--script", "read:4,abort")
    with socket.create_connection((server.ip, 7000), timeout=10) as stream:
        stream.sendall(b"Hutu")
        try:
            expect(stream.recv(1) != b"", "a FIN where a RST was meant")
        except ConnectionResetError:
            pass
    stream = socket.create_connection((server.ip, 7000), timeout=10)
    wait_until(server.conns, 5, "the second connection")
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.close()
    wait_until(lambda: len(server.reports()) == 2, 5, "the end of the second connection")
    expect("reset" in server.reports()[-1]["result"].lower(), f"the server was told {server.reports()[-1]}")
    expect(not server.conns(), "connections are left")


@case("SIGTERM with idle connections: FIN to each, exit 0")
def drain_idle(lab):
    server = lab.server("sluice-echo", "--drain-timeout", "10s", "--time-wait", "500ms")
    streams = [socket.create_connection((server.ip, 7), timeout=10) for _ in range(20)]
    for stream in streams:
        stream.sendall(b"Hutu")
        expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo")
    server.signal(15)
    for stream in streams:
        expect(stream.recv(1) == b"", "no FIN")
        stream.close()
    code = server.wait(10)
    expect(code == 0, f"exit status {code}, wanted 0")


@case("SIGTERM with a client that will not end: RST at the deadline, exit 3")
def drain_deadline(lab):
    server = lab.server("sluice-echo", "--drain-timeout", "1s")
    with socket.create_connection((server.ip, 7), timeout=10) as stream:
        stream.sendall(b"Hutu")
        stream.recv(4, socket.MSG_WAITALL)
        server.signal(15)
        asked = time.monotonic()
        expect(stream.recv(1) == b"", "no FIN")
        code = server.wait(10)
        took = time.monotonic() - asked
        expect(code == 3, f"exit status {code}, wanted 3")
        expect(0.9 < took < 2.5, f"a drain of 1 s took {took:.2f} s")
        # The RST came over the tap before it vanished: writing fails now, or did already.
        try:
            for _ in range(3):
                stream.sendall(b"x")
            failed = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except OSError:
            failed = True
        expect(failed, "the kernel's side heard no RST")


@case("while it drains, a new SYN gets no connection")
def drain_refuses(lab):
    lab.sysctl("ipv4/tcp_syn_retries", 1)
    server = lab.server("sluice-echo", "--drain-timeout", "3s")
    with socket.create_connection((server.ip, 7), timeout=10) as held:
        held.sendall(b"Hutu")
        held.recv(4, socket.MSG_WAITALL)
        server.signal(15)
        expect(held.recv(1) == b"", "no FIN")
        try:
            with socket.create_connection((server.ip, 7), timeout=1):
                connected = True
        except OSError:
            connected = False
        expect(not connected, "a draining server took a connection")


def read_all(stream):
    parts = []
    while part := stream.recv(65536):
        parts.append(part)
    return b"".join(parts)
