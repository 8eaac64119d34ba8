"""Frames made by hand, a packet socket that sends and hears them, and capture files."""

import errno
import fcntl
import ipaddress
import socket
import struct
import time

SYN, FIN, RST, PSH, ACK, URG = 0x02, 0x01, 0x04, 0x08, 0x10, 0x20
_PACKET_OUTGOING = 4
_SIOCGIFHWADDR = 0x8927


def mac_bytes(text):
    return bytes(int(part, 16) for part in text.split(":"))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, ether_type, payload):
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", ether_type) + payload


def arp(operation, sender_mac, sender_ip, target_mac, target_ip):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac_bytes(sender_mac),
                       socket.inet_aton(sender_ip), mac_bytes(target_mac), socket.inet_aton(target_ip))


def ipv4(source, destination, protocol, payload, identification=0, flags_offset=0x4000, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, flags_offset, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def icmp_echo(identifier, sequence, payload):
    body = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence) + payload
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def tcp(source, destination, source_port, destination_port, seq, ack, flags, payload=b"", window=64240, options=b""):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", source_port, destination_port, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                       (5 + len(options) // 4) << 4, flags, window, 0, 0) + options
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(head) + len(payload))
    value = checksum(pseudo + head + payload)
    return head[:16] + struct.pack("!H", value) + head[18:] + payload


def mss_option(value):
    return struct.pack("!BBH", 2, 4, value)


def parse_tcp(frame):
    """The fields of a TCP segment in an Ethernet frame, or None."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return None
    start = 14 + (frame[14] & 15) * 4
    end = 14 + struct.unpack("!H", frame[16:18])[0]
    source_port, destination_port, seq, ack, offset, flags, window = struct.unpack("!HHIIBBH", frame[start:start + 16])
    return {"source": str(ipaddress.ip_address(frame[26:30])), "destination": str(ipaddress.ip_address(frame[30:34])),
            "source_port": source_port, "destination_port": destination_port, "seq": seq, "ack": ack, "flags": flags,
            "window": window, "payload": frame[start + (offset >> 4) * 4:end]}


class Wire:
    """A packet socket on a device of the current namespace."""

    def __init__(self, device):
        self.device = device
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind((device, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def mac(self):
        # Not /sys: that shows the namespace in which it was mounted.
        asked = fcntl.ioctl(self.socket.fileno(), _SIOCGIFHWADDR, struct.pack("256s", self.device.encode()))
        return asked[18:24].hex(":")

    def send(self, frame):
        """Sends, and waits while the device's queue is full."""
        while True:
            try:
                self.socket.send(frame)
                return
            except BlockingIOError:
                time.sleep(0.001)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                time.sleep(0.001)

    def receive(self, seconds):
        """Frames that come to the kernel's side within `seconds`, as a generator."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame, address = self.socket.recvfrom(65535)
            except TimeoutError:
                return
            if address[2] != _PACKET_OUTGOING:
                yield frame


def write_pcap(path, frames):
    """A classic capture file; every frame a millisecond after the one before."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1_000_000_000, number * 1000, len(frame), len(frame)) + frame)


def read_pcap(path):
    with open(path, "rb") as file:
        data = file.read()
    magic = struct.unpack("<I", data[:4])[0]
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise ValueError(f"{path} is no little-endian capture file")
    at, frames = 24, []
    while at + 16 <= len(data):
        length = struct.unpack("<I", data[at + 8:at + 12])[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames
