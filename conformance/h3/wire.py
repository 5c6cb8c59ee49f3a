"""HTTP/3 frame by frame over aioquic's QUIC, so that a client can also say what it must not."""

import asyncio
import ssl

import pylsqpack
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic import events

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
CONTROL, PUSH, ENCODER, DECODER = 0, 1, 2, 3
PATIENCE = 10


def number(value, length=None):
    """An integer of RFC 9000 section 16."""
    if length is None:
        length = 1 if value < 0x40 else 2 if value < 0x4000 else 4 if value < 0x40000000 else 8
    return (value | {1: 0, 2: 1, 4: 2, 8: 3}[length] << (8 * length - 2)).to_bytes(length, "big")


def frame(kind, payload=b""):
    return number(kind) + number(len(payload)) + payload


def prefixed(before, bits, value):
    """An integer of RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([before | value])
    out, value = [before | most], value - most
    while value >= 128:
        out.append(128 | value & 127)
        value >>= 7
    return bytes(out + [value])


def section(fields):
    """A field section of literals, in whatever order and case."""
    out = b"\0\0"
    for name, value in fields:
        name, value = name.encode(), value.encode()
        out += prefixed(0x20, 3, len(name)) + name + prefixed(0, 7, len(value)) + value
    return out


def headers(fields):
    return frame(HEADERS, section(fields))


class Answer:
    """What came back on one stream."""

    def __init__(self):
        self.heads, self.body, self.ended = [], b"", False
        self.reset = self.stopped = None
        self.changed = asyncio.Event()
        self._buffer = b""

    @property
    def status(self):
        final = [head for head in self.heads if not head[0][1].startswith(b"1")]
        return int(final[0][0][1]) if final else None

    def field(self, name):
        final = [head for head in self.heads if not head[0][1].startswith(b"1")]
        values = [value for key, value in (final[0] if final else []) if key == name.encode()]
        return values[0].decode() if values else None

    @property
    def interim(self):
        return [int(head[0][1]) for head in self.heads if head[0][1].startswith(b"1")]

    @property
    def trailers(self):
        return [head for head in self.heads if not head[0][0].startswith(b":")]

    def feed(self, stream, data, ended, decoder):
        self._buffer += data
        while True:
            parsed = self._next()
            if parsed is None:
                break
            kind, payload = parsed
            if kind == HEADERS:
                self.heads.append(decoder.feed_header(stream, payload)[1])
            elif kind == DATA:
                self.body += payload
        self.ended |= ended

    def _next(self):
        rest, numbers = self._buffer, []
        for _ in range(2):
            if not rest:
                return None
            length = 1 << (rest[0] >> 6)
            if len(rest) < length:
                return None
            value = int.from_bytes(rest[:length], "big") & (1 << (8 * length - 2)) - 1
            numbers.append(value)
            rest = rest[length:]
        kind, length = numbers
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return kind, rest[:length]


class Wire(QuicConnectionProtocol):
    """A connection on which nothing is sent but what a test sends."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers, self.beside = {}, {}
        self.decoder = pylsqpack.Decoder(0, 0)
        self.ended = asyncio.get_running_loop().create_future()
        self.retried = False

    def quic_event_received(self, event):
        if isinstance(event, events.ConnectionTerminated):
            if not self.ended.done():
                self.ended.set_result(event)
            for answer in self.answers.values():
                answer.changed.set()
        elif isinstance(event, events.StreamDataReceived):
            if event.stream_id % 4 == 0:
                answer = self.answers.setdefault(event.stream_id, Answer())
                answer.feed(event.stream_id, event.data, event.end_stream, self.decoder)
                answer.changed.set()
            else:
                self.beside[event.stream_id] = self.beside.get(event.stream_id, b"") + event.data
        elif isinstance(event, events.StreamReset) and event.stream_id % 4 == 0:
            answer = self.answers.setdefault(event.stream_id, Answer())
            answer.reset = event.error_code
            answer.changed.set()
        elif isinstance(event, events.StopSendingReceived) and event.stream_id % 4 == 0:
            answer = self.answers.setdefault(event.stream_id, Answer())
            answer.stopped = event.error_code
            answer.changed.set()

    def send(self, stream, data, end=False):
        self._quic.send_stream_data(stream, data, end)
        self.transmit()

    def beside_stream(self, kind, data=b"", end=False):
        stream = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.send(stream, number(kind) + data, end)
        return stream

    def settle(self):
        """The control stream, as it has to be."""
        return self.beside_stream(CONTROL, frame(SETTINGS))

    def open(self, data, end=True):
        """A request stream with these bytes."""
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.send(stream, data, end)
        return stream

    async def until(self, stream, is_enough):
        answer = self.answers[stream]
        async with asyncio.timeout(PATIENCE):
            while not is_enough(answer) and not self.ended.done():
                answer.changed.clear()
                await answer.changed.wait()
        return answer

    async def over(self, stream):
        """The answer on a stream, once it has ended one way or another."""
        return await self.until(stream, lambda answer: answer.ended or answer.reset is not None)

    async def termination(self):
        """The code that the connection was closed with."""
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.shield(self.ended)).error_code


def configuration(scene, **more):
    config = QuicConfiguration(is_client=True, alpn_protocols=["h3"], **more)
    config.server_name = scene["host"]
    config.load_verify_locations(scene["root"])
    config.verify_mode = ssl.CERT_REQUIRED
    return config


class Connected:
    """`async with Connected(scene) as wire`"""

    def __init__(self, scene, protocol=Wire, port=None, config=None, **more):
        self.scene, self.protocol = scene, protocol
        self.address = ("127.0.0.1", port or scene["port"])
        self.more = more
        self.config = config or configuration(scene)

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        quic = QuicConnection(configuration=self.config, **self.more)
        self.transport, self.wire = await loop.create_datagram_endpoint(
            lambda: self.protocol(quic), local_addr=("127.0.0.1", 0)
        )
        self.wire.connect(self.address)
        async with asyncio.timeout(PATIENCE):
            await self.wire.wait_connected()
        return self.wire

    async def __aexit__(self, *_):
        self.wire.close()
        self.transport.close()
