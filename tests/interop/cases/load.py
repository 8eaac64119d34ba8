"""sluice-load: against the kernel's servers over net_tap, against ours over memif; what it says when nothing answers."""

import json
import pathlib
import socket
import sys
import threading

from lab import expect, wait_until
from registry import case

KERNEL_HTTPD = pathlib.Path(__file__).resolve().parents[1] / "kernel_httpd.py"


def kernel_httpd(lab):
    """The kernel's HTTP server on any address of the namespace."""
    process = lab.start("kernel_httpd", sys.executable, KERNEL_HTTPD, "0.0.0.0")

    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", 80)) == 0

    wait_until(listens, 10, "kernel_httpd.py to listen")
    return process


def load(lab, *arguments, target_port=80, expected=0):
    """Runs a sluice-load on a tap of its own against the kernel; its JSON, or its complaint if it fails as `expected`."""
    client = lab.begin("sluice-load", ("--target", f"10.99.{lab.numbers}.1:{target_port}", "--json", "-", "--warmup", "100ms",
                                       "--duration", "1s", *arguments), "", None)
    client.wait_tap()
    status = client.wait(40)
    expect(status == expected, f"sluice-load gave {status}, not {expected}: {client.err().strip()}")
    return json.loads(client.out()) if client.out() else client.err()


def only_phase(result):
    expect(len(result["phases"]) == 1, f"{len(result['phases'])} phases")
    phase = result["phases"][0]
    expect(phase["failed"] == 0, f"failures: {phase['failures']}")
    expect(phase["answered"] == phase["issued"], f"{phase['answered']} answers to {phase['issued']} requests")
    return phase


class KernelEcho:
    """Sends back what it is sent, a thread a connection."""

    def __init__(self):
        self.listener = socket.create_server(("0.0.0.0", 7), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.echo, args=(stream,), daemon=True).start()

    @staticmethod
    def echo(stream):
        with stream:
            while octets := stream.recv(65536):
                stream.sendall(octets)

    def close(self):
        self.listener.close()


@case("sluice-load on the kernel's HTTP: kept connections, one for each request, downloads and uploads", seconds=120)
def load_kernel_http(lab):
    kernel_httpd(lab)
    kept = only_phase(load(lab, "--connections", "4"))
    expect(kept["answered"] > 50 and kept["latency_us"]["p50"] > 0, f"{kept}")
    closed = load(lab, "--mode", "http-close", "--connections", "4")
    phase = only_phase(closed)
    expect(phase["connected"] >= phase["answered"] > 20, f"{phase}")
    expect(phase["connect_us"]["p50"] <= phase["latency_us"]["p50"], "a connect took longer than the whole request")
    for mode in ("download", "upload"):
        bulk = only_phase(load(lab, "--mode", mode, "--size", "300k", "--connections", "2"))
        octets = bulk["octets_received" if mode == "download" else "octets_sent"]
        expect(octets >= bulk["answered"] * 300_000 > 0, f"{mode}: {octets} octets in {bulk['answered']} requests")


@case("sluice-load on the kernel's echo: an open loop keeps its rate, held connections stay", seconds=60)
def load_kernel_echo(lab):
    echo = KernelEcho()
    try:
        result = load(lab, "--mode", "echo", "--rate", "200", "--connections", "8", "--hold", "20", target_port=7)
    finally:
        echo.close()
    phase = only_phase(result)
    expect(phase["issued"] + phase["never_sent"] == 200, f"{phase['issued']} requests of 200")
    expect(phase["never_sent"] <= 20, f"{phase['never_sent']} were never sent")
    expect(phase["octets_received"] >= 64 * phase["answered"], "echoes are missing")
    expect(result["held_lost"] == 0, f"{result['held_lost']} held connections were lost")


@case("sluice-load says what is wrong, and how it went, by its exit status", seconds=90)
def load_complains(lab):
    said = load(lab, "--setup-timeout", "2s", target_port=9, expected=1)
    expect("does not answer" in said and "refused: nobody listens there" in said, said)
    kernel_httpd(lab)
    missing = load(lab, "--path", "/none", "--connections", "1", expected=4)
    expect(missing["phases"][0]["failed"] > 0, f"{missing['phases']}")
    wrong = lab.try_run(*lab.command("sluice-load", 9, ("--target", "10.99.9.1:80", "--rate", "fast")))
    expect(wrong.returncode == 2 and "--rate fast: expected a number" in wrong.stderr, wrong.stderr)


@case("sluice-load and sluice-httpd over memif: many addresses, pipelines, steps, TIME-WAIT that gives way", seconds=120)
def load_memif(lab):
    path = lab.folder / "memif.socket"
    device = "net_memif0,role={},socket=%s,socket-abstract=no" % path
    config = lab.folder / "memif.toml"
    config.write_text("", encoding="utf-8")
    server_name = f"{lab.namespace}.memif"
    server = lab.start("sluice-httpd.memif", lab.program("sluice-httpd"), "--config", config, "--instance", server_name,
                       "--device", device.format("server"), "--address", "10.98.0.1/16")
    wait_until(lambda: "listening" in server.err(), 15, "sluice-httpd on memif to serve")

    # One client after the other at the same addresses: they are one machine, so they have one MAC.
    def run(number, *arguments):
        client = lab.start(f"sluice-load.{number}", lab.program("sluice-load"), "--config", config, "--instance", f"{server_name}.load",
                           "--device", device.format("client") + ",mac=02:00:00:00:00:09", "--target", "10.98.0.1:80",
                           "--json", "-", "--warmup", "100ms", *arguments)
        expect(client.wait(40) == 0, f"sluice-load: {client.err().strip()}")
        return json.loads(client.out())

    piped = only_phase(run(1, "--address", "10.98.1.1-10.98.1.64/16", "--connections", "64", "--pipeline", "4", "--duration", "1s"))
    expect(piped["answered"] > 500, f"{piped['answered']} answers")
    # Two addresses and 250 ports each: tuples come again within the server's TIME-WAIT.
    closed = run(2, "--address", "10.98.2.1-10.98.2.2/16", "--mode", "http-close", "--connections", "16", "--steps", "300,600",
                 "--duration", "2s", "--set", "tcp.ephemeral_first=50000", "--set", "tcp.ephemeral_last=50249")
    expect([phase["failed"] for phase in closed["phases"]] == [0, 0], f"{closed['phases']}")
    stats = json.loads(lab.ctl(server_name, "stats", "--json"))
    reused = sum(worker["counters"].get("TimeWaitReused", 0) for worker in stats)
    expect(reused > 200, f"TIME-WAIT gave way {reused} times only")
