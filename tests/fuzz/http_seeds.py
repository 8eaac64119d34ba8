#!/usr/bin/env python3
"""Writes the hand-made inputs of fuzz_http: http_seeds.py FOLDER. The same octets each time.

The first octet chooses (fuzz_http.cpp): a head, a body in chunks, a request's answer, a date.
"""

import os
import sys

HEAD, CHUNKS, ANSWER, DATE = (bytes([48 + i]) for i in range(4))  # 48 % 4 == 0


def request(line, *fields, host="x"):
    lines = [line, *([f"Host: {host}"] if host is not None else []), *fields]
    return "".join(f"{text}\r\n" for text in lines).encode() + b"\r\n"


requests = {
    "small": request("GET /bytes/64 HTTP/1.1", host="10.0.0.2"),
    "browser": request("GET /?q=1 HTTP/1.1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101",
                       "Accept: text/html,*/*;q=0.8", "Connection: keep-alive", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
                       "If-None-Match: *"),
    "old": request("GET / HTTP/1.0", "Connection: Keep-Alive", host=None),
    "absolute": request("GET http://x/bytes/1 HTTP/1.1"),
    "asterisk": request("OPTIONS * HTTP/1.1"),
    "connect": request("CONNECT x:80 HTTP/1.1"),
    "escaped": request("GET /%2e%2e/%62ytes/%31 HTTP/1.1"),
    "range": request("GET /bytes/70000 HTTP/1.1", "Range: bytes=65000-66000", 'If-Range: "a"'),
    "range-end": request("GET /bytes/70000 HTTP/1.1", "Range: bytes=-9"),
    "put": request("PUT /sink HTTP/1.1", "Content-Length: 12", "Expect: 100-continue"),
    "chunked": request("POST /sink HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close, x"),
    "head": request("HEAD /none HTTP/1.1"),
    "unknown": request("BREW /pot HTTP/1.1"),
    "status": request("GET /status?json HTTP/1.1"),
    "empty-lines": b"\r\n\r\n" + request("GET / HTTP/1.1"),
    "two": request("GET /1 HTTP/1.1") + request("GET /2 HTTP/1.1"),
}
wrong = {
    "bare-lf": request("GET / HTTP/1.1").replace(b"\r", b""),
    "bare-cr": request("GET / HTTP/1.1", "A: b\rc"),
    "folded": request("GET / HTTP/1.1", "A: b", " c"),
    "blank-before-colon": request("GET / HTTP/1.1", "Content-Length : 1"),
    "two-lengths": request("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2"),
    "length-and-coding": request("POST / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"),
    "coding": request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"),
    "version": request("PRI * HTTP/2.0", host=None),
    "tls": bytes.fromhex("16030100fa010000f60303"),
    "half": b"GET / HTTP/1.1\r\nHost: x\r\nAccept: a somewhat longer val",
}
chunks = {
    "chunks": b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\nGET",
    "chunks-bare-lf": b"5\nhello\n0\n\n",
    "chunks-huge": b"fffffffffffffff\r\nx",
    "chunks-too-huge": b"10000000000000000\r\nx",
    "chunks-zero": b"000\r\n\r\n",
}
dates = {
    "date": b"Sun, 06 Nov 1994 08:49:37 GMT",
    "date-850": b"Sunday, 06-Nov-94 08:49:37 GMT",
    "date-asctime": b"Sun Nov  6 08:49:37 1994",
}

seeds = {f"head-{name}": HEAD + text for name, text in {**requests, **wrong}.items()}
seeds |= {f"answer-{name}": ANSWER + text for name, text in requests.items()}
seeds |= {name: CHUNKS + text for name, text in chunks.items()}
seeds |= {name: DATE + text for name, text in dates.items()}

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, octets in seeds.items():
        with open(os.path.join(sys.argv[1], name), "wb") as file:
            file.write(octets)
