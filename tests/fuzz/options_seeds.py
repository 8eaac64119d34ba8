#!/usr/bin/env python3
"""Writes the hand-made inputs of fuzz_options: options_seeds.py FOLDER. The same octets each time.

How an input is read stands in fuzz_options.cpp. Run it again when the meaning of an octet changes.
"""

import os
import sys

WRITE, READ, TALK = 0, 1, 2
MSS, SCALE, PERMITTED, SACK1, TIME, SACK2, SACK3, OTHER = range(8)  # kKnown
UNA, PART, SOME, ALL = 0x00, 0x04, 0x08, 0x0c  # how far an ACK goes
ECN = 4
SIZES = {MSS: 2, SCALE: 1, PERMITTED: 0, SACK1: 8, TIME: 8, SACK2: 16, SACK3: 24, OTHER: 4}


def known(kind, *value, off=None):
    octets = (list(value) + [0] * 32)[:SIZES[kind]]
    return bytes([kind | (0x40 | (off + 4) << 3 if off is not None else 0)] + octets)
def alone(kind): return bytes([0xc0 | kind])
def options(*parts): return bytes([len(parts)]) + b''.join(parts)
FULL = options(known(MSS, 5, 0xb4), known(PERMITTED), known(TIME, 0, 0, 0, 9), alone(1), known(SCALE, 7))
BARE = options()
SACK_ONLY = options(known(MSS, 5, 0xb4), alone(1), alone(1), known(PERMITTED))


def written(which, *numbers): return bytes([WRITE]) + bytes(16) + bytes([16, 1, 2, 3, 4, 5, 6, 7, 8, which]) + bytes(numbers)
def talk(bits=0, more=0, active=0, start=0, syn=FULL):
    # Behind the list the IP header's ECN bits of what the peer sends until it is open.
    return bytes([TALK, bits, more, active, start]) + syn + bytes(1 if active else 2)
def send(n=10): return bytes([0 | n << 3])
def ack(how, *blocks):
    some = b'\x80' if how & 0x0c == SOME else b''
    return bytes([2, how | len(blocks) - 1]) + some + b''.join(bytes(b) for b in blocks) + b'\0'
def behind(block): return [8 | 1] + block              # inside what is in flight, by segments
def old(block): return [0 | 1] + block
def reversed_(block): return [2 | 1] + block
def straddling(a, b): return [4, a, b]
def data(choice): return bytes([5, choice, 0])
def any_list(parts): return bytes([6]) + parts + b'\0'
def time(i): return bytes([7 | i << 3])


seeds = {
    'write-all': written(0x0f | 0x40, *range(40)),
    'write-sack': written(0x40, *range(32)),
    'write-syn': written(0x0f, 5, 0xb4, 0, 7, *range(10)),
    'read-syn': bytes([READ]) + FULL,
    'read-sack': bytes([READ]) + options(alone(1), alone(1), known(TIME), alone(1), alone(1), known(SACK3)),
    'read-twice': bytes([READ]) + options(known(MSS, 5, 0xb4), known(MSS, 1, 1), known(SCALE, 3), known(SCALE, 15)),
    'read-malformed': bytes([READ]) + options(known(MSS, 5, 0xb4), known(TIME, off=-1), known(SCALE, 1)),
    'read-too-long': bytes([READ]) + options(known(SACK1, off=3)),
    'read-half': bytes([READ]) + options(known(MSS), known(OTHER), alone(1), alone(1), alone(1), alone(8)),
    'read-end': bytes([READ]) + options(known(MSS, 1, 2), alone(0), known(SCALE, 1)),
    'sack-hole': talk() + send(20) + ack(UNA, behind([1, 0])) + ack(UNA, behind([1, 1])) + ack(UNA, behind([1, 3])) + ack(ALL, behind([0, 0])),
    'sack-three-holes': talk() + send(25) + ack(UNA, behind([1, 0]), behind([3, 0]), behind([5, 0])) + time(1) + ack(PART, behind([3, 0]), behind([5, 0])) + ack(ALL, behind([0, 0])),
    'sack-out-of-order': talk() + send(25) + ack(UNA, behind([5, 0]), behind([1, 0]), behind([3, 0])) + time(2) + ack(SOME, behind([5, 0])),
    'dsack': talk() + send(20) + ack(UNA, behind([1, 2])) + time(2) + ack(PART, old([0, 0]), behind([1, 1])) + time(3) + ack(ALL, old([0, 0])),
    'reneging': talk() + send(20) + ack(UNA, behind([1, 3])) + ack(PART, behind([6, 0])) + ack(UNA, behind([6, 0])) + time(1) + time(3) + ack(ALL, behind([0, 0])),
    'timeout-with-marks': talk() + send(20) + ack(UNA, behind([2, 2])) + time(3) + time(3) + ack(UNA, behind([2, 2])) + ack(ALL, behind([0, 0])),
    'blocks-that-lie': talk() + send(20) + ack(UNA, reversed_([1, 1]), [6, 40, 40], straddling(9, 9)) + ack(UNA, [6, 60, 63], old([3, 3])),
    'four-blocks': talk(syn=SACK_ONLY) + send(30) + ack(UNA, behind([1, 0]), behind([3, 0]), behind([5, 0]), behind([7, 0])) + ack(ALL, behind([0, 0])),
    'no-sack': talk(syn=BARE) + send(20) + ack(UNA, behind([1, 1])) * 4 + ack(ALL, behind([0, 0])),
    'sack-not-ours': talk(bits=2) + send(20) + ack(UNA, behind([1, 1])) * 4 + ack(ALL, behind([0, 0])),
    'active': talk(active=1) + send(20) + ack(UNA, behind([1, 1])) + ack(ALL, behind([0, 0])) + data(3),
    'active-bare': talk(active=1, syn=BARE) + send(20) + ack(ALL, behind([0, 0])),
    'scale-15': talk(syn=options(known(SCALE, 15))) + send(20) + ack(ALL, behind([0, 0])),
    'tiny-mss': talk(syn=options(known(MSS, 0, 1), known(PERMITTED))) + send(5) + ack(UNA, behind([1, 1])) + ack(ALL, behind([0, 0])),
    'small-segments': talk(bits=8, more=4) + send(25) + ack(UNA, *[behind([i, 0]) for i in (2, 9, 20)]) * 2 + ack(UNA, behind([30, 1])) + time(2) + ack(ALL, behind([0, 0])),
    'wrap': talk(start=1) + send(20) + data(0x1f) + data(0x2f) + data(0) + ack(UNA, behind([1, 1])),
    'gaps-to-report': talk() + data(0x13) + data(0x31) + data(0x51) + data(0x12) + data(0x88) + data(0x02),
    'duplicates-to-report': talk() + data(0x0f) + data(0x8f) + data(0x9f) + data(0x14) + data(0x14) + data(0xa4),
    'lists-in-between': talk() + send(9) + any_list(FULL) + any_list(options(known(SACK2, *range(16)))) + any_list(options(known(TIME, off=1))) + ack(ALL, behind([0, 0])),
    'ecn': talk(start=ECN) + send(20) + ack(0x10 | PART, behind([1, 1])) + ack(0x10 | ALL, behind([0, 0])) + send(5),
    'dctcp': talk(bits=0x20, more=1, active=1, start=ECN) + send(20) + ack(0x10 | PART, behind([1, 1])) + ack(ALL, behind([0, 0])) + send(5),
    'bbr-paced': talk(bits=0x70) + (send(10) + time(1) + ack(SOME, behind([1, 1])) + time(1)) * 4,
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: options_seeds.py FOLDER")
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, octets in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as seed:
            seed.write(octets)


main()
