"""Three clients that answer alike: curl for HTTP/1.1 and HTTP/2, aioquic for HTTP/3."""

import asyncio
import re
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset

HOST = "matrix.example"
TIMEOUT = 60


@dataclass
class Answer:
    """A response. `interim` has the heads before it; `broken` is true where its end never came."""

    status: int = 0
    fields: dict = field(default_factory=dict)
    body: bytes = b""
    interim: list = field(default_factory=list)
    broken: bool = False

    @property
    def cache(self):
        return self.fields.get("cache-status", "")


class Curl:
    """One version of HTTP by curl. Each request has a connection of its own."""

    def __init__(self, option, port, root):
        self.option, self.port, self.root = option, port, root

    def ask(self, path, method="GET", fields=(), body=None):
        with tempfile.NamedTemporaryFile() as heads, tempfile.NamedTemporaryFile() as sent:
            command = ["curl", "-sS", self.option, "--cacert", self.root, "-D", heads.name, "-m", str(TIMEOUT)]
            command += ["--connect-to", f"::127.0.0.1:{self.port}"]
            if method == "HEAD":
                command.append("--head")
            if body is not None:
                sent.write(body)
                sent.flush()
                command += ["-X", method, "-H", "Content-Type: application/octet-stream", "-T", sent.name]
            for name, value in fields:
                command += ["-H", f"{name}: {value}"]
            done = subprocess.run(command + [f"https://{HOST}{path}"], capture_output=True, check=False)
            answer = self.read(open(heads.name, encoding="latin-1").read())
        # with --head curl prints the head where the body would be
        answer.body = b"" if method == "HEAD" else done.stdout
        answer.broken = done.returncode != 0
        return answer

    @staticmethod
    def read(text):
        answer = Answer()
        for head in re.split(r"\r?\n\r?\n", text):
            lines = head.strip().splitlines()
            if not lines:
                continue
            status = int(lines[0].split(" ")[1])
            fields = {}
            for line in lines[1:]:
                name, value = line.split(":", 1)
                fields[name.lower()] = value.strip()
            if status < 200:
                answer.interim.append((status, fields))
            else:
                answer.status, answer.fields = status, fields
        return answer


class Protocol(QuicConnectionProtocol):
    """Takes the events of one request's stream together."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.http = H3Connection(self._quic)
        self.answer, self.ended = Answer(), asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.answer.broken = True
            self.end()
        for event in self.http.handle_event(event):
            if isinstance(event, HeadersReceived):
                self.take(event)
            elif isinstance(event, DataReceived):
                self.answer.body += event.data
            if getattr(event, "stream_ended", False):
                self.end()

    def connection_lost(self, error):
        self.answer.broken |= not self.ended.done()
        self.end()

    def take(self, event):
        fields = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        status = int(fields.pop(":status", 0))
        if 100 <= status < 200:
            self.answer.interim.append((status, fields))
        elif status:
            self.answer.status, self.answer.fields = status, fields

    def end(self):
        if not self.ended.done():
            self.ended.set_result(None)


class Aioquic:
    """HTTP/3. Each request has a connection of its own."""

    def __init__(self, port, root):
        self.port, self.root = port, root

    def ask(self, path, method="GET", fields=(), body=None):
        return asyncio.run(asyncio.wait_for(self.exchange(path, method, fields, body), TIMEOUT))

    async def exchange(self, path, method, fields, body):
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=HOST)
        configuration.load_verify_locations(self.root)
        configuration.verify_mode = ssl.CERT_REQUIRED
        async with connect("127.0.0.1", self.port, configuration=configuration, create_protocol=Protocol) as client:
            stream = client._quic.get_next_available_stream_id()
            head = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)]
            head += [(name.lower(), value) for name, value in fields]
            if method == "HEAD":
                # aioquic takes every response for one with a body
                client.http._check_content_length = lambda _: None
            if body is not None:
                head.append(("content-length", str(len(body))))
            head = [(name.encode(), value.encode()) for name, value in head]
            client.http.send_headers(stream, head, end_stream=body is None)
            if body is not None:
                client.http.send_data(stream, body, end_stream=True)
            client.transmit()
            await client.ended
            return client.answer
