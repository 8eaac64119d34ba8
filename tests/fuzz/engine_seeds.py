#!/usr/bin/env python3
"""Writes the hand-made inputs of fuzz_engine: engine_seeds.py FOLDER. The same octets each time.

How an input is read stands in fuzz_engine.cpp: 4 octets of configuration, 8 of the application's
script, then operations. Run it again when the meaning of an octet changes.
"""

import os
import sys

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
S = 0x80  # settle
def conf(a=0, b=0, c=0, d=0): return bytes([a, b, c, d])
def script(*v): return bytes((list(v) * 8)[:8])
def seg(flags, target=0, fresh=None, edge=0, sd=None, ad=None, size=0, kind=0, raw=b'', cut=None, settle=True, ecn=0, to=None, blocks=None):
    o = [0 | (S if settle else 0) | ecn << 4]
    if to is not None: edge |= 0x80
    if blocks is not None:
        kind |= 0x40
        raw = [len(blocks) - 1] + [octet for block in blocks for octet in block]
    if fresh is not None: o += [4, fresh]
    else: o += [target]
    e = edge
    if sd is not None: e |= (edge & 3) or 2
    o += [flags, e | (0x40 if cut is not None else 0)]
    if (e & 3): o += [sd if sd is not None else 8]
    if (e & 12) in (4, 8): o += [ad if ad is not None else 8]
    if to is not None: o += [to]
    o += [size, kind] + list(raw)
    if cut is not None: o += list(cut)
    return bytes(o)
def tcb(i): return (i << 3)            # target byte of connection i
def half(i=0): return (i << 3) | 2
def tw(i=0): return (i << 3) | 3
def time(i): return bytes([8 | S, i])
def transmit(n): return bytes([9 | (n - 1) << 4])
def call(which, what, value=0): return bytes([10 | S, which << 4 | what, value])
def lcall(which, what): return bytes([12 | S, what << 1 | which])
def connect(c): return bytes([13 | S, c])
def res(c): return bytes([14, c])
def arp(): return bytes([15 | S])
def packet(protocol, where=0, length=0, fresh=0, options=b'', body=None):
    # a whole packet, or a fragment: 8-octet offset, 0x20 for more to come
    kind = PROTOCOLS.index(protocol) | (0x10 | len(options) // 4 << 5 if options else 0)
    tail = b'' if body is None else bytes([len(body)]) + body
    return bytes([7 | 0x10 | S, kind, where, length, 4, fresh]) + options + tail
PROTOCOLS = ['tcp', 'icmp', 'udp', 'other']
MORE = 0x20
def claim(kind, sender, target=0): return bytes([7 | 0x20 | S, kind, target << 4 | sender])
def delta(n): return n + 8             # near(): small
OPT = 16 | 4 | 8                        # timestamps, SACK, window scale
def shake(fresh=0, kind=OPT):
    # the half-open entry is addressed as such: it may be any
    return seg(SYN, fresh=fresh, kind=kind) + seg(ACK, target=half(), kind=kind & 16)
def data(i=0, size=2, kind=16, **k): return seg(ACK | PSH, target=tcb(i), size=size, kind=kind, **k)
def ack(i=0, kind=16, **k): return seg(ACK, target=tcb(i), kind=kind, **k)
def fin(i=0, kind=16, **k): return seg(FIN | ACK, target=tcb(i), kind=kind, **k)
def run(left, length=1): return [left | (length - 1) << 4]   # a block, in segments behind SND.UNA
def twice(below): return [0x80, below]                       # a duplicate that lies so far below it
def cut(left, length, by): return [0x80 | left | (length - 1) << 4, 0x80 | (by + 8)]
def sack(*blocks, i=0, to=0, **k): return ack(i, to=to, blocks=blocks, **k)
def big(n=2): return call(0, 1, 127) * n                     # much to send
NEWRENO, DCTCP, BBR, OFFER_ECN, PACED, GROWING = 4, 8, 12, 16, 32, 64  # third octet of conf
ECT0, CE = 2, 3
FLOOD = conf(0x10) + script(1)
C = script(0)
E = script(5)       # echo
seeds = {
 'echo': conf() + E + shake() + data() + ack() + data(size=3) + ack() + fin() + ack(),
 'echo-without-options': conf() + E + shake(kind=0) + data(kind=0) + ack(kind=0) + fin(kind=0) + ack(kind=0),
 'client-closes-first': conf() + C + shake() + fin() + ack() + time(13),
 'server-closes-first': conf() + script(10) + shake() + data() + ack() + fin() + seg(FIN | ACK, target=tw(), kind=16, sd=delta(-1)) + time(13),
 'simultaneous-close': conf() + script(10) + shake() + data() + fin(edge=12) + ack() + time(13),
 'reset': conf() + C + shake() + data() + seg(RST, target=tcb(0), kind=0),
 'reset-in-window': conf() + C + shake() + seg(RST, target=tcb(0), sd=delta(5)) + seg(SYN, target=tcb(0), kind=OPT),
 'reset-of-half-open': conf() + C + seg(SYN, fresh=0, kind=OPT) + seg(RST, target=half()),
 'gap': conf() + C + shake() + data(size=2, sd=0x80 | 9 | 0) + data(size=3, sd=0xa0 | 8) + data(size=2) + data(size=2) + fin(),
 'gap-with-fin': conf() + C + shake() + fin(sd=0x80 | 8) + fin(sd=0x80 | 8) + data(size=3) + ack(),
 'overlap': conf() + C + shake() + data(size=3, sd=delta(4)) + data(size=3, sd=delta(2)) + data(size=3, sd=delta(-3)) + data(size=3),
 'too-many-gaps': conf() + C + shake() + b''.join(data(size=1, sd=d) for d in (delta(2), delta(4), delta(6), 0x88, 0x98, 0xa8)) + data(size=1),
 'zero-window': conf(0x10) + script(12) + shake() + data(edge=0x10) + call(0, 1, 200) + ack(edge=0x10) + time(9) + time(9) + ack(edge=0x10) + time(10) + ack(edge=0),
 'tiny-window': conf() + script(12) + shake() + call(0, 1, 100) + ack(edge=0x20) + time(8) + ack(edge=0x20) + time(8) + ack(),
 'receive-buffer-full': conf() + script(4) + shake() + data(size=3) * 3 + data(size=2) + data(size=1) * 3 + call(0, 3) + ack(),
 'small-octets-unread': conf(8) + script(4) + shake() + data(size=1) * 12 + call(0, 3),
 'pull-accept': conf() + script(1) + shake(fresh=4) + data() + call(0, 3, 1) + call(0, 2, 0) + ack() + call(0, 5) + ack() + fin(),
 'accept-queue-full': conf() + script(0) + b''.join(shake(fresh=4 | h | p << 4) for h in (0, 1) for p in (0, 1, 2)) + time(7) + lcall(1, 0) * 3 + time(8),
 'syn-queue-full': conf() + C + b''.join(seg(SYN, fresh=h | p << 4, kind=OPT) for h in (0, 1, 2) for p in (0, 1)) + time(7) + time(8) + time(9),
 'backlog-of-connections': conf() + C + b''.join(shake(fresh=h | p << 4) for h in (0, 1, 2) for p in (0, 1, 2)),
 'connect': conf() + script(1) + connect(0) + seg(SYN | ACK, target=tcb(0), kind=OPT) + data() + ack() + fin() + ack(),
 'connect-with-data-in-syn-ack': conf() + script(1) + connect(0) + seg(SYN | ACK | FIN, target=tcb(0), kind=OPT, size=2) + ack(),
 'connect-refused': conf() + C + connect(0) + seg(RST | ACK, target=tcb(0)),
 'connect-timed-out': conf() + C + connect(0) + time(7) + time(8) + time(9) + time(9),
 'connect-unresolved': conf() + C + connect(3) + time(7) + time(7) + arp() + connect(3) + time(8) + time(8),
 'simultaneous-open': conf() + script(1) + connect(0) + seg(SYN, target=tcb(0), kind=OPT) + seg(SYN | ACK, target=tcb(0), kind=OPT, sd=delta(-1)) + data() + ack(),
 'icmp-unreachable': conf() + C + connect(0) + bytes([6 | S, tcb(0), 3]),
 'icmp-mtu': conf() + script(12) + shake() + call(0, 1, 128) + bytes([6 | S, tcb(0), 4 | 0x80]) + ack() + time(7),
 'fast-retransmit': conf() + script(12) + shake() + call(0, 1, 128) + ack(edge=8, ad=0x80) + ack(edge=12) * 4 + ack(edge=8, ad=0xa0) + ack(),
 'retransmission-timeout': conf() + script(12) + shake() + call(0, 1, 128) + time(7) + time(8) + ack(edge=8, ad=0xa0) + time(9) + ack(),
 'user-timeout': conf() + script(12) + shake() + call(0, 1, 128) + time(10) + time(11) + time(11),
 'keepalive': conf(0, 2) + C + shake() + time(10) + time(10) + ack(sd=delta(0)) + time(12),
 'time-wait-reused': conf() + script(10) + shake() + data() + ack() + fin() + time(7) + seg(SYN, target=tw(), kind=OPT | 1, sd=delta(3)) + seg(ACK, target=half(), kind=16),
 'time-wait-evicted': conf() + script(10) + b''.join(shake(fresh=h | p << 4) + data(i=0) + ack() + fin() for h in (0, 1, 2) for p in (0, 1)),
 'orphans': conf(0, 0x40) + script(8) + b''.join(shake(fresh=p << 4) + data(i=p) for p in (0, 1, 2)) + time(9),
 'kept-data': conf() + script(7) + shake() + data() * 5 + call(0, 6) + call(0, 15, 0) + call(0, 15, 1),
 'handler-replaced': conf() + script(11) + shake() + fin(size=2) + ack(),
 'reset-after-fin': conf() + script(4) + shake() + fin(size=2) + seg(RST, target=tcb(0), kind=0) + call(0, 3),
 'pools-empty': conf(1) + E + shake() + res(0) + data() + res(1) + data(size=3) + ack() + res(7) + time(6) + ack(),
 'no-views': conf() + E + shake() + data(size=3) + res(2) + data(size=3) + ack() + res(7) + time(7),
 'drain': conf() + script(12) + shake() + shake(fresh=1) + data() + res(3) + ack() + ack(i=1) + seg(SYN, fresh=2, kind=OPT),
 'urgent': conf() + C + shake() + seg(ACK | URG, target=tcb(0), size=2, kind=16) + ack(),
 'options-malformed': conf() + C + seg(SYN, fresh=0, kind=0xc6, raw=bytes([2, 4, 5, 0xb4, 8, 0])) + seg(ACK, target=half(), kind=0xc3, raw=bytes([5, 3, 0])),
 'paws': conf() + C + shake() + time(7) + data(kind=17) + data(kind=16),
 'wrap': conf(0, 0, 3, 7) + E + shake(fresh=0x40) + data(size=2) + ack() + data(size=2) + ack() + fin(),
 'tick-wrap': conf(0, 0, 1) + E + shake(fresh=0x80) + data(size=2) + time(6) + time(6) + time(6) + ack() + fin() + time(13),
 'checksum-wrong': conf() + C + shake() + data(cut=[0xc0, 30, 1]) + data(cut=[0x80, 30, 1]) + data(cut=[5]),
 'stray': conf() + C + seg(ACK, fresh=12) + seg(SYN, fresh=12, kind=OPT) + seg(RST, fresh=12),
 'raw': conf() + C + bytes([7 | S, 20]) + bytes(range(20)),
 'ping': conf() + C + packet('icmp') + packet('icmp', fresh=3) + arp(),
 'ping-in-fragments': conf() + C + packet('icmp', MORE, 10) + packet('icmp', 10 | MORE, 10) + packet('icmp', 20, 31),
 'segment-in-fragments': conf() + C + shake() + packet('tcp', 20, 31) + packet('tcp', MORE, 10) + packet('tcp', 10 | MORE, 10) + ack(),
 'fragments-overlap': conf() + C + packet('tcp', MORE, 10) + packet('tcp', 5 | MORE, 10) + packet('tcp', 20, 31) + time(11),
 'fragments-left': conf() + C + packet('icmp', MORE, 1) * 9 + packet('icmp', 31, 31) + time(12),
 'datagrams': conf() + C + packet('udp', body=bytes([4, 0, 0, 9, 0, 9, 0, 0, 65])) + packet('udp', body=b'abc') + packet('other', body=b'?'),
 'ip-options': conf() + C + packet('icmp', options=bytes([7, 7, 4, 0, 0, 0, 0, 0])) + packet('icmp', options=bytes([131, 3, 4, 0])) + packet('icmp', options=bytes([68, 0, 0, 0])),
 'arp-asked': conf() + C + b''.join(claim(2, host) for host in range(6, 16)) + seg(SYN, fresh=0, kind=OPT),
 'arp-claims': conf() + C + shake() + time(8) + claim(3, 5) + claim(2 | 8 | 16, 1, 1) + claim(2 | 16, 2) + connect(3) + claim(1, 5) + time(8) + claim(3 | 8, 5, 5) + time(8) + time(8),
 'nagle': conf() + script(0) + shake() + call(0, 0, 10) + call(0, 0, 10) + call(0, 9, 1) + ack() + call(0, 0, 10),
 'timers': conf() + script(15) + shake() + call(0, 12, 50) + data() + time(5) + time(6),
 'sack-recovery': FLOOD + shake() + big() + sack(run(1)) + sack(run(1, 2)) + sack(run(1, 3)) + ack(to=4) + sack(run(2)) + ack(),
 'sack-holes': FLOOD + shake() + big() + sack(run(1), run(3), run(5)) + time(5) + sack(run(1, 5)) + ack(to=2) + time(6) + ack(),
 'sack-cut': FLOOD + shake() + big() + sack(cut(1, 2, 3), cut(4, 1, -5)) + sack(cut(2, 2, 1)) + ack(to=3) + ack(),
 'sack-late': FLOOD + shake() + big() + sack(run(2)) + time(3) + ack(to=1) + ack(to=3) + big(1) + sack(run(1)) + ack(to=2),
 'dsack': FLOOD + shake() + big() + sack(run(1, 3)) + ack(to=4) + sack(twice(4)) + sack(twice(3), run(1)) + ack(),
 'undo': FLOOD + shake() + big() + sack(run(1, 4)) + time(3) + sack(twice(1), run(1, 5), to=1) + sack(twice(1), to=6) + ack(kind=16 | 0x80),
 'undo-eifel': FLOOD + shake() + big() + sack(run(1, 4)) + time(3) + ack(to=2, kind=16 | 0x80) + ack(),
 'reneging': FLOOD + shake() + big() + sack(run(1, 3)) + ack(to=1) + ack(to=1) + time(6) + time(7) + ack(to=3) + ack(),
 'timeout-after-sack': FLOOD + shake() + big() + sack(run(2, 2)) + time(7) + time(8) + sack(run(2, 2)) + ack(to=2) + ack(),
 'tail-probe': FLOOD + shake() + call(0, 1, 60) + ack(to=1) + time(6) + sack(run(0)) + time(6) + sack(twice(1)) + ack(),
 'reordering-window': FLOOD + shake() + big() + sack(run(1)) + time(2) + ack(to=2) + sack(run(2)) + time(4) + ack(),
 'ece': FLOOD + seg(SYN | 0xc0, fresh=0, kind=OPT) + seg(ACK, target=half(), kind=16) + big() + seg(ACK | 0x40, target=tcb(0), kind=16, to=2) + ack(to=3) + ack() + big(1),
 'ce-received': FLOOD + seg(SYN | 0xc0, fresh=0, kind=OPT) + seg(ACK, target=half(), kind=16) + data(ecn=CE) + data(ecn=ECT0) + seg(ACK | 0x80, target=tcb(0), size=2, kind=16, ecn=ECT0),
 'dctcp': conf(0x10, 0, DCTCP | OFFER_ECN) + script(1) + seg(SYN | 0xc0, fresh=0, kind=OPT) + seg(ACK, target=half(), kind=16) + (big(1) + seg(ACK | 0x40, target=tcb(0), kind=16, to=2) + data(ecn=CE) + ack()) * 4,
 'ecn-offered': conf(0x10, 0, OFFER_ECN) + script(1) + connect(0) + seg(SYN | ACK | 0x40, target=tcb(0), kind=OPT) + big() + seg(ACK | 0x40, target=tcb(0), kind=16, to=2) + ack(),
 'newreno': conf(0x90, 0, NEWRENO) + script(1) + shake(kind=0) + big() + ack(kind=0, edge=12) * 4 + ack(kind=0, to=2) + ack(kind=0),
 'bbr': conf(0x10, 0, BBR | GROWING) + script(1) + shake() + (big(1) + time(3) + ack(to=4) + time(3) + ack()) * 8,
 'bbr-lossy': conf(0x10, 0, BBR) + script(1) + shake() + (big(1) + time(3) + sack(run(1, 2)) + time(3) + ack()) * 6,
 'paced': conf(0x10, 0, PACED) + script(1) + shake() + (big(1) + time(3) + ack(to=2)) * 6,
 'cubic': FLOOD + shake() + (big(1) + time(3) + ack() + big(1) + sack(run(1, 3)) + time(4) + ack()) * 4,
 'small-segments': conf(0x10, 0x10) + script(1) + shake() + big(1) + sack(run(1), run(3), run(5)) + sack(run(7), run(9), run(11)) + sack(run(13), run(2), run(4)) + ack(to=6) + time(5) + ack(),
 'listener-closes': conf() + C + shake(fresh=4) + seg(SYN, fresh=5, kind=OPT) + lcall(1, 4) + lcall(1, 6) + shake(fresh=6) + lcall(0, 4) + lcall(0, 5),
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: engine_seeds.py FOLDER")
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, octets in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as seed:
            seed.write(octets)


main()
