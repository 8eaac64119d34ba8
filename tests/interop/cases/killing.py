"""kill -9 of either side, and a client that just goes silent."""

import re
import signal
import socket

from lab import expect, wait_until
from registry import case


def hutu(address, port=7):
    stream = socket.create_connection((address, port), timeout=10)
    stream.sendall(b"Hutu")
    expect(stream.recv(4, socket.MSG_WAITALL) == b"Hutu", "no echo")
    return stream


@case("our server killed: sluicectl still shows its connections, and a new one gets tap, instance and clients back")
def kill_server(lab):
    server = lab.server("sluice-echo")
    mac = re.search(r"lladdr (\S+)", lab.run("ip", "neighbour", "show", server.ip).stdout)[1]
    held = [hutu(server.ip) for _ in range(10)]
    expect(len(server.conns()) == 10, "10 connections before")
    server.signal(signal.SIGKILL)
    server.wait(5)
    states = [row["state"] for row in server.conns()]
    expect(states == ["ESTABLISHED"] * 10, f"sluicectl on the dead process: {states}")
    expect(server.stats().counter("Accepted") == 10, "counters of the dead process")
    expect(server.peer_ip in server.ctl("neigh"), "neighbours of the dead process")
    wait_until(lambda: not lab.has_device(server.tap), 5, "the tap to go with its process")

    again = lab.server("sluice-echo", number=0)
    expect(again.tap == server.tap and again.instance == server.instance, "another tap or instance")
    again_mac = re.search(r"lladdr (\S+)", lab.run("ip", "neighbour", "show", again.ip).stdout)[1]
    expect(again_mac == mac, f"the MAC changed from {mac} to {again_mac}")
    with hutu(again.ip):
        pass
    # Connections of the life before: the successor knows nothing of them and answers RST.
    for stream in held:
        try:
            stream.sendall(b"still there?")
            answer = stream.recv(1)
        except ConnectionResetError:
            answer = "reset"
        expect(answer == "reset", f"a connection of the life before: {answer!r}")
        stream.close()


@case("a kernel client killed in the middle of a transfer: the server is rid of the connection", needs=["nc", "curl"])
def kill_client(lab):
    server = lab.server("sluice-httpd")
    mbufs = server.stats().now("receive_mbufs_free")
    for number in range(10):
        client = lab.start(f"curl{number}", "curl", "-sS", "--limit-rate", "100k", "-o", "/dev/null", f"http://{server.ip}/bytes/50000000")
        wait_until(lambda: any(row["send_q"] > 0 for row in server.conns()), 5, "the transfer to run")
        client.kill()
    wait_until(lambda: not server.conns(), 5, "the connections to be gone")
    wait_until(lambda: server.stats().now("receive_mbufs_free") >= mbufs - 64, 5, "the buffers to be back")
    lab.run("curl", "-sS", "--fail", "-o", "/dev/null", f"http://{server.ip}/bytes/10")


@case("a client that goes silent is found out by keepalive", needs=["nft"])
def silent_client(lab):
    server = lab.server("sluice-echo", config="[tcp]\nkeepalive = true\nkeepalive_idle = \"1s\"\nkeepalive_interval = \"1s\"\nkeepalive_count = 2\n")
    with hutu(server.ip) as stream:
        lab.run("nft", "add table ip mute; add chain ip mute in { type filter hook input priority 0; }; "
                       "add rule ip mute in tcp sport 7 drop")
        wait_until(lambda: not server.conns(), 8, "keepalive to end the connection")
        expect(server.stats().counter("KeepaliveTimeouts") == 1, "not counted")
        stream.close()
