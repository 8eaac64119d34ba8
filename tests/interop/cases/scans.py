"""nmap, as whoever looks at the server from outside runs it: what it finds, and what it can guess."""

import re

from lab import expect
from registry import case


def nmap(lab, server, *arguments):
    return lab.run("nmap", "-n", "-Pn", "-T4", *arguments, server.ip, timeout=40).stdout


def port_states(report):
    return {int(port): state for port, state in re.findall(r"^(\d+)/tcp +(\S+)", report, re.M)}


def expect_hard_to_guess(lab, *settings):
    """One open and one closed port, for nmap wants both."""
    server = lab.server("sluice-echo", *settings)
    report = nmap(lab, server, "-O", "-v", "--max-os-tries", 1, "-p", "7,8")
    server.stop()
    sequence = re.search(r"TCP Sequence Prediction: Difficulty=(\d+) \((.*)\)", report)
    # Eight for each bit of the standard deviation of ISNs, by the second: 259 for 32 random bits. Of the six that nmap
    # looks at it comes out below 230 once in ten thousand runs; a clock without a hash would be at some ten.
    expect(sequence and sequence[2] == "Good luck!" and int(sequence[1]) >= 230, f"sequence prediction with {settings}: {report}")
    identification = re.search(r"IP ID Sequence Generation: (.*)", report)
    expect(identification and identification[1] in ("All zeros", "Randomized"), f"IP ID with {settings}: {report}")


@case("nmap -O: sequence numbers are of its hardest class, with cookies and without, and no IP ID counts", needs=("nmap",))
def nmap_os(lab):
    expect_hard_to_guess(lab, "--set", "gate.syn_cookies=off")
    expect_hard_to_guess(lab, "--set", "gate.syn_cookies=always")


@case("nmap's scans: of 1000 ports the open ones and no other, and nothing that RFC 9293 does not say", needs=("nmap",))
def nmap_scans(lab):
    server = lab.server("sluice-echo", config="[runtime]\nlisten = [7, 443]\n")
    found = nmap(lab, server, "-sS")
    expect(port_states(found) == {7: "open", 443: "open"} and re.search(r"Not shown: 998 closed .*\(reset\)", found), f"-sS: {found}")
    expect(port_states(nmap(lab, server, "-sT", "-p", "7,8,443")) == {7: "open", 8: "closed", 443: "open"}, "-sT")
    # 3.10.7.2: LISTEN is silent unless there is a SYN, an ACK or an RST; 3.10.7.1: CLOSED answers RST to all but RST.
    for scan, what in (("-sN", "no flag"), ("-sF", "FIN"), ("-sX", "FIN, PSH, URG")):
        states = port_states(nmap(lab, server, scan, "--max-retries", 1, "-p", "7,8"))
        expect(states == {7: "open|filtered", 8: "closed"}, f"{what}: {states}")
    # An ACK gets RST from both, and its window does not tell which is open.
    for scan, state in (("-sM", "closed"), ("-sA", "unfiltered"), ("-sW", "closed")):
        states = port_states(nmap(lab, server, scan, "-p", "7,8"))
        expect(states == {7: state, 8: state}, f"{scan}: {states}")
    expect(server.stats().now("half_open") == 0 and not server.conns(), f"the scans left {server.conns()}")
