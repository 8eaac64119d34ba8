"""sluice-httpd as clients of HTTP see it: pipelining, who closes, ranges, and what is refused."""

import json
import socket

from cases.transfer import page_bytes
from lab import expect, wait_until
from registry import case


def talk(server, octets, seconds=10, half_close=False):
    """Sends `octets` and gives all that comes until the server's FIN."""
    with socket.create_connection((server.ip, 80), timeout=seconds) as stream:
        stream.sendall(octets)
        if half_close:
            stream.shutdown(socket.SHUT_WR)
        return read_all(stream)


def read_all(stream):
    octets = b""
    while block := stream.recv(65536):
        octets += block
    return octets


def replies(octets, heads_only=False):
    """(status, header lines, body) of each answer."""
    found = []
    while octets:
        head, blank, octets = octets.partition(b"\r\n\r\n")
        expect(blank, f"half an answer: {head!r}")
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = 0 if heads_only else int(fields.get("content-length", "0"))
        expect(len(octets) >= length, f"half a body of {length}: {len(octets)}")
        found.append((int(lines[0].split()[1]), fields, octets[:length]))
        octets = octets[length:]
    return found


def request(target="/", *fields, method="GET", version="1.1", host="Host: x"):
    lines = [f"{method} {target} HTTP/{version}", *([host] if host else []), *fields]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


CLOSE = "Connection: close"


@case("500 requests in one go are answered in order, and the last one closes", seconds=60)
def http_pipelining(lab):
    server = lab.server("sluice-httpd")
    sizes = [i * 37 % 3000 for i in range(499)] + [200_000]
    octets = b"".join(request(f"/bytes/{size}") for size in sizes[:-1]) + request(f"/bytes/{sizes[-1]}", CLOSE)
    got = replies(talk(server, octets))
    expect([len(body) for _, _, body in got] == sizes, f"{len(got)} answers, sizes {[len(body) for _, _, body in got][:9]}")
    expect(all(body == page_bytes(len(body)) for _, _, body in got), "a body was another's")
    expect(got[-1][1]["connection"] == "close" and "connection" not in got[0][1], "Connection is said wrongly")


@case("nc's pipelined requests are answered, and the rest of its half is taken", needs=["nc"])
def http_pipelining_nc(lab):
    server = lab.server("sluice-httpd")
    body = request("/bytes/3") * 3 + request("/sink", "Content-Length: 5", method="PUT") + b"hello"
    done = lab.run("nc", "-N", "-w", "5", server.ip, "80", input=body, text=False)
    got = replies(done.stdout)
    expect([status for status, _, _ in got] == [200] * 4, f"answers: {[status for status, _, _ in got]}")
    expect(got[3][2].startswith(b"5 2cf24dba5fb0a30e26e83b2ac5b9e29e"), f"/sink said {got[3][2]!r}")


@case("who closes follows version and Connection, and the server closes first", seconds=60)
def http_keep_alive_rules(lab):
    server = lab.server("sluice-httpd", "--time-wait", "1s")
    for octets, stays in ((request(), True), (request("/", CLOSE), False), (request(version="1.0", host=None), False),
                          (request("/", "Connection: keep-alive", version="1.0", host=None), True),
                          (request("/", "Connection: foo, Close"), False)):
        with socket.create_connection((server.ip, 80), timeout=5) as stream:
            stream.sendall(octets)
            stream.settimeout(1 if stays else 5)
            try:
                end = read_all(stream)
                closed = True
            except TimeoutError:
                closed = False
            expect(closed != stays, f"{octets!r}: {'closed' if closed else 'stays'}")
            if closed:
                expect(replies(end)[0][1]["connection"] == "close", "the last answer does not say so")
                wait_until(lambda: any(row["state"] == "FIN-WAIT-2" for row in server.conns()), 5, "our FIN to be the first")
    wait_until(lambda: not server.conns(), 10, "all connections to be gone")


@case("what frames a request in two ways is refused, and nothing behind it is answered", seconds=60)
def http_smuggling(lab):
    server = lab.server("sluice-httpd")
    behind = request("/bytes/1")
    for octets, status in (
            (request("/sink", "Content-Length: 3", "Transfer-Encoding: chunked", method="POST"), 400),
            (request("/sink", "Content-Length: 3", "Content-Length: 4", method="POST"), 400),
            (request("/sink", "Transfer-Encoding: xchunked", method="POST"), 400),
            (request("/sink", "Transfer-Encoding: gzip, chunked", method="POST"), 501),
            (request("/sink", "Transfer-Encoding : chunked", method="POST"), 400),
            (request("/sink", "Transfer-Encoding:", " chunked", method="POST"), 400),
            (request("/sink", "X: a\rTransfer-Encoding: chunked", method="POST"), 400),
            (request("/sink", "X: a\nTransfer-Encoding: chunked", method="POST"), 400),
            (request("/sink", "Transfer-Encoding: chunked", method="POST", version="1.0"), 400),
            (request("/sink", "Transfer-Encoding: chunked", method="POST") + b"1\nx\n0\n\n", 400),
            (request().replace(b"\r\n", b"\n"), 400),
            (request(host=None), 400), (request("/", "Host: y"), 400),
            (request("/" + "a" * 9000), 414), (request("/", "A: " + "a" * 20000), 431),
            (request(version="2.0"), 505), (b"\x16\x03\x01\x00\xfa\x01", 400),
            (request("/", "Content-Length: 40") + b"x" * 9, 200)):
        got = replies(talk(server, octets + behind))
        expect([answer[0] for answer in got] == [status], f"{octets[:80]!r}: {[answer[0] for answer in got]}, wanted {status}")
        expect(got[0][1]["connection"] == "close", f"{octets[:80]!r}: the connection stays")
    expect(replies(talk(server, b"GET / HTTP/1.1\r\nHo", half_close=True))[0][0] == 400, "half a head")


@case("curl: files with their types, HEAD, ranges, what is unchanged, chunked bodies", seconds=60, needs=["curl"])
def http_curl(lab):
    root = lab.folder / "root"
    (root / "sub dir").mkdir(parents=True)
    (root / "sub dir" / "page.html").write_text("<p>page", encoding="ascii")
    (root / "data.json").write_text("[" + "0," * 50_000 + "0]", encoding="ascii")
    (root / "secret").symlink_to("/etc/passwd")
    server = lab.server("sluice-httpd", "--root", root)

    def curl(*words):
        done = lab.run("curl", "-sS", "--path-as-is", "-o", "out", "-D", "head", "-w", "%{http_code} %{content_type}", *words)
        return done.stdout, (lab.folder / "out").read_bytes() if (lab.folder / "out").exists() else b""

    base = f"http://{server.ip}"
    expect(curl(f"{base}/sub%20dir/page.html") == ("200 text/html; charset=utf-8", b"<p>page"), "page.html")
    said, body = curl(f"{base}/data.json")
    expect((said, len(body)) == ("200 application/json", 100_003), f"data.json: {said}, {len(body)}")
    fields = dict(line.split(": ", 1) for line in (lab.folder / "head").read_text().splitlines() if ": " in line)
    etag, changed = fields["ETag"], fields["Last-Modified"]
    expect(curl("-H", f"If-None-Match: {etag}", f"{base}/data.json")[0].startswith("304"), "If-None-Match")
    expect(curl("-z", changed, f"{base}/data.json")[0].startswith("304"), "If-Modified-Since")
    expect(curl("-r", "1-4", f"{base}/data.json")[1] == b"0,0,", "a range")
    expect(curl("-r", "100000-", f"{base}/data.json")[1] == b",0]", "a range to the end")
    expect(curl("-I", f"{base}/data.json")[0] == "200 application/json", "HEAD")
    for path, status in (("/secret", 404), ("/../etc/passwd", 404), ("/%2e%2e/%2e%2e/etc/passwd", 404), ("/sub%20dir", 404),
                         ("/%zz", 400), ("/none", 404)):
        expect(curl(base + path)[0].startswith(str(status)), f"{path}: {curl(base + path)[0]}")
    expect(curl("-X", "DELETE", f"{base}/data.json")[0].startswith("405"), "DELETE")
    done = lab.run("curl", "-sS", "--fail", "-T", "-", f"{base}/sink", input="x" * 300_000)
    expect(done.stdout.startswith("300000 "), f"a chunked body: {done.stdout!r}")


@case("the status page counts what clients did, in text and as JSON", needs=["curl"])
def http_status(lab):
    server = lab.server("sluice-httpd")
    talk(server, request("/bytes/9") * 40 + request("/none", CLOSE))
    page = json.loads(lab.run("curl", "-sS", "--fail", f"http://{server.ip}/status?json").stdout)["workers"][0]
    expect(page["requests"] == 41 and page["status"] == {"200": 40, "404": 1}, f"the page says {page}")
    expect(page["open"] == 1 and page["latency_us"]["samples"] > 0 and page["latency_us"]["max"] < 10_000_000, f"the page says {page}")
    text = lab.run("curl", "-sS", "--fail", f"http://{server.ip}/status").stdout
    expect("status_404 1\n" in text and "latency_us" in text, f"the page says {text!r}")


@case("a slow head gets 408, an idle connection a FIN", seconds=30)
def http_patience(lab):
    server = lab.server("sluice-httpd", "--patience", "2")
    expect(replies(talk(server, b"GET / HTTP/1.1\r\n"))[0][0] == 408, "a slow head")
    expect(talk(server, b"") == b"", "an idle client got octets")


@case("wrk's many connections are all answered", seconds=60, needs=["wrk"])
def http_wrk(lab):
    server = lab.server("sluice-httpd")
    done = lab.run("wrk", "-t", "1", "-c", "100", "-d", "3s", f"http://{server.ip}/bytes/64")
    expect("Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout)
    expect("requests in" in done.stdout and " 0 requests in" not in done.stdout, done.stdout)
