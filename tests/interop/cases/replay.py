"""net_pcap: a capture in, the answers in a capture out, the same each time.

Run as a program this file writes the committed capture anew: cases/replay.py data/replay.pcap
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from frames import (ACK, PSH, RST, SYN, arp, ethernet, icmp_echo, ipv4, mss_option, parse_tcp,  # noqa: E402
                    read_pcap, tcp, write_pcap)
from lab import expect  # noqa: E402
from registry import case  # noqa: E402

CAPTURE = pathlib.Path(__file__).resolve().parents[1] / "data" / "replay.pcap"
OURS, THEIRS = "02:00:00:00:00:02", "02:00:00:00:00:01"
OUR_IP, THEIR_IP = "10.99.0.2", "10.99.0.1"


def segment(*fields, **named):
    return ethernet(OURS, THEIRS, 0x0800, ipv4(THEIR_IP, OUR_IP, 6, tcp(THEIR_IP, OUR_IP, *fields, **named)))


def capture():
    """The frames, each with what must come of it."""
    broken = bytearray(segment(40002, 7, 5000, 0, SYN))
    broken[-3] ^= 0x40
    return [
        ethernet("ff:ff:ff:ff:ff:ff", THEIRS, 0x0806, arp(1, THEIRS, THEIR_IP, "00:00:00:00:00:00", OUR_IP)),
        ethernet(OURS, THEIRS, 0x0800, ipv4(THEIR_IP, OUR_IP, 1, icmp_echo(77, 1, b"replayed ping"))),
        segment(40000, 7, 1000, 0, SYN, options=mss_option(1460)),
        segment(40001, 8, 2000, 0, SYN),             # No listener: RST.
        segment(40003, 7, 3000, 9999, ACK | PSH, b"stray"),  # No connection: RST at SEQ 9999.
        bytes(broken),                               # Wrong checksum: silence.
        segment(40004, 8, 1, 0, RST),                # RST for nothing: silence.
        ethernet(OURS, THEIRS, 0x0800, ipv4(THEIR_IP, OUR_IP, 17, b"\x9c\x40\x00\x09\x00\x0c\x00\x00udp!")),
    ]


def replay(lab, number, seed):
    out = lab.folder / f"out{number}.pcap"
    done = lab.run(lab.program("sluice-echo"), "--device", f"net_pcap0,rx_pcap={CAPTURE},tx_pcap={out}", "--address", f"{OUR_IP}/24",
                   "--mac", OURS, "--instance", f"{lab.namespace}.{number}", "--replay-seed", seed, "--exit-when-idle", "500ms",
                   "--drain-timeout", "0s", "--set", "interface.announce=false", timeout=30)
    return read_pcap(out), done


@case("net_pcap: a capture in, the right answers out, the same each time")
def pcap_replay(lab):
    expect(read_pcap(CAPTURE) == capture(), f"{CAPTURE} is not what {__file__} makes")
    first, _ = replay(lab, 1, 7)
    second, _ = replay(lab, 2, 7)
    expect(first == second, f"two runs differ: {len(first)} and {len(second)} frames")
    kinds = [(frame[12:14].hex(), frame[23] if frame[12:14] == b"\x08\x00" else None) for frame in first]
    expect(kinds[0] == ("0806", None) and first[0][20:22] == b"\0\2", f"no ARP reply first: {kinds}")
    expect(("0800", 1) in kinds, f"no ICMP answer: {kinds}")
    answers = {answer["destination_port"]: answer for answer in map(parse_tcp, first) if answer}
    expect(set(answers) == {40000, 40001, 40003}, f"answers went to ports {sorted(answers)}")
    expect(answers[40000]["flags"] == SYN | ACK and answers[40000]["ack"] == 1001, f"to the SYN: {answers[40000]}")
    expect(answers[40001]["flags"] == RST | ACK and answers[40001]["ack"] == 2001, f"to the closed port: {answers[40001]}")
    expect(answers[40003]["flags"] == RST and answers[40003]["seq"] == 9999, f"to the stray segment: {answers[40003]}")
    expect(sum(frame[12:14] == b"\x08\x00" and frame[23] == 1 for frame in first) == 2, "echo reply and port unreachable")
    other, _ = replay(lab, 3, 8)
    isn = {parse_tcp(frame)["seq"] for run in (first, other) for frame in run if parse_tcp(frame) and parse_tcp(frame)["flags"] == SYN | ACK}
    expect(len(isn) > 1, "another seed gives the same ISN")


if __name__ == "__main__":
    write_pcap(sys.argv[1], capture())
