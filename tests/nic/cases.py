"""What is checked in the guest, in order: each case goes on from the state in which the last one left it."""

import hashlib
import json
import random
import re
import socket
import threading

import frames
from flows import Flow, check_toeplitz, wrong_checksums
from lab import expect, wait_until
from machine import CPUS, GUEST_IP, GUEST_MAC, HOST_IP, PATIENCE_SECONDS, PCI, TAP

QUEUES = 4
PAGES = 128  # of 2 MiB
TSO_PORT, TSO_OCTETS, TSO_MSS = 81, 3500, 1000
CASES = []


def case(sentence, needs=()):
    """Registers a function of one Machine; it is run only if the cases named in `needs` passed."""
    def register(function):
        CASES.append((function.__name__, sentence, function, tuple(needs)))
        return function

    return register


def driver(machine):
    """Name of the kernel's driver that holds the NIC, "" if none."""
    return machine.run(f"basename $(readlink /sys/bus/pci/devices/{PCI}/driver) 2>/dev/null || true").strip()


@case("nic.sh status names the NIC, its driver, and what is missing for DPDK")
def status_before(machine):
    machine.run("modprobe igb")
    wait_until(lambda: driver(machine) == "igb", PATIENCE_SECONDS, "the kernel's igb driver")
    text = machine.run("nic.sh status || true")
    expect(re.search(rf"^{PCI}\s+igb\b", text, re.M), f"no line of {PCI} with igb in:\n{text}")
    expect("nic.sh setup" in text, f"nothing is said to be missing:\n{text}")


@case("nic.sh refuses the NIC that carries the default route, and takes it with --force only")
def refuses_default_route(machine):
    interface = machine.run(f"ls /sys/bus/pci/devices/{PCI}/net").strip()
    machine.run(f"ip link set {interface} up && ip addr add {GUEST_IP}/24 dev {interface} && ip route add default via {HOST_IP}")
    status, text = machine.try_run(f"nic.sh setup --bind {PCI}")
    expect(status != 0 and "default route" in text, f"it gave {status}:\n{text}")
    expect(driver(machine) == "igb", "the NIC was taken from the kernel nevertheless")
    machine.run(f"nic.sh setup --bind {PCI} --force --dry-run")
    machine.run(f"ip addr flush dev {interface}; ip link set {interface} down")


@case("nic.sh setup reserves huge pages and binds the NIC to vfio-pci, twice with one result")
def setup(machine):
    for _ in range(2):
        machine.run(f"nic.sh setup --pages {PAGES} --bind {PCI}")
        expect(driver(machine) == "vfio-pci", f"bound to {driver(machine)!r}")
        expect(int(machine.run("cat /proc/sys/vm/nr_hugepages")) == PAGES, "another number of huge pages")
    status, text = machine.try_run("nic.sh status")
    expect(status == 0, f"status still misses something:\n{text}")


class Probe:
    """What nic_probe printed, as values."""

    def __init__(self, text):
        self.text = text
        self.port, self.can, self.rss = (self._fields(word) for word in ("port", "can", "rss"))
        self.reta = [int(queue) for queue in re.search(r"^reta(.*)$", text, re.M)[1].split()]
        lines = re.findall(r"^frame (.*)$", text, re.M)
        self.frames = {int(fields["port"]): fields for fields in map(self._pairs, lines)}

    @staticmethod
    def _pairs(line):
        return dict(word.split("=", 1) for word in line.split())

    def _fields(self, name):
        return self._pairs(re.search(rf"^{name} (.*)$", self.text, re.M)[1])


def probe_flows():
    """(flow, wrong): good ones of both families, and some with wrong checksums. Source ports tell them apart."""
    good = [(Flow(socket.AF_INET, f"10.98.{i % 7}.{10 + i * 3 % 200}", GUEST_IP, 20000 + i * 7), "") for i in range(96)]
    good += [(Flow(socket.AF_INET6, f"fd00::{i % 5}:{i + 10:x}", "fd00::2", 30000 + i), "") for i in range(32)]
    wrong = [(Flow(socket.AF_INET, "10.98.1.1", GUEST_IP, 40000 + i), ("ip", "tcp")[i % 2]) for i in range(8)]
    return good + wrong


def run_probe(machine):
    """Sends the flows to a probe; gives its report and the answers, by the port that they go to."""
    flows = probe_flows()
    tso = Flow(socket.AF_INET, "10.98.1.2", GUEST_IP, 50000, TSO_PORT)
    wanted = {flow.source_port for flow, _ in flows if flow.version == 4} | {tso.source_port}
    answers, tso_octets = {}, 0
    with machine.running("probe", f"nic_probe {PCI} {QUEUES} {len(flows) + 1}"), frames.Wire(TAP) as wire:
        machine.wait_output("probe", "^ready")
        for number, (flow, wrong) in enumerate(flows):
            wire.send(flow.frame(GUEST_MAC, b"x" * (number * 37 % 1400), wrong))
        wire.send(tso.frame(GUEST_MAC))
        for frame in wire.receive(60):
            if segment := frames.parse_tcp(frame):
                answers.setdefault(segment["destination_port"], []).append(frame)
                tso_octets += len(segment["payload"]) if segment["source_port"] == TSO_PORT else 0
            if wanted <= answers.keys() and tso_octets >= TSO_OCTETS:
                break
        machine.wait_output("probe", "^end")
    return Probe(machine.output("probe")), answers


@case(f"a device of {QUEUES} queues says that it took the secret key, and a RETA spread evenly", needs=["setup"])
def rss_readback(machine):
    machine.probe, machine.answers = run_probe(machine)
    rss, can = machine.probe.rss, machine.probe.can
    expect(machine.probe.port == {"driver": "net_e1000_igb", "queues": str(QUEUES)}, f"port: {machine.probe.port}")
    expect(rss["kind"] == "programmed" and rss["hashes_ports"] == "1" and rss["sets_hash"] == "1", f"rss: {rss}")
    expect(len(rss["key"]) == 80 and rss["asked"].startswith(rss["key"]), f"key {rss['key']} is not what was asked: {rss['asked']}")
    expect(machine.probe.reta == [i % QUEUES for i in range(128)], f"reta: {machine.probe.reta}")
    expect(all(flag == "1" for flag in can.values()), f"capabilities: {can}")


@case("every flow's hash is Toeplitz of its 4-tuple, and its queue the RETA's; all queues are hit", needs=["rss_readback"])
def rss_hash(machine):
    check_toeplitz()
    key, reta, seen = bytes.fromhex(machine.probe.rss["key"]), machine.probe.reta, machine.probe.frames
    hit = set()
    for flow, wrong in probe_flows():
        if wrong:
            continue
        frame = seen.get(flow.source_port)
        expect(frame is not None, f"{flow} did not come")
        value = flow.hash(key)
        expect((frame["has_hash"], frame["hash"]) == ("1", f"{value:08x}"), f"{flow}: {frame}, Toeplitz says {value:08x}")
        expect(int(frame["queue"]) == reta[value % len(reta)], f"{flow}: queue {frame['queue']}, RETA says {reta[value % len(reta)]}")
        hit.add(frame["queue"])
    expect(len(hit) == QUEUES, f"only queues {sorted(hit)} got flows")


@case("received checksums: right ones are told good, wrong ones bad, of IPv4 and of TCP", needs=["rss_readback"])
def receive_checksums(machine):
    for flow, wrong in probe_flows():
        frame = machine.probe.frames.get(flow.source_port)
        expect(frame is not None, f"{flow} did not come")
        if flow.version == 4 and wrong != "tcp":
            expect(frame["ip"] == ("bad" if wrong == "ip" else "good"), f"{flow} with wrong {wrong!r}: {frame}")
        if wrong != "ip":
            expect(frame["tcp"] == ("bad" if wrong == "tcp" else "good"), f"{flow} with wrong {wrong!r}: {frame}")


@case("sent checksums: every answer that the port filled in is right, of any length", needs=["rss_readback"])
def transmit_checksums(machine):
    for flow, _ in probe_flows():
        if flow.version == 4:
            answer = machine.answers.get(flow.source_port)
            expect(answer is not None, f"{flow} was not answered")
            expect(wrong_checksums(answer[0]) == "", f"{flow}: wrong checksum of {wrong_checksums(answer[0])}")


@case(f"TSO: a chain of {TSO_OCTETS} octets leaves as segments of {TSO_MSS}, in order, with right checksums", needs=["rss_readback"])
def transmit_segmentation(machine):
    cut = machine.answers.get(50000, [])
    segments = [frames.parse_tcp(frame) for frame in cut]
    lengths = [len(segment["payload"]) for segment in segments]
    expect(lengths == [TSO_MSS] * (TSO_OCTETS // TSO_MSS) + [TSO_OCTETS % TSO_MSS], f"lengths {lengths}")
    for index, (frame, segment) in enumerate(zip(cut, segments)):
        expect(segment["seq"] == segments[0]["seq"] + index * TSO_MSS, f"segment {index} begins at {segment['seq']}")
        expect(wrong_checksums(frame) == "", f"segment {index}: wrong checksum of {wrong_checksums(frame)}")


class Listener:
    """Hears what the guest sends while it lives, and counts TCP frames and wrong checksums."""

    def __init__(self):
        self.segments, self.wrong = 0, []
        self._stop = threading.Event()
        self._wire = frames.Wire(TAP)
        self._thread = threading.Thread(target=self._listen)

    def _listen(self):
        while not self._stop.is_set():
            for frame in self._wire.receive(0.2):
                if frames.parse_tcp(frame):
                    self.segments += 1
                    if text := wrong_checksums(frame):
                        self.wrong.append(text)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._wire.socket.close()


SIZES = [1, 1460, 100_000] * 24


def fetch(lab):
    """A connection for each of SIZES by the kernel's curl, 16 at a time; each must get what it asked for."""
    # Toeplitz is linear: the kernel's own ports, one after the other, would leave a worker without flows now and then.
    ports = random.sample(range(20000, 60000), len(SIZES))
    requests = [["-sS", "-f", "-o", "/dev/null", "-H", "Connection: close", "-w", "%{size_download}\n", "--local-port", port,
                 f"http://{GUEST_IP}/bytes/{size}", "--next"] for port, size in zip(ports, SIZES)]
    words = [word for request in requests for word in request][:-1]
    done = lab.run("curl", "--parallel", "--parallel-max", "16", *words, timeout=PATIENCE_SECONDS)
    sizes = sorted(int(word) for word in done.stdout.split())
    expect(sizes == sorted(SIZES), f"curl from ports {ports} got {sizes}")


def send(lab):
    """An upload; the server's count and digest of it must be ours."""
    body = bytes(range(256)) * 1200
    (lab.folder / "body").write_bytes(body)
    answer = lab.run("curl", "-sS", "-f", "-T", "body", f"http://{GUEST_IP}/sink", timeout=PATIENCE_SECONDS).stdout
    expect(hashlib.sha256(body).hexdigest() in answer and str(len(body)) in answer, f"the upload was answered with {answer!r}")


@case(f"sluice-httpd with {CPUS} workers serves the kernel's curl on the NIC: flows on each, right checksums, nic.sh undo refused",
      needs=["setup"])
def serves_curl(machine):
    # Workers that wake 5000 times a second each would leave an emulated CPU on a loaded machine to nothing else.
    command = (f"sluice-httpd --device {PCI} --address {GUEST_IP}/24 --workers {CPUS} --set runtime.idle=sleep "
               "--set runtime.idle_spin_rounds=10 --set runtime.idle_yield_rounds=0 --set runtime.idle_max_sleep=10ms "
               "--set pools.receive_pkts=4096 --set pools.control_pkts=1024 --set pools.indirect_pkts=2048")
    with machine.running("httpd", command), Listener() as listener:
        machine.wait_output("httpd", "listening on TCP")
        expect(f"HugePages_Free:      {PAGES}" not in machine.run("cat /proc/meminfo"), "it uses no huge pages")
        wait_until(lambda: machine.lab.try_run("ping", "-c1", "-W1", "-q", GUEST_IP).returncode == 0, PATIENCE_SECONDS, "an answer to ping")
        fetch(machine.lab)
        send(machine.lab)
        port = json.loads(machine.run("sluicectl ports --json"))[0]
        accepted = [worker["counters"].get("PassiveOpens", 0) for worker in json.loads(machine.run("sluicectl stats --json"))]
        status, text = machine.try_run("nic.sh undo")
        expect(status != 0 and "sluice-httpd" in text, f"nic.sh undo under a running server gave {status}:\n{text}")
    expect(sum(accepted) == len(SIZES) + 1 and min(accepted) > 0, f"connections by worker: {accepted}")
    expect((port["steering"], port["verdict"], port["reta_entries"]) == ("RSS, our key", "verified", 128), f"steering: {port}")
    expect(port["not_predicted"] == port["handed_on"] == 0, f"flows on another queue than predicted: {port}")
    expect(listener.segments > 300, f"only {listener.segments} segments were heard")
    expect(not listener.wrong, f"{len(listener.wrong)} of {listener.segments} segments with wrong checksums: {set(listener.wrong)}")


@case("nic.sh undo gives the NIC back to the kernel's driver, and the huge pages back", needs=["setup"])
def undo(machine):
    machine.run("nic.sh undo")
    wait_until(lambda: driver(machine) == "igb", PATIENCE_SECONDS, "the kernel's igb driver")
    expect(int(machine.run("cat /proc/sys/vm/nr_hugepages")) == 0, "huge pages stayed")
    interface = machine.run(f"ls /sys/bus/pci/devices/{PCI}/net").strip()
    machine.run(f"ip link set {interface} up && ip addr add {GUEST_IP}/24 dev {interface}")
    lab = machine.lab
    wait_until(lambda: lab.try_run("ping", "-c1", "-W1", "-q", GUEST_IP).returncode == 0, PATIENCE_SECONDS, "the guest's kernel to answer ping")
