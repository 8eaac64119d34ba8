"""Several workers over a tap, whose queues no hardware spreads flows over: whose a frame is, software says."""

import asyncio
import hashlib
import json
import signal

from cases.abuse import expect_outcomes_add_up, our_mac
from frames import SYN, Wire, ethernet, ipv4, tcp
from lab import expect, wait_until
from path import kernel_counters
from registry import case

CLIENTS = 200
OCTETS = 20_000


def ports(server):
    return json.loads(server.ctl("ports", "--json"))


def expect_shared(server, name, least):
    """Both workers have done at least `least` of counter or outcome `name`."""
    for worker in server.stats().workers:
        done = worker["counters"].get(name, 0) + worker["outcomes"].get(name, {"packets": 0})["packets"]
        expect(done >= least, f"worker {worker['worker']} has {done} of {name}, wanted {least} at least")


def expect_nothing_astray(lab, server):
    """No segment came to a worker that did not know it, none was lost between two workers, every frame ended once."""
    stats = server.stats()
    for name in ("StraySilenced", "MisdeliveredFull", "RstAccepted", "ArpReplyUnsolicited"):
        expect(stats.outcome(name) == 0, f"{stats.outcome(name)} times {name}")
    # A client late with its last ACK gets our FIN again, and acknowledges it once more than there is a connection for; one
    # that waited too long for ours sends its FIN again.
    strays, again = stats.outcome("StrayAnswered"), stats.counter("RetransmittedSegments") + kernel_counters(lab)["RetransSegs"]
    expect(strays <= again, f"{strays} strays, though only {again} segments were sent again")
    expect_outcomes_add_up(server)


async def echo_once(ip, number):
    text = hashlib.shake_256(str(number).encode()).digest(OCTETS)
    reader, writer = await asyncio.open_connection(ip, 7)
    writer.write(text)
    writer.write_eof()
    got = await reader.read(-1)
    writer.close()
    expect(got == text, f"client {number} got {len(got)} octets, or others than it sent")


async def echo_all(ip, count):
    await asyncio.gather(*(echo_once(ip, number) for number in range(count)))


@case("two workers on one tap: 200 clients at once are echoed, each by the worker that owns it, no segment astray")
def two_workers(lab):
    server = lab.server("sluice-echo", "--workers", "2")
    asyncio.run(echo_all(server.ip, CLIENTS))
    wait_until(lambda: server.stats().now("connections") == 0, 10, "every connection to end")
    stats = server.stats()
    expect(stats.outcome("HandshakeCompleted") == CLIENTS, f"{stats.outcome('HandshakeCompleted')} handshakes, wanted {CLIENTS}")
    expect_shared(server, "HandshakeCompleted", CLIENTS // 4)
    expect_nothing_astray(lab, server)
    port = ports(server)[0]
    expect(port["rx_queues"] == 2 and port["steering"] == "software", f"the port is {port}")
    expect(all(worker["received"] > 0 for worker in port["workers"]), f"a queue of the tap stayed silent: {port}")
    expect(port["handed_on"] == stats.counter("FramesHandedOn") > 0, f"no frame was handed on: {port}")
    expect("software steering" in server.err(), f"the log says nothing of steering: {server.err()}")
    expect(server.stop() == 0, "the drain reset connections")


@case("segments in fragments, last one first: two workers put them together, and each flow's owner has its segment")
def fragments(lab):
    server = lab.server("sluice-echo", "--workers", "2")
    flows, pieces = 40, 3
    source = "10.99.0.50"
    with Wire(server.tap) as wire:
        mac, source_mac = our_mac(lab, server), wire.mac()
        for flow in range(flows):
            segment = tcp(source, server.ip, 20_000 + flow, 7, 1, 0, SYN, payload=bytes(20))
            for piece in reversed(range(pieces)):
                more = 0x2000 if piece + 1 < pieces else 0
                octets = segment[16 * piece:16 * (piece + 1)] if more else segment[16 * piece:]
                wire.send(ethernet(mac, source_mac, 0x0800, ipv4(source, server.ip, 6, octets, 1 + flow, more | 2 * piece)))
    wait_until(lambda: server.stats().outcome("SynQueued") == flows, 5, "every SYN to be taken")
    stats = server.stats()
    expect(stats.counter("DatagramsReassembled") == flows, f"{stats.counter('DatagramsReassembled')} datagrams")
    expect_shared(server, "DatagramsReassembled", flows // 8)
    expect_shared(server, "SynQueued", flows // 8)
    expect(stats.outcome("IpFragment") == 0, "a fragment was refused")
    pinged = lab.run("ping", "-c", "3", "-i", "0.2", "-s", "3000", server.ip).stdout
    expect(" 3 received" in pinged, f"pings of 3000 octets are not answered: {pinged}")
    expect_outcomes_add_up(server)
    expect(server.stop() in (0, 3), "did not end in good order")


@case("one queue for three workers: two receive what the first hands to them, and transmit by its queue", needs=["ethtool"])
def fewer_queues_than_workers(lab):
    peer = lab.add_namespace("peer")
    lab.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", peer)
    lab.run("ip", "link", "set", "veth0", "up")
    for command in ("ip link set veth1 up", "ip address add 10.98.0.1/24 dev veth1", "ethtool -K veth1 tx off tso off gso off"):
        lab.run_in(peer, *command.split())
    instance = f"{lab.namespace}.veth"
    config = lab.folder / "veth.toml"
    config.write_text("[pools]\nreceive_pkts = 8192\n" + cpus(3), encoding="utf-8")
    server = lab.start("sluice-httpd", lab.program("sluice-httpd"), "--config", config, "--instance", instance,
                       "--device", "net_af_packet0,iface=veth0,qpairs=1", "--address", "10.98.0.2/24", "--listen", "80")

    def answers():
        expect(server.is_running(), f"it ended: {server.err()}")
        return lab.try_run("ip", "netns", "exec", peer, "ping", "-c1", "-W1", "-q", "10.98.0.2").returncode == 0

    wait_until(answers, 15, "the server to answer ping")
    for number in range(24):
        done = lab.run_in(peer, "curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", f"http://10.98.0.2/bytes/{50_000 + number}")
        expect(int(done.stdout) == 50_000 + number, f"download {number} has {done.stdout} octets")
    workers = json.loads(lab.ctl(instance, "stats", "--json"))
    for worker in workers:
        expect(worker["outcomes"].get("HandshakeCompleted", {"packets": 0})["packets"] > 0, f"no connection at worker {worker['worker']}")
        expect((worker["counters"].get("TxHandedOn", 0) > 0) == (worker["worker"] > 0), f"worker {worker['worker']}: {worker['counters']}")
    port = json.loads(lab.ctl(instance, "ports", "--json"))[0]
    expect((port["rx_queues"], port["tx_queues"], port["lost"]) == (1, 1, 0), f"the port is {port}")
    server.signal(signal.SIGTERM)
    expect(server.wait(15) == 0, "the drain reset connections")


async def echo_for(client):
    """A kernel's echo server on port 9000, until `client` has ended."""
    async def talk(reader, writer):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "0.0.0.0", 9000, backlog=1024):
        for _ in range(600):
            if not client.is_running():
                return
            await asyncio.sleep(0.1)


@case("three workers open 300 connections to a kernel's server: every answer comes home", seconds=90)
def active_opens(lab):
    client = lab.client("--connect", "10.99.0.1:9000", "--count", "100",
                        "--script", "send:4000,read:4000,shutdown,read:eof,close", config="[pools]\nreceive_pkts = 8192\n" + cpus(3))
    asyncio.run(echo_for(client))
    expect(client.wait(5) == 0, "a connection was reset")
    ends = client.reports()
    expect(len(ends) == 300, f"{len(ends)} ends reported")
    wrong = [end for end in ends if end["result"] != "closed by both sides" or end["received"] != 4000]
    expect(not wrong, f"{len(wrong)} ended otherwise: {wrong[:3]}")


@case("four workers: 100 curls at once get what was meant", needs=["curl"])
def four_workers_curl(lab):
    server = lab.server("sluice-httpd", config="[pools]\nreceive_pkts = 8192\n" + cpus(4))
    downloads = [word for number in range(100) for word in ("-o", "/dev/null", f"http://{server.ip}/bytes/{1000 + 371 * number}")]
    done = lab.run("curl", "-sS", "--fail", "--parallel", "--parallel-max", "50", "-w", "%{size_download}\\n", *downloads)
    sizes = sorted(int(line) for line in done.stdout.split())
    expect(sizes == sorted(1000 + 371 * number for number in range(100)), f"sizes differ: {sizes[:5]} ...")
    expect_shared(server, "HandshakeCompleted", 1)
    expect_nothing_astray(lab, server)


def cpus(count):
    """More workers than this machine has CPUs: they share these."""
    return f"[runtime]\nworkers = {count}\ncpus = {[number % 2 for number in range(count)]}\n"
