"""Flows for a NIC's hash: frames of them, and where the hash must send each, by the definition of Toeplitz."""

import dataclasses
import socket
import struct

import frames

SOURCE_MAC = "02:00:00:00:00:01"


def toeplitz(key, data):
    """The 32 bit Toeplitz hash: for each set bit of `data` the 32 bits of `key` that start at its place."""
    bits, length = int.from_bytes(key, "big"), len(key) * 8
    value = 0
    for place in range(len(data) * 8):
        if data[place // 8] >> (7 - place % 8) & 1:
            value ^= bits >> (length - 32 - place) & 0xFFFFFFFF
    return value


# From "Verifying the RSS Hash Calculation" of the NDIS documentation: its key, and one flow of each family.
VERIFYING_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
VERIFYING = ((socket.AF_INET, "66.9.149.187", "161.142.100.80", 2794, 1766, 0x51CCC178),
             (socket.AF_INET6, "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x40207D3D))


@dataclasses.dataclass(frozen=True)
class Flow:
    family: int
    source: str
    destination: str
    source_port: int
    destination_port: int = 80

    @property
    def version(self):
        return 4 if self.family == socket.AF_INET else 6

    def hash(self, key):
        return toeplitz(key, socket.inet_pton(self.family, self.source) + socket.inet_pton(self.family, self.destination) +
                        struct.pack("!HH", self.source_port, self.destination_port))

    def frame(self, guest_mac, payload=b"", wrong=""):
        """A SYN of the flow; `wrong` is "ip" or "tcp" for a wrong checksum there."""
        segment = bytearray(self._segment(payload))
        if wrong == "tcp":
            segment[17] ^= 0x55
        if self.version == 6:
            packet = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + self._addresses() + segment
        else:
            packet = bytearray(frames.ipv4(self.source, self.destination, 6, bytes(segment)))
            if wrong == "ip":
                packet[11] ^= 0x55
        return frames.ethernet(guest_mac, SOURCE_MAC, 0x0800 if self.version == 4 else 0x86DD, bytes(packet))

    def _addresses(self):
        return socket.inet_pton(self.family, self.source) + socket.inet_pton(self.family, self.destination)

    def _segment(self, payload):
        head = struct.pack("!HHIIBBHHH", self.source_port, self.destination_port, 1000, 0, 5 << 4, frames.SYN, 65535, 0, 0)
        pseudo = self._addresses() + (struct.pack("!BBH", 0, 6, len(head) + len(payload)) if self.version == 4 else
                                      struct.pack("!IHBB", len(head) + len(payload), 0, 0, 6))
        return head[:16] + struct.pack("!H", frames.checksum(pseudo + head + payload)) + head[18:] + payload


def check_toeplitz():
    """Without this a wrong hash here and a wrong one there could agree."""
    for family, source, destination, source_port, destination_port, wanted in VERIFYING:
        got = Flow(family, source, destination, source_port, destination_port).hash(VERIFYING_KEY)
        assert got == wanted, f"toeplitz of {source} is {got:08x}, not {wanted:08x}"


def wrong_checksums(frame):
    """What is wrong with the checksums of an IPv4 TCP frame, "" if nothing."""
    head_octets = (frame[14] & 15) * 4
    head = frame[14:14 + head_octets]
    segment = frame[14 + head_octets:14 + struct.unpack("!H", head[2:4])[0]]
    wrong = []
    if frames.checksum(head) != 0:
        wrong.append("IPv4 header")
    if frames.checksum(head[12:20] + struct.pack("!BBH", 0, 6, len(segment)) + segment) != 0:
        wrong.append("TCP")
    return " and ".join(wrong)
