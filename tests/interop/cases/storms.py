"""hping3's flag storms: every flag combination in every state, and no honest connection is the worse for it.

What hping3 sends has the 4-tuple of an honest connection, a random SEQ and a random ACK. By chance it does harm too seldom
to be seen here: an RST must hit RCV.NXT (1 in 2^32 each); a FIN must fall into 256 KiB of window with an ACK in the window
that the peer has offered (1 in 2^14 times 1 in 2^16); hping3 sends no octets. Only a SYN in the 64 KiB of a half-open entry
(1 in 2^16) sends that back to LISTEN, as RFC 9293 3.10.7.4 wants it, and the client's next SYN mends that.

Half of the connections have timestamps, where all that lacks them is dropped at once, half (and all half-open ones) have none.
"""

import dataclasses
import re
import socket
import time

from cases.abuse import expect_outcomes_add_up, our_mac
from cases.closing import pattern, read_all, sha256
from frames import ACK, FIN, PSH, RST, SYN, URG, Wire, ethernet, ipv4, parse_tcp, tcp
from lab import expect, wait_until
from registry import case

ECE, CWR = 0x40, 0x80
HPING_FLAGS = {FIN: "-F", SYN: "-S", RST: "-R", PSH: "-P", ACK: "-A", URG: "-U", ECE: "-X", CWR: "-Y"}
# A SYN without ACK may begin something new: the next connection instead of a TIME-WAIT, the other half of a simultaneous open.
# These come last, so that all others meet the state that was meant for them.
BEGINNINGS = [flags for flags in range(256) if flags & SYN and not flags & (ACK | RST)]
OTHERS = [flags for flags in range(256) if flags not in BEGINNINGS]

EACH = 8  # Connections held in each state.
AT_ONCE = 64  # Processes of hping3: each sends for a fifth of a second at most, then listens for a second.
INTERVAL_US = 5000  # Between two frames of one process.
ECHO_STATES = ("LISTEN", "SYN-RECV", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK")
CLOSER_STATES = ("FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "TIME-WAIT")
UNREAD = ("CLOSE-WAIT", "LAST-ACK", "FIN-WAIT-1", "CLOSING")  # Where the client does not read what the server has to send.
EVERY_STEP = ("OutsideWindow", "OldDuplicate", "NoTimestamp", "AckBeyondSent", "AckTooOld", "AckMissing", "RstOutside",
              "RstChallenged", "SynChallenged")
# The clients' ports of one server follow each other, as hping3's do.
FIRST_PORT = {**{state: 20000 + EACH * number for number, state in enumerate(ECHO_STATES)},
              **{state: 21000 + EACH * number for number, state in enumerate(CLOSER_STATES)}}
SENT_FIRST = 100_000  # Octets that the closing server sends before its FIN.
SMALL = 4096  # A client's receive buffer that these do not fit into.


@dataclasses.dataclass
class Held:
    """An honest connection of the kernel's that `server` has in `state`."""

    server: object
    state: str
    port: int
    stream: socket.socket
    sent: bytes = b""
    syn: bytes = b""

    def send(self, data):
        self.stream.sendall(data)
        self.sent += data

    def exchange(self, text=b"Hutu"):
        self.send(text)
        got = b""
        while len(got) < len(text) and (part := self.stream.recv(65536)):
            got += part
        expect(got == text, f"{self.state}: the echo is another than was sent")


# --- the states, and how the kernel's end holds a server there ---

def open_from(server, port, listen_port, receive_buffer=None):
    stream = socket.socket()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    stream.bind((server.peer_ip, port))
    stream.settimeout(10)
    stream.connect((server.ip, listen_port))
    return stream


def hold_syn_received(server, port):
    """Its SYN-ACK does not reach the kernel: see hold_back()."""
    held = Held(server, "SYN-RECV", port, socket.socket())
    held.stream.bind((server.peer_ip, port))
    held.stream.setblocking(False)
    with Wire(server.tap) as wire:
        held.stream.connect_ex((server.ip, 7))
        while not (held.syn and parse_tcp(held.syn) and parse_tcp(held.syn)["source_port"] == port):
            held.syn = wire.socket.recv(2000)
    return held


def hold_established(server, port):
    held = Held(server, "ESTABLISHED", port, open_from(server, port, 7))
    held.exchange()
    return held


def hold_unread(server, state, port, count):
    """The echo is not read: the server's FIN stands behind it, or it has not yet read all of ours."""
    held = Held(server, state, port, open_from(server, port, 7, SMALL))
    held.send(pattern(count))
    held.stream.shutdown(socket.SHUT_WR)
    return held


def hold_fin_wait_1(server, port):
    """What the server sends is not read: its FIN stands behind that."""
    return Held(server, "FIN-WAIT-1", port, open_from(server, port, 7000, SMALL))


def hold_closing(server, port):
    held = Held(server, "CLOSING", port, open_from(server, port, 7000, SMALL))
    wait_until(lambda: states_of(server).get(port) == "FIN-WAIT-1", 5, "the server to close first")
    held.stream.shutdown(socket.SHUT_WR)
    return held


def hold_fin_wait_2(server, port):
    held = Held(server, "FIN-WAIT-2", port, open_from(server, port, 7000))
    expect(read_all(held.stream) == pattern(SENT_FIRST), "other octets came than the server sent")
    return held


def hold_time_wait(server, port):
    held = dataclasses.replace(hold_fin_wait_2(server, port), state="TIME-WAIT")
    held.stream.close()
    return held


def hold_all(lab, echo, closer):
    makers = {"SYN-RECV": lambda port: hold_syn_received(echo, port),
              "ESTABLISHED": lambda port: hold_established(echo, port),
              "CLOSE-WAIT": lambda port: hold_unread(echo, "CLOSE-WAIT", port, 400_000),
              "LAST-ACK": lambda port: hold_unread(echo, "LAST-ACK", port, 100_000),
              "FIN-WAIT-1": lambda port: hold_fin_wait_1(closer, port),
              "FIN-WAIT-2": lambda port: hold_fin_wait_2(closer, port),
              "CLOSING": lambda port: hold_closing(closer, port),
              "TIME-WAIT": lambda port: hold_time_wait(closer, port)}
    held = {state: [] for state in makers}
    for number in range(EACH):
        lab.sysctl("ipv4/tcp_timestamps", number % 2)
        for state, make in makers.items():
            if state != "SYN-RECV":
                held[state].append(make(FIRST_PORT[state] + number))
    # A SYN that is sent again has the options of that time, and the server goes by them.
    lab.sysctl("ipv4/tcp_timestamps", 0)
    held["SYN-RECV"] = [makers["SYN-RECV"](FIRST_PORT["SYN-RECV"] + number) for number in range(EACH)]
    wait_until(lambda: not wrong_states(held), 5, "every connection to be in its state")
    return held


def hold_back(lab, rule):
    """Keeps from the kernel what a server answers or opens; let_go() ends it."""
    lab.run("nft", "add table ip hold; add chain ip hold in { type filter hook input priority 0; }; add rule ip hold in "
                   f"{rule} drop")


def let_go(lab):
    lab.run("nft", "delete table ip hold")


def states_of(server):
    return {row["foreign"]["port"]: row["state"] for row in server.conns()}


def wrong_states(held, spared=()):
    states = {server: states_of(server) for server in {entries[0].server for entries in held.values()}}
    return [f"{state}: port {entry.port} is {states[entry.server].get(entry.port)}"
            for state, entries in held.items() if state not in spared
            for entry in entries if states[entry.server].get(entry.port) != state]


# --- the storm ---

def storm(lab, combinations, sweeps, meanwhile=lambda: None):
    """Each combination once to each 4-tuple of each sweep; `meanwhile` is called all the time."""
    lines = [" ".join([*words, *(word for bit, word in HPING_FLAGS.items() if flags & bit), server.ip])
             for server, *words in sweeps for flags in combinations]
    path = lab.folder / "storm"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    # On lo it hears nothing: the answers are for the kernel's ends, and as many listeners would cost more than the storm.
    process = lab.start("hping3", "xargs", "-a", path, "-P", AT_ONCE, "-L", 1, "hping3", "-q", "-n", "-I", "lo", "-i", f"u{INTERVAL_US}")
    while process.is_running():
        meanwhile()
        time.sleep(0.02)
    said = len(re.findall(r"^\d+ packets", process.err(), re.M))
    expect(said == len(lines), f"{len(lines)} processes of hping3 were started, {said} said what they sent")


def sweep(server, source_port, port, count, *more):
    """hping3's words: from source ports that follow each other, SEQ and ACK random."""
    return (server, "-a", server.peer_ip, "-s", str(source_port), "-p", str(port), "-c", str(count), *more)


def where_it_stands(wire, mac, held):
    """The server's RCV.NXT and SND.NXT: a SYN-ACK out of the blue is challenged with them, five times a second at most."""
    def asked():
        wire.send(segment(wire, mac, held, 0, 0, SYN | ACK))
        for frame in wire.receive(0.3):
            answer = parse_tcp(frame)
            if answer and answer["destination_port"] == held.port and answer["flags"] & (ACK | RST | SYN) == ACK:
                return answer["ack"], answer["seq"]
        return None

    return wait_until(asked, 10, f"a challenge ACK in {held.state}")


def segment(wire, mac, held, seq, ack, flags):
    port = 7 if held.state in ECHO_STATES else 7000
    return ethernet(mac, wire.mac(), 0x0800, ipv4(held.server.peer_ip, held.server.ip, 6, tcp(
        held.server.peer_ip, held.server.ip, held.port, port, seq, ack, flags)))


def edges(held, rcv_nxt, snd_nxt):
    """Each combination at each edge of the window, with an ACK just beyond what was sent and one that is too old."""
    rows = [row["connection"] for row in held.server.conns() if row["foreign"]["port"] == held.port and "connection" in row]
    window = rows[0]["rcv_wnd_bytes"] if rows else 65535
    # Before a shut window a probe's octet may be out: SND.NXT is one more than an ACK's SEQ says.
    beyond = snd_nxt + (2 if held.state in UNREAD else 1)
    for flags in range(256):
        for offset in (-1, 0, 1, window - 1, window):
            length = bool(flags & SYN) + bool(flags & FIN)
            is_inside = 0 <= offset < window or 0 <= offset + length - 1 < window
            if flags & RST and offset == 0:
                continue  # The one that is to be believed.
            if held.state == "SYN-RECV" and flags & SYN and not flags & RST and is_inside:
                continue  # See the top.
            if held.state == "TIME-WAIT" and flags in BEGINNINGS and not flags & FIN and offset > 0:
                continue  # The next connection.
            for ack in (beyond, snd_nxt - (1 << 20)):  # No window here is so large.
                yield rcv_nxt + offset, ack, flags


def storm_edges(lab, held):
    """hping3 cannot know sequence numbers; we can. One connection of each state, without timestamps."""
    for entries in held.values():
        entry = entries[0]
        mac = our_mac(lab, entry.server)
        with Wire(entry.server.tap) as wire:
            for number, fields in enumerate(edges(entry, *where_it_stands(wire, mac, entry))):
                wire.send(segment(wire, mac, entry, *fields))
                if number % 20 == 0:
                    time.sleep(0.002)


def expect_quiet(*servers):
    """Two ends that answer each other's answers would go on by thousands."""
    def heard():
        return sum(server.stats().counter("RxPackets") for server in servers)

    before = heard()
    time.sleep(1)
    expect(heard() - before < 100, f"{heard() - before} frames in the second after the storm")


# --- afterwards ---

def finish_echo(lab, echo, held):
    """Every client of the echo server ends as if there had been no storm."""
    let_go(lab)
    with Wire(echo.tap) as wire:
        for entry in held["SYN-RECV"]:
            wire.send(entry.syn)  # The kernel's own next one may be half a minute away.
    for entry in held["SYN-RECV"]:
        entry.stream.settimeout(10)
        wait_until(lambda stream=entry.stream: is_connected(stream), 10, "a half-open connection to be completed")
    held["LISTEN"] = [Held(echo, "LISTEN", FIRST_PORT["LISTEN"] + number, open_from(echo, FIRST_PORT["LISTEN"] + number, 7))
                      for number in range(EACH)]
    for entry in (*held["LISTEN"], *held["SYN-RECV"], *held["ESTABLISHED"]):
        entry.exchange(pattern(50_000))
        entry.stream.shutdown(socket.SHUT_WR)
        expect(read_all(entry.stream) == b"", f"{entry.state}: more than the echo")
    for entry in (*held["CLOSE-WAIT"], *held["LAST-ACK"]):
        expect(read_all(entry.stream) == entry.sent, f"{entry.state}: the echo is another than was sent")


def is_connected(stream):
    try:
        return bool(stream.getpeername())
    except OSError:
        return False


def finish_closer(closer, held):
    """... and every client of the server that closes first, which reports what it got."""
    for entry in (*held["FIN-WAIT-1"], *held["CLOSING"]):
        expect(read_all(entry.stream) == pattern(SENT_FIRST), f"{entry.state}: other octets came than the server sent")
    for entry in (*held["FIN-WAIT-1"], *held["FIN-WAIT-2"]):
        entry.send(pattern(50_000))
    entries = [*held["FIN-WAIT-1"], *held["FIN-WAIT-2"], *held["CLOSING"]]
    for entry in entries:
        entry.stream.close()
    for number in range(EACH):
        port = FIRST_PORT["TIME-WAIT"] + number
        with open_from(closer, port, 7000) as stream:
            expect(read_all(stream) == pattern(SENT_FIRST), "after TIME-WAIT: other octets came than the server sent")
    reports = wait_until(lambda: len(closer.reports()) == len(entries) + 2 * EACH and closer.reports(), 10, "the server's reports")
    expect({report["result"] for report in reports} == {"closed by both sides"}, f"the server says {reports}")
    wanted = [sha256(entry.sent) for entry in (*entries, *held["TIME-WAIT"])] + [sha256(b"")] * EACH
    expect(sorted(report["sha256"] for report in reports) == sorted(wanted), "the server got other octets than were sent")


def go_on(held):
    """Who may send sends, and who is echoed hears it, storm or not."""
    for entry in held["ESTABLISHED"]:
        entry.exchange()
    for entry in (*held["FIN-WAIT-1"], *held["FIN-WAIT-2"]):
        entry.send(b"Hutu")


def expect_counted(server, before, frames, outcomes):
    """The storm came through, and every step of the checks had its part of it."""
    stats = server.stats()
    heard = stats.counter("RxPackets") - before.counter("RxPackets")
    # A tap drops what its reader, on a busy machine, does not fetch in time.
    expect(heard >= 0.9 * frames, f"{frames} frames were sent, {heard} were heard")
    few = {name: stats.outcome(name) for name in outcomes if stats.outcome(name) < 100}
    expect(not few, f"of {heard} frames too few had the outcomes {few}")
    expect(stats.outcome("RstAccepted") == 0, f"{stats.outcome('RstAccepted')} connections were reset")
    expect_outcomes_add_up(server)


@case("hping3's flag storms in every state but SYN-SENT and CLOSED: each honest connection goes on and ends in order",
      seconds=120, needs=("hping3", "nft"))
def flag_storms(lab):
    echo = lab.server("sluice-echo")
    closer = lab.server("sluice-test-client", "--script", f"send:{SENT_FIRST},shutdown,read:eof,close", "--time-wait", "5m")
    first = FIRST_PORT["SYN-RECV"]
    hold_back(lab, f"ip saddr {echo.ip} tcp dport {first}-{first + EACH - 1}")
    held = hold_all(lab, echo, closer)
    before = [server.stats() for server in (echo, closer)]
    sweeps = (sweep(echo, FIRST_PORT["LISTEN"], 7, len(ECHO_STATES) * EACH),
              sweep(closer, FIRST_PORT["FIN-WAIT-1"], 7000, len(CLOSER_STATES) * EACH))
    storm(lab, OTHERS, sweeps, lambda: go_on(held))
    expect(not wrong_states(held), f"after the storm: {wrong_states(held)}")
    storm_edges(lab, held)
    expect(not wrong_states(held), f"after the storm at the edges: {wrong_states(held)}")
    storm(lab, BEGINNINGS, sweeps, lambda: go_on(held))
    wrong = wrong_states(held, spared=("TIME-WAIT",))
    # See the top: a SYN may hit one half-open entry.
    expect(not wrong or len(wrong) == 1 and wrong[0].startswith("SYN-RECV"), f"after the storm of SYNs: {wrong}")
    expect_quiet(echo, closer)
    expect_counted(echo, before[0], 256 * len(ECHO_STATES) * EACH, (*EVERY_STEP, "HandshakeUnacceptable", "ListenNoSyn", "StrayAnswered"))
    expect_counted(closer, before[1], 256 * len(CLOSER_STATES) * EACH, (*EVERY_STEP, "TimeWaitAcked", "TimeWaitIgnored"))
    finish_echo(lab, echo, held)
    finish_closer(closer, held)


@case("hping3's flag storms at connections that we open, and at closed ports: all of them open, whoever sent SYNs in between",
      needs=("hping3", "nft"))
def flag_storms_opening(lab):
    first = 50000
    with socket.create_server(("0.0.0.0", 9000)) as listener:
        client = lab.begin("sluice-test-client", (
            "--connect", "10.99.0.1:9000", "--count", str(EACH), "--script", "send:1000,shutdown,read:eof,close", "--time-wait", "1s",
            "--set", f"tcp.ephemeral_first={first}", "--set", f"tcp.ephemeral_last={first + EACH - 1}",
            "--set", "tcp.syn_retries=10", "--set", "tcp.rto_max=3s"), "", None)
        hold_back(lab, f"ip saddr {client.ip} tcp dport 9000")
        client.wait_tap()

        def states():
            return sorted(row["state"] for row in client.conns())

        wait_until(lambda: states() == ["SYN-SENT"] * EACH, 10, "connections to be opened")
        before = client.stats()
        # As many ports beside them, which are closed.
        sweeps = [sweep(client, 9000, f"++{first}", 2 * EACH, "-k")]
        storm(lab, OTHERS, sweeps)
        expect(states() == ["SYN-SENT"] * EACH, f"after the storm: {states()}")
        storm(lab, BEGINNINGS, sweeps)
        expect(states() == ["SYN-RECEIVED"] * EACH, f"after the storm of SYNs: {states()}")
        expect_quiet(client)
        expect_counted(client, before, 256 * 2 * EACH, ("SynSentBadAck", "SynSentIgnored", "StrayAnswered", "StrayRst"))
        let_go(lab)
        listener.settimeout(15)
        for _ in range(EACH):
            stream, _ = listener.accept()
            with stream:
                stream.settimeout(10)
                expect(read_all(stream) == pattern(1000), "other octets came than were sent")
    expect(client.wait(10) == 0, "our client's exit status")
    results = [report["result"] for report in client.reports()]
    expect(results == ["closed by both sides"] * EACH, f"our client was told {results}")
