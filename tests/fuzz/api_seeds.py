#!/usr/bin/env python3
"""Writes the hand-made inputs of fuzz_api: api_seeds.py FOLDER. The same octets each time.

How an input is read stands in fuzz_api.cpp: 5 octets for hosts and link, 12 of the script that the
callbacks follow, then operations of 3 octets. Run it again when the meaning of an octet changes.
"""

import os
import sys

CLIENT, SERVER = 0, 1


def conf(client=0, server=0, options=0, link=0x10, seed=1): return bytes([client, server, options, link, seed])
def script(*values): return bytes((list(values) * 12)[:12])
def op(head, choice, value, wait):  # wait: the index of kMs that rides in `choice`, or None
    return bytes([head | (0xe0 if wait is not None else 0), choice, value])


# Bits 4-7 of a stream call's choice pick a setting; its low bits the call, and with time the wait.
def call(host, what, value=0, which=0, wait=None): return op(host | which << 2, what, value, wait)
def host_call(host, what, value=0): return bytes([host | 2, what, value])
def run(host=CLIENT, ms=3):  # info() of a stream that never was, then time: kMs[ms]
    return bytes([host | 0xe0, 0x10 | ms | 8, 0])
def listen(port=0, pull=False, value=0): return host_call(SERVER, 3, port | (4 if pull else 0) | value)
def connect(value=0, host=CLIENT): return host_call(host, 0, value)
def send(host, count, which=0): return call(host, 1, count, which)
def read(host, keep=0, which=0): return call(host, 3, keep, which)
def shutdown(host, which=0): return call(host, 5, 0, which)
def close(host, which=0): return call(host, 6, 0, which)
def abort(host, which=0): return call(host, 7, 0, which)
def setting(host, what, value, which=0): return call(host, 12 | what << 4, value, which)
WAIT = run(ms=4) + run(ms=4)
LONG = run(ms=6)
QUIET = script(0)      # take everything, do nothing else
ECHO = script(4, 0)    # octets go back
LEAVE = script(3, 0)   # octets are left
KEEP = script(6, 0, 14, 0, 22, 0)
START = listen() + connect() + WAIT
PULL = listen(pull=True) + connect() + WAIT
seeds = {
    'transfer': conf() + QUIET + START + send(CLIENT, 200) + WAIT + send(SERVER, 200) + WAIT + shutdown(CLIENT) + WAIT,
    'echo': conf() + ECHO + START + send(CLIENT, 200) + WAIT + send(CLIENT, 100) + WAIT + close(CLIENT) + WAIT,
    'lossy': conf(2, 2, 0, 0x52) + QUIET + START + (send(CLIENT, 250) + run(ms=3)) * 8 + LONG + shutdown(CLIENT) + LONG,
    'lossy-both': conf(2, 2, 0, 0x57, 3) + ECHO + START + (send(CLIENT, 250) + send(SERVER, 90) + run(ms=3)) * 6 + LONG,
    'marked': conf(2, 2, 0x20, 0x18) + QUIET + START + (send(CLIENT, 250) + run(ms=4)) * 6 + close(CLIENT) + LONG,
    'dctcp': conf(2, 2, 0x30, 0x18) + QUIET + START + (send(CLIENT, 250) + run(ms=4)) * 6 + close(CLIENT) + LONG,
    'bbr': conf(6, 6, 0x18, 0x21) + QUIET + START + (send(CLIENT, 250) + run(ms=4)) * 10 + close(CLIENT) + LONG,
    'growing': conf(0x24, 0x24, 0, 0x10) + QUIET + START + (send(CLIENT, 250) + run(ms=4)) * 12 + close(CLIENT) + LONG,
    'pull': conf() + QUIET + PULL + host_call(SERVER, 5, 0) + send(CLIENT, 50) + WAIT + read(SERVER, 1) + read(SERVER) + close(SERVER) + WAIT,
    'accept-in-callback': conf() + script(1, 0) + PULL + connect() + WAIT + send(CLIENT, 9) + WAIT,
    'backlog-full': conf() + QUIET + listen(pull=True, value=16) + connect() * 4 + WAIT + LONG + host_call(SERVER, 5, 0) * 4 + LONG,
    'paused-listener': conf() + script(3, 0) + listen(pull=True) + host_call(SERVER, 7) + connect() * 2 + WAIT + host_call(SERVER, 8) + WAIT,
    'listener-closes': conf() + QUIET + listen(pull=True) + connect() + WAIT + host_call(SERVER, 9) + WAIT + listen() + connect() + WAIT,
    'kept-beyond': conf() + KEEP + START + send(CLIENT, 100) + WAIT + send(CLIENT, 100) + WAIT + abort(CLIENT) + WAIT + host_call(SERVER, 13, 255) + host_call(SERVER, 14, 1),
    'kept-sent': conf() + KEEP + START + send(CLIENT, 100) + WAIT + call(SERVER, 2, 0) + call(SERVER, 2, 2) + WAIT + close(CLIENT) + WAIT,
    'left-unread': conf(1, 1) + LEAVE + START + send(CLIENT, 250) + WAIT + shutdown(CLIENT) + WAIT + close(SERVER) + LONG,
    'paused': conf() + QUIET + START + call(SERVER, 8) + send(CLIENT, 250) + LONG + call(SERVER, 9) + WAIT,
    'close-unread': conf() + QUIET + PULL + host_call(SERVER, 5, 0) + call(SERVER, 8) + send(CLIENT, 50) + WAIT + close(SERVER) + WAIT,
    'close-both': conf() + QUIET + START + close(CLIENT) + close(SERVER) + WAIT + run(ms=7) + run(ms=7),
    'abort-in-callback': conf() + script(0, 0x40, 7, 0) + START + send(CLIENT, 50) + WAIT + send(CLIENT, 50) + WAIT,
    'close-in-callback': conf() + script(0, 0x40, 6, 0) + START + send(CLIENT, 50) + WAIT + send(CLIENT, 50) + WAIT,
    'shutdown-in-callback': conf() + script(0, 0x40, 5, 0) + START + send(CLIENT, 50) + WAIT + connect() + WAIT,
    'handler-destroyed-in-callback': conf() + script(2, 0x40, 10, 1) + START + send(CLIENT, 50) + WAIT + send(CLIENT, 50) + WAIT,
    'handler-gone-in-callback': conf() + script(2, 0x40, 10, 0) + START + send(CLIENT, 50) + WAIT + call(SERVER, 10, 1) + WAIT + close(CLIENT) + WAIT,
    'handler-destroyed-before-end': conf() + script(0, 0x40, 10, 1) + START + send(SERVER, 50) + shutdown(SERVER) + WAIT,
    'handler-gone-before-end': conf() + script(0, 0x40, 10, 0) + START + send(SERVER, 50) + shutdown(SERVER) + WAIT,
    'pulled-handler-destroyed': conf() + script(0, 0x40, 10, 1) + PULL + host_call(SERVER, 5, 0) + send(CLIENT, 50) + shutdown(CLIENT) + WAIT,
    'handler-replaced': conf() + QUIET + START + call(CLIENT, 10, 1) + call(SERVER, 10, 0) + send(CLIENT, 50) + WAIT + call(SERVER, 10, 1) + WAIT + close(CLIENT) + WAIT,
    'connect-in-callback': conf() + script(0, 0xb0, 0, 0) + START + send(CLIENT, 50) + WAIT + WAIT,
    'refused': conf() + QUIET + connect() + WAIT,
    'nobody-there': conf() + QUIET + connect(0x1c) + connect(0x3c) + connect(0x5c) + connect(0x7c) + LONG + LONG + run(ms=7),
    'to-itself': conf() + QUIET + connect(0x18) + host_call(CLIENT, 3, 0) + connect(0x18) + WAIT,
    'both-connect': conf() + QUIET + connect(0x10) + connect(0x10, SERVER) + WAIT + send(CLIENT, 20) + send(SERVER, 20) + WAIT + close(CLIENT) + LONG,
    'port-reused': conf() + QUIET + listen() + connect(0x10) + WAIT + abort(CLIENT) + connect(0x10) + WAIT + close(CLIENT) + WAIT + connect(0x10) + WAIT,
    'wrong-arguments': conf() + QUIET + connect(0x14) + connect(0x0c) + connect(0x20 | 0xc0) + listen(value=0xe0) + listen(value=0xc0) + listen(value=0x80) + listen(3, value=0x60) + listen() * 2,
    'settings': conf() + QUIET + START + b''.join(setting(CLIENT, what, value) for what in range(8) for value in (0, 1, 2, 3, 64, 255)) + send(CLIENT, 99) + WAIT,
    'algorithms': conf(2, 2) + QUIET + START + b''.join(setting(CLIENT, 3, a) + send(CLIENT, 120) + run(ms=3) + setting(CLIENT, 4, a & 1) for a in (0, 1, 2, 3, 0)) + WAIT,
    'user-timeout': conf(0, 0, 0, 0x13) + QUIET + START + setting(CLIENT, 1, 6) + send(CLIENT, 200) + LONG + LONG,
    'user-timeout-of-connect': conf() + QUIET + connect(0x1c) + setting(CLIENT, 1, 0) + LONG,
    'keepalive': conf() + QUIET + START + setting(CLIENT, 2, 1) + run(ms=7) + run(ms=7) + close(CLIENT) + WAIT,
    'timers': conf() + script(0, 0x40, 0x6c, 6) + START + setting(CLIENT, 6, 0) + setting(SERVER, 6, 6) + host_call(CLIENT, 11, 1) + host_call(CLIENT, 11, 24) + host_call(CLIENT, 12, 0) + WAIT,
    'stale': conf() + QUIET + START + abort(CLIENT) + WAIT + b''.join(call(CLIENT, what, 3) for what in range(16)) + WAIT,
    'orphans': conf(0x80, 0x80) + QUIET + listen() + connect() * 3 + WAIT + b''.join(send(CLIENT, 99, w) + close(CLIENT, w) for w in range(3)) + LONG,
    'tables-full': conf() + QUIET + listen() + connect() * 9 + WAIT + b''.join(send(CLIENT, 30, w) for w in range(8)) + WAIT,
    'pools-dry': conf(2, 2) + KEEP + listen() + connect() * 3 + WAIT + b''.join(send(CLIENT, 255, w) for w in range(3)) * 3 + WAIT + LONG + host_call(SERVER, 14, 0) + WAIT,
    'no-options': conf(0, 0, 7, 0x52) + ECHO + START + (send(CLIENT, 200) + run(ms=4)) * 5 + close(CLIENT) + LONG,
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: api_seeds.py FOLDER")
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, octets in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as seed:
            seed.write(octets)


main()
