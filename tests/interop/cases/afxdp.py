"""Our programs on AF_XDP sockets of a veth in a namespace of theirs, the kernel's clients at its other end."""

import asyncio
import hashlib
import json
import os
import signal

from cases.transfer import page_bytes
from cases.workers import echo_all, expect_shared
from lab import Stats, expect, no_af_xdp, wait_until
from registry import case

OURS, THEIRS = "10.98.0.2", "10.98.0.1"
CONNECTIONS = 40


class XdpServer:
    """A program of ours at the end of a veth that has `queues` queues, each by a device of its own."""

    def __init__(self, lab, program, queues=1):
        self.lab = lab
        self.instance = f"{lab.namespace}.afxdp"
        namespace = lab.add_namespace("ours")
        count = ("numrxqueues", queues, "numtxqueues", queues)
        lab.run("ip", "link", "add", "veth1", *count, "type", "veth", "peer", "name", "veth0", "netns", namespace, *count)
        lab.run_in(namespace, "ip", "link", "set", "veth0", "up")
        lab.run("ip", "link", "set", "veth1", "up")
        lab.run("ip", "address", "add", f"{THEIRS}/24", "dev", "veth1")
        # The socket is given frames as they are: with their checksums, please, and none that a NIC has yet to cut.
        lab.run("ethtool", "-K", "veth1", "tx", "off", "tso", "off", "gso", "off")
        config = lab.folder / "afxdp.toml"
        config.write_text(f"[runtime]\nworkers = {queues}\ncpus = {[number % 2 for number in range(queues)]}\n", encoding="utf-8")
        devices = [word for queue in range(queues) for word in ("--device", f"net_af_xdp{queue},iface=veth0,start_queue={queue}")]
        self.process = lab.start(program, "ip", "netns", "exec", namespace, lab.program(program), "--config", config,
                                 "--instance", self.instance, *devices, "--address", f"{OURS}/24")
        wait_until(self.answers, 20, f"{program} over AF_XDP to answer ping")

    def answers(self):
        expect(self.process.is_running(), f"it ended: {self.process.err().strip()}")
        return self.lab.try_run("ping", "-c1", "-W1", "-q", OURS).returncode == 0

    def ports(self):
        return json.loads(self.lab.ctl(self.instance, "ports", "--json"))

    def stats(self):
        return Stats(json.loads(self.lab.ctl(self.instance, "stats", "--json")))

    def stop(self):
        self.process.signal(signal.SIGTERM)
        expect(self.process.wait(15) == 0, "the drain reset connections")


@case("over AF_XDP: curl gets a page and 10 MB as they are, and uploads 1 MB", needs=["curl", "ethtool"], obstacle=no_af_xdp)
def afxdp_http(lab):
    server = XdpServer(lab, "sluice-httpd")
    for octets in (64, 10_000_000):
        lab.run("curl", "-sS", "--fail", "-o", "got", f"http://{OURS}/bytes/{octets}")
        expect((lab.folder / "got").read_bytes() == page_bytes(octets), f"{octets} octets came otherwise than they were")
    text = os.urandom(1_000_000)
    (lab.folder / "sent").write_bytes(text)
    said = lab.run("curl", "-sS", "--fail", "-T", "sent", f"http://{OURS}/sink").stdout
    expect(said.split() == ["1000000", hashlib.sha256(text).hexdigest()], f"/sink says {said!r}")
    port = server.ports()[0]
    expect((port["driver"], port["rx_queues"]) == ("net_af_xdp", 1), f"the port is {port}")
    server.stop()


@case("over AF_XDP: nc is echoed", needs=["nc", "ethtool"], obstacle=no_af_xdp)
def afxdp_echo(lab):
    server = XdpServer(lab, "sluice-echo")
    text = "Hutu\n" * 20_000
    expect(lab.run("nc", "-N", "-w", "10", OURS, "7", input=text).stdout == text, "the echo is not what was sent")
    server.stop()


@case(f"over AF_XDP, a device for each of two queues, two workers: {CONNECTIONS} clients at once are echoed, each by its worker",
      needs=["ethtool"], obstacle=no_af_xdp)
def afxdp_device_a_queue(lab):
    server = XdpServer(lab, "sluice-echo", queues=2)
    asyncio.run(echo_all(OURS, CONNECTIONS))
    stats = server.stats()
    expect(stats.outcome("HandshakeCompleted") == CONNECTIONS, f"{stats.outcome('HandshakeCompleted')} handshakes, wanted {CONNECTIONS}")
    expect_shared(server, "HandshakeCompleted", CONNECTIONS // 8)
    ports = server.ports()
    expect(len(ports) == 2, f"the ports are {ports}")
    for port in ports:
        expect(sum(worker["received"] for worker in port["workers"]) > 0, f"a queue stayed silent: {port}")
        expect(port["lost"] == 0, f"frames were lost between workers: {port}")
    server.stop()
