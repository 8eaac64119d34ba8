#!/usr/bin/python3
"""The kernel's TCP behind sluice-httpd's two URLs: GET /bytes/COUNT and PUT /sink. kernel_httpd.py ADDRESS [PORT]"""

import hashlib
import http.server
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from cases.transfer import page_bytes  # noqa: E402: the path comes first


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(page_bytes(int(self.path.removeprefix("/bytes/"))))

    def do_PUT(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left > 0 and (octets := self.rfile.read(min(left, 65536))):
            digest.update(octets)
            left -= len(octets)
        self.answer(digest.hexdigest().encode())


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 80
    http.server.ThreadingHTTPServer((sys.argv[1], port), Handler).serve_forever()
