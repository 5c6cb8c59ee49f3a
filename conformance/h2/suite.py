"""What a hostile client of HTTP/2 may try: floods, and requests that would mean something else in HTTP/1.1.

suite.py STAND [HTTPWG]: starts STAND (conformance's program `h2`), tries everything, runs HTTPWG too where it is there, and
compares with expected.toml. Exit code 0 when everything is as the file says, else 1. Needs Python 3.11, and hpack and
hyperframe from PyPI.
"""

import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from pathlib import Path

import hpack
from hyperframe import frame as frames

HOST = "raw.example"
PATIENCE = 10
CALM = 11


class Origin(socketserver.ThreadingTCPServer):
    """Keeps what it is sent, byte by byte, and answers 200."""

    daemon_threads = True
    allow_reuse_address = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.settimeout(PATIENCE)
            seen = b""
            while True:
                try:
                    more = self.request.recv(65536)
                except OSError:
                    return
                if not more:
                    return
                seen += more
                while b"\r\n\r\n" in seen:
                    head, _, rest = seen.partition(b"\r\n\r\n")
                    self.server.heads.append(head)
                    length = re.search(rb"(?im)^content-length: *(\d+)", head)
                    body = int(length[1]) if length else 0
                    if b"chunked" in head.lower():
                        while b"0\r\n\r\n" not in rest:
                            rest += self.request.recv(65536)
                        rest = rest.partition(b"0\r\n\r\n")[2]
                    while len(rest) < body:
                        rest += self.request.recv(65536)
                    seen = rest[body:]
                    reply = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\nx"
                    self.request.sendall(reply)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.heads = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Conn:
    """One connection, frame by frame."""

    def __init__(self, address, settings=None):
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.buffer, self.goaway, self.resets, self.status, self.ended = b"", None, {}, {}, set()
        self.is_closed = False
        first = frames.SettingsFrame(0)
        first.settings = settings or {}
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + first.serialize())

    def send(self, raw):
        try:
            self.socket.sendall(raw)
        except OSError:
            self.is_closed = True

    def headers(self, stream, fields, end=True, raw=None):
        self.send(self.block(stream, fields, end, raw))

    def block(self, stream, fields, end=True, raw=None):
        frame = frames.HeadersFrame(stream)
        frame.data = self.encoder.encode(fields, huffman=False) if raw is None else raw
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def data(self, stream, bytes_, end=True):
        frame = frames.DataFrame(stream)
        frame.data = bytes_
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame.serialize())

    def read(self, until, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not until() and not self.is_closed and time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, min(0.2, deadline - time.monotonic())))
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                more = b""
            if not more:
                self.is_closed = True
                break
            self.buffer += more
            self.parse()

    def parse(self):
        while len(self.buffer) >= 9:
            frame, length = frames.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                return
            body, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            frame.parse_body(memoryview(body))
            stream = frame.stream_id
            if isinstance(frame, frames.GoAwayFrame):
                # the first one of a graceful end says nothing yet
                self.goaway = frame.error_code
            elif isinstance(frame, frames.RstStreamFrame):
                self.resets[stream] = frame.error_code
            elif isinstance(frame, frames.HeadersFrame):
                fields = dict(self.decoder.decode(frame.data))
                status = int(fields.get(":status", self.status.get(stream, 0)))
                if status >= 200:
                    self.status[stream] = status
            elif isinstance(frame, frames.SettingsFrame) and "ACK" not in frame.flags:
                self.send(frames.SettingsFrame(0, flags=["ACK"]).serialize())
            if "END_STREAM" in frame.flags:
                self.ended.add(stream)

    def is_over(self, stream):
        return lambda: stream in self.resets or stream in self.ended or self.goaway is not None


def request(path="/", method="GET", scheme="http", authority=HOST, extra=()):
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *extra]


def literal(fields):
    """A block that an encoder with scruples would not write."""
    out = b""
    for name, value in fields:
        name, value = (part if isinstance(part, bytes) else part.encode("latin-1") for part in (name, value))
        out += b"\x00" + number(len(name)) + name + number(len(value)) + value
    return out


def number(value):
    if value < 127:
        return bytes([value])
    out, value = b"\x7f", value - 127
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


# --- floods: the connection must end, and soon, with ENHANCE_YOUR_CALM


def flood(address, one, most, settings=None):
    """Sends what `one` makes, at most so often. What the server ended the connection for, and after how many."""
    conn = Conn(address, settings)
    sent = 0
    while sent < most and conn.goaway is None and not conn.is_closed:
        conn.send(b"".join(one(conn, sent + n) for n in range(100)))
        sent += 100
        conn.read(lambda: True, 0)
        try:
            conn.socket.setblocking(False)
            conn.buffer += conn.socket.recv(1 << 20)
            conn.parse()
        except BlockingIOError:
            pass
        except OSError:
            conn.is_closed = True
        finally:
            conn.socket.setblocking(True)
    conn.read(lambda: conn.goaway is not None)
    return conn.goaway, sent


def reset(stream):
    frame = frames.RstStreamFrame(stream)
    frame.error_code = 8
    return frame.serialize()


def rapid_reset(conn, n):
    stream = 2 * n + 1
    return conn.block(stream, request(f"/slow/{n}")) + reset(stream)


def made_you_reset(conn, n):
    stream = 2 * n + 1
    return conn.block(stream, request(f"/{n}")) + b"\0\0\4\x08\0" + stream.to_bytes(4) + b"\x7f\xff\xff\xff"


def unanswered(conn, n):
    return conn.block(2 * n + 1, request("/slow"))


FLOODS = {
    "rapid-reset": (rapid_reset, 20_000),
    "made-you-reset": (made_you_reset, 20_000),
    "settings": (lambda conn, n: b"\0\0\0\4\0\0\0\0\0", 100_000),
    "ping": (lambda conn, n: b"\0\0\x08\6\0\0\0\0\0" + n.to_bytes(8), 100_000),
    "empty-data": (lambda conn, n: (conn.block(1, request("/up", "POST"), end=False) if n == 0 else b"")
                   + b"\0\0\0\0\0\0\0\0\1", 100_000),
    "priority": (lambda conn, n: b"\0\0\5\2\0\0\0\0\3\0\0\0\1\x10", 100_000),
    "window-update": (lambda conn, n: b"\0\0\4\x08\0\0\0\0\0\0\0\0\1", 100_000),
    "unknown-frames": (lambda conn, n: b"\0\0\0\xfa\0\0\0\0\0", 100_000),
    "continuation": (lambda conn, n: b"\0\0\1\1\0\0\0\0\1\x82" if n == 0
                     else b"\0\0\5\x09\0\0\0\0\1" + literal([("x", "y")]), 100_000),
    "one-byte-data": (lambda conn, n: (conn.block(1, request("/slow", "POST"), end=False) if n == 0 else b"")
                      + b"\0\0\1\0\0\0\0\0\1x", 200_000),
    "streams-beyond-limit": (unanswered, 20_000),
}


def hpack_bomb(address):
    """One field in the dynamic table, said again and again."""
    conn = Conn(address)
    big = literal([("x-big", "v" * 3900)]).replace(b"\x00", b"\x40", 1)
    conn.headers(1, [], raw=literal(request("/bomb")) + big + b"\xbe" * 12_000)
    conn.read(conn.is_over(1))
    return conn.status.get(1) == 431 or conn.goaway is not None or 1 in conn.resets


def window_zero(address, admin):
    """Asks for much and takes nothing: other clients are answered."""
    conn = Conn(address, {frames.SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    for n in range(100):
        conn.headers(2 * n + 1, request("/1m", authority="a.example"))
    conn.read(lambda: len(conn.status) == 100)
    return len(conn.status) == 100 and is_alive(address)


def slow_head(address):
    """Begins a head and does not end it."""
    conn = Conn(address)
    conn.send(b"\0\0\1\1\0\0\0\0\1\x82")
    began = time.monotonic()
    conn.read(lambda: conn.goaway is not None)
    return (conn.is_closed or conn.goaway is not None) and time.monotonic() - began < 6


def is_alive(address):
    conn = Conn(address)
    conn.headers(1, request("/1k", authority="a.example"))
    conn.read(conn.is_over(1))
    return conn.status.get(1) == 200


# --- requests that would be something else in HTTP/1.1

def tricks():
    ok = request("/t")
    def with_(*extra, **changes):
        return request(**{"path": "/t", **changes}, extra=extra)
    post = {"method": "POST"}
    long = "1" * 20
    return {
        # name: (fields, body)
        "crlf-in-value": (with_(("x", "a\r\nevil: 1")), None),
        "lf-in-value": (with_(("x", "a\nevil: 1")), None),
        "cr-in-value": (with_(("x", "a\rb")), None),
        "nul-in-value": (with_(("x", "a\0b")), None),
        "crlf-in-name": (with_(("x\r\nevil", "1")), None),
        "colon-in-name": (with_(("x: evil", "1")), None),
        "space-in-name": (with_(("x y", "1")), None),
        "upper-case-name": (with_(("X-Evil", "1")), None),
        "empty-name": (with_(("", "1")), None),
        "crlf-in-path": (with_(path="/t HTTP/1.1\r\nevil: 1\r\nx: "), None),
        "space-in-path": (with_(path="/t HTTP/1.1"), None),
        "nul-in-path": (with_(path="/t\0"), None),
        "tab-in-path": (with_(path="/t\tx"), None),
        "raw-utf8-in-path": (with_(path="/\xc3\xa9"), None),
        "relative-path": (with_(path="t"), None),
        "absolute-path": (with_(path="http://evil.example/"), None),
        "empty-path": (with_(path=""), None),
        "crlf-in-method": (with_(method="GET / HTTP/1.1\r\nevil: 1\r\n"), None),
        "space-in-method": (with_(method="GET /evil"), None),
        "empty-method": (with_(method=""), None),
        "crlf-in-authority": (with_(authority="raw.example\r\nevil: 1"), None),
        "userinfo-in-authority": (with_(authority="evil@raw.example"), None),
        "path-in-authority": (with_(authority="raw.example/evil"), None),
        "no-authority": ([pair for pair in ok if pair[0] != ":authority"], None),
        "two-authorities": (ok[:3] + [(":authority", "evil.example")] + ok[3:], None),
        "other-host": (with_(("host", "evil.example")), None),
        "two-hosts": (with_(("host", HOST), ("host", HOST)), None),
        "two-paths": (ok + [(":path", "/evil")], None),
        "scheme-with-rest": (with_(scheme="http://evil/?x="), None),
        "other-scheme": (with_(scheme="https"), None),
        "pseudo-after-field": (ok[:3] + [("x", "1")] + ok[3:], None),
        "unknown-pseudo": (ok + [(":evil", "1")], None),
        "transfer-encoding": (with_(("transfer-encoding", "chunked"), **post), b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"),
        "connection": (with_(("connection", "x-forwarded-for")), None),
        "upgrade": (with_(("upgrade", "h2c")), None),
        "keep-alive": (with_(("keep-alive", "1")), None),
        "te-gzip": (with_(("te", "gzip")), None),
        "length-too-short": (with_(("content-length", "1"), **post), b"xGET /evil HTTP/1.1\r\n\r\n"),
        "length-too-long": (with_(("content-length", "100"), **post), b"x"),
        "two-lengths": (with_(("content-length", "1"), ("content-length", "5"), **post), b"xxxxx"),
        "huge-length": (with_(("content-length", long), **post), b"x"),
    }


def try_trick(address, origin, fields, body):
    before = len(origin.heads)
    conn = Conn(address)
    conn.headers(1, [], end=body is None, raw=literal(fields))
    if body is not None:
        conn.data(1, body)
    conn.read(conn.is_over(1))
    # what a flood asked for may come late
    heads = [head for head in origin.heads[before:] if not re.match(rb"\w+ /(slow|up|bomb|\d)", head)]
    dirty = [head for head in heads if b"evil" in head.lower() or b"\n" in head.replace(b"\r\n", b"")]
    if dirty or len(heads) > 1:
        return f"passed dirty: {dirty or heads}"
    status = conn.status.get(1)
    if 1 in conn.resets or conn.goaway is not None or (status or 0) >= 400:
        return None
    return f"answered {status}"


def run(stand, httpwg):
    origin = Origin()
    env = {**os.environ, "H2_ORIGIN": "http://127.0.0.1:%d" % origin.server_address[1]}
    stand = subprocess.Popen([stand, ".", "sh", "-c", "env; exec cat"], env=env, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    world = {}
    while "EDGE_PID" not in world or "EDGE_H2C" not in world or "EDGE_ADMIN" not in world:
        name, _, value = stand.stdout.readline().strip().partition("=")
        world[name] = value
    split = lambda text: (text.rpartition(":")[0], int(text.rpartition(":")[2]))
    address, admin = split(world["EDGE_H2C"]), world["EDGE_ADMIN"]
    found = {}
    try:
        for name, (one, most) in FLOODS.items():
            code, sent = flood(address, one, most)
            calm = None if code == CALM else f"ended with {code} after {sent}"
            found[f"flood/{name}"] = calm if is_alive(address) else "nobody else is answered"
            print(f"flood/{name}: {'ended' if calm is None else calm} within {sent} frames")
        found["flood/hpack-bomb"] = None if hpack_bomb(address) else "taken"
        found["flood/window-zero"] = None if window_zero(address, admin) else "others wait"
        found["flood/slow-head"] = None if slow_head(address) else "waited for"
        for name, (fields, body) in tricks().items():
            found[f"trick/{name}"] = try_trick(address, origin, fields, body)
        page = urllib.request.urlopen(f"http://{admin}/metrics").read().decode()
        floods = re.search(r"(?m)^longshore_edge_http2_floods_total (\d+)", page)
        found["metrics/floods"] = None if floods and int(floods[1]) >= len(FLOODS) - 2 else "not counted"
        if httpwg:
            found |= rfc9113(httpwg, world["EDGE_H2C"])
    finally:
        stand.stdin.close()
        stand.wait(PATIENCE)
    return found


def rfc9113(program, address):
    """The cases of httpwg-cli, of which it prints the failures and the count."""
    options = ["--address", address, "--frame-timeout", "4000", "--connect-timeout", "4000"]
    said = subprocess.run([program, *options], capture_output=True, text=True, timeout=120)
    said = re.sub(r"\x1b\[[0-9;]*m", "", said.stdout + said.stderr)
    failed = re.findall(r"Test failed: RFC 9113 :: (.*)", said)
    for panic in said.split("The application panicked")[1:]:
        place = re.search(r"httpwg::rfc9113::_\d+_(\w+)::(\w+)::", panic.partition("Run with")[0])
        failed += [f"{place[1]} :: {place[2]}".replace("_", " ")] if place else []
    passed, total = map(int, re.search(r"Passed (\d+)/(\d+)", said).groups())
    print(f"httpwg: {passed} of {total}")
    found = {"rfc9113/" + re.sub(r"^\d+\. ", "", name.strip()): "failed" for name in failed}
    if total != 107 or total - passed != len(set(failed)):
        found["rfc9113/count"] = f"{passed} of {total} passed, {len(failed)} named"
    return found


def main():
    expected = tomllib.loads((Path(__file__).parent / "expected.toml").read_text())
    sometimes = expected.pop("sometimes", {})
    found = run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    ran = {name.partition("/")[0] for name in found}
    wrong = 0
    for name in sorted((found.keys() | expected.keys()) - sometimes.keys()):
        failure, reason = found.get(name), expected.get(name)
        if failure and not reason:
            print(f"new failure  {name}: {failure}")
        elif reason and not failure and (name.partition("/")[0] in ran or len(sys.argv) > 2):
            print(f"new pass     {name}: take it out of the file")
        else:
            continue
        wrong += 1
    refused = sum(failure is None for name, failure in found.items() if name.startswith("trick/"))
    print(f"{refused} of {len(tricks())} tricks refused; {wrong} differences from expected.toml")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
