"""What every protocol must do alike, here over HTTP/3 as aioquic speaks it."""

import asyncio
import http.client
import socket
import ssl
import time

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection

from wire import DATA, PATIENCE, Connected, configuration, frame, headers

CASES = []
LONG = 120


def case(rule):
    def add(test):
        CASES.append((test.__name__.replace("_", "-"), rule, test))
        return test
    return add


class Reply:
    def __init__(self):
        self.heads, self.length, self.body, self.reset = [], 0, b"", None
        self.over = asyncio.Event()

    @property
    def status(self):
        return int(dict(self.heads[0])[b":status"])

    def field(self, name):
        return dict(self.heads[0]).get(name.encode(), b"").decode()


class Http3(QuicConnectionProtocol):
    """A client as others write them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http, self.replies, self.closed = H3Connection(self._quic), {}, asyncio.Event()

    def quic_event_received(self, event):
        if isinstance(event, events.StreamReset) and event.stream_id in self.replies:
            self.replies[event.stream_id].reset = event.error_code
            self.replies[event.stream_id].over.set()
        if isinstance(event, events.ConnectionTerminated):
            self.closed.set()
            for reply in self.replies.values():
                reply.over.set()
        for item in self.http.handle_event(event):
            reply = self.replies.get(item.stream_id)
            if reply is None:
                continue
            if isinstance(item, HeadersReceived):
                reply.heads.append(item.headers)
            elif isinstance(item, DataReceived):
                reply.length += len(item.data)
                if reply.length < 1 << 20:
                    reply.body += item.data
            if item.stream_ended:
                reply.over.set()

    def begin(self, scene, method, path, fields=(), ends=True):
        stream = self._quic.get_next_available_stream_id()
        head = [(b":method", method.encode()), (b":scheme", b"https"),
                (b":authority", scene["host"].encode()), (b":path", path.encode())]
        head += [(name.encode(), value.encode()) for name, value in fields]
        self.replies[stream] = Reply()
        self.http.send_headers(stream, head, end_stream=ends)
        self.transmit()
        return stream

    async def ask(self, scene, method, path, fields=(), body=None, patience=PATIENCE):
        stream = self.begin(scene, method, path, fields, ends=body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=True)
            self.transmit()
        async with asyncio.timeout(patience):
            await self.replies[stream].over.wait()
        return self.replies[stream]


def get_by_h1(scene, path):
    context = ssl.create_default_context(cafile=scene["root"])
    context.set_alpn_protocols(["http/1.1"])
    with socket.create_connection(("127.0.0.1", scene["port"])) as tcp:
        with context.wrap_socket(tcp, server_hostname=scene["host"]) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {scene['host']}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()


@case("miss, then hit, with the same body")
async def miss_and_hit(scene):
    async with Connected(scene, Http3) as client:
        first = await client.ask(scene, "GET", "/cached/one")
        second = await client.ask(scene, "GET", "/cached/one")
    assert (first.status, second.status) == (200, 200)
    assert "fwd=uri-miss" in first.field("cache-status"), first.field("cache-status")
    assert "; hit" in second.field("cache-status"), second.field("cache-status")
    assert first.body == second.body == b"cached" and second.field("content-length") == "6"
    assert second.field("date") and second.field("age")
    for head in (first.heads[0], second.heads[0]):
        assert not {b"connection", b"transfer-encoding", b"keep-alive"} & {name for name, _ in head}


@case("what one protocol stores is a hit by the others")
async def shared_store(scene):
    loop = asyncio.get_running_loop()
    status, fields, body = await loop.run_in_executor(None, get_by_h1, scene, "/cached/by-h1")
    assert (status, body) == (200, b"cached") and "fwd=uri-miss" in fields["cache-status"]
    assert fields["alt-svc"] == f'h3=":{scene["port"]}"; ma=86400', fields.get("alt-svc")
    async with Connected(scene, Http3) as client:
        assert "; hit" in (await client.ask(scene, "GET", "/cached/by-h1")).field("cache-status")
        await client.ask(scene, "GET", "/cached/by-h3")
    status, fields, body = await loop.run_in_executor(None, get_by_h1, scene, "/cached/by-h3")
    assert "; hit" in fields["cache-status"] and "alt-svc" in fields


@case("HEAD has a length and no body, from the origin and from the store")
async def head(scene):
    # aioquic's HTTP/3 takes the length of an answer to HEAD for that of a body, and closes
    base = [(":scheme", "https"), (":authority", scene["host"]), (":path", "/cached/head")]
    async with Connected(scene) as wire:
        wire.settle()
        for hit in (False, True):
            answer = await wire.over(wire.open(headers([(":method", "HEAD")] + base)))
            assert (answer.status, answer.body, answer.ended) == (200, b"", True), answer.heads
            assert answer.field("content-length") == "6", answer.heads
            assert ("; hit" in answer.field("cache-status")) == hit, answer.heads
            await wire.over(wire.open(headers([(":method", "GET")] + base)))


@case("a range is 206 with that part; one that can't be is 416")
async def ranges(scene):
    async with Connected(scene, Http3) as client:
        await client.ask(scene, "GET", "/large")
        reply = await client.ask(scene, "GET", "/large", [("range", "bytes=2-5")])
        assert (reply.status, reply.length) == (206, 4), reply.status
        assert reply.field("content-range") == f"bytes 2-5/{scene['large']}"
        reply = await client.ask(scene, "GET", "/large", [("range", "bytes=99999999999-")])
        assert reply.status == 416, reply.status


@case("a condition that holds is 304 without a body")
async def conditional(scene):
    async with Connected(scene, Http3) as client:
        await client.ask(scene, "GET", "/cached/etag")
        reply = await client.ask(scene, "GET", "/cached/etag", [("if-none-match", '"v1"')])
        assert (reply.status, reply.length, reply.reset) == (304, 0, None), reply.status
        reply = await client.ask(scene, "GET", "/empty")
        assert (reply.status, reply.length, reply.reset) == (204, 0, None), reply.status


@case("a body of a megabyte is whole, from the origin and from the store")
async def large(scene):
    async with Connected(scene, Http3) as client:
        for _ in range(2):
            reply = await client.ask(scene, "GET", "/large", patience=LONG)
            assert (reply.status, reply.length) == (200, scene["large"]), reply.length


@case("a body without a length is whole")
async def chunked(scene):
    async with Connected(scene, Http3) as client:
        reply = await client.ask(scene, "GET", "/chunked")
        assert (reply.status, reply.body) == (200, b"first second"), reply.body


@case("a POST of 50 MB reaches the origin, and its answer the client")
async def upload(scene):
    body = bytes(50_000_000)
    async with Connected(scene, Http3) as client:
        reply = await client.ask(scene, "POST", "/upload", [("content-length", str(len(body)))],
                                 body, patience=LONG)
        assert (reply.status, reply.body) == (200, b"received"), reply.status


@case("a stale response answers while it is validated")
async def stale_while_revalidate(scene):
    async with Connected(scene, Http3) as client:
        first = await client.ask(scene, "GET", "/stale")
        second = await client.ask(scene, "GET", "/stale")
        assert (first.status, second.status) == (200, 200)
        assert "hit" in second.field("cache-status") or "fwd=stale" in second.field("cache-status")
        assert int(second.field("age")) >= 10, second.field("age")


@case("interim responses come before the final one")
async def interim(scene):
    async with Connected(scene) as wire:
        wire.settle()
        base = [(":method", "GET"), (":scheme", "https"), (":authority", scene["host"])]
        answer = await wire.over(wire.open(headers(base + [(":path", "/hints")])))
        assert (answer.status, answer.interim, answer.body) == (200, [103], b"final"), answer.heads
        fields = [(":method", "POST")] + base[1:] + [(":path", "/echo"), ("content-length", "3"),
                                                     ("expect", "100-continue")]
        stream = wire.open(headers(fields), end=False)
        await wire.until(stream, lambda answer: answer.interim)
        wire.send(stream, frame(DATA, b"abc"), end=True)
        answer = await wire.over(stream)
        assert (answer.status, answer.interim[0], answer.body) == (200, 100, b"abc"), answer.heads


@case("what the origin breaks off is reset, and never a short 200")
async def truncated(scene):
    async with Connected(scene, Http3) as client:
        for path in ("/truncated", "/truncated-chunked"):
            reply = await client.ask(scene, "GET", path)
            assert reply.reset is not None or reply.status == 502, (path, reply.status, reply.length)
        assert (await client.ask(scene, "GET", "/hit")).status == 200


@case("trailers of a response reach the client")
async def trailers(scene):
    async with Connected(scene, Http3) as client:
        reply = await client.ask(scene, "POST", "/trailers", [("te", "trailers")], b"asked")
        assert (reply.status, reply.body) == (200, b"data"), reply.status
        assert len(reply.heads) == 2 and (b"grpc-status", b"0") in reply.heads[1], reply.heads


@case("a hundred requests at once")
async def many(scene):
    async with Connected(scene, Http3) as client:
        await client.ask(scene, "GET", "/hit")
        replies = await asyncio.gather(*[client.ask(scene, "GET", "/hit", patience=LONG) for _ in range(100)])
        assert all((reply.status, reply.body) == (200, b"hit") for reply in replies)


@case("a client that gives up harms nobody but itself")
async def cancelled(scene):
    async with Connected(scene, Http3) as client:
        for _ in range(20):
            stream = client.begin(scene, "GET", "/large")
            client._quic.stop_stream(stream, 0x10C)
            client.transmit()
        assert (await client.ask(scene, "GET", "/hit")).status == 200


@case("requests that are given up without end end the connection with H3_EXCESSIVE_LOAD")
async def resets(scene):
    async with Connected(scene) as wire:
        wire.settle()
        base = [(":method", "GET"), (":scheme", "https"), (":authority", scene["host"]), (":path", "/hit")]
        for _ in range(40):
            if wire.ended.done():
                break
            while True:
                number = wire._quic._local_next_stream_id_bidi // 4
                if number >= wire._quic._remote_max_streams_bidi:
                    break
                stream = wire._quic.get_next_available_stream_id()
                wire._quic.send_stream_data(stream, headers(base)[:-3], False)
                wire._quic.reset_stream(stream, 0x10C)
            wire.transmit()
            await asyncio.sleep(0.02)
        code = await wire.termination()
        assert code == 0x107, f"{code:#x}"


@case("a connection goes on after the client's port has changed (RFC 9000 9)")
async def migration(scene):
    async with Connected(scene, Http3) as client:
        assert (await client.ask(scene, "GET", "/hit")).status == 200
        before = client._transport
        loop = asyncio.get_running_loop()
        after, _ = await loop.create_datagram_endpoint(
            lambda: Relay(client), local_addr=("127.0.0.1", 0))
        client._transport = after
        client._quic.change_connection_id()
        for _ in range(3):
            reply = await client.ask(scene, "GET", "/cached/moved")
            assert (reply.status, reply.body) == (200, b"cached"), reply.status
        assert (await client.ask(scene, "GET", "/large", patience=LONG)).length == scene["large"]
        client._transport = before
        after.close()


class Relay(asyncio.DatagramProtocol):
    """Hands what comes to another port to a connection."""

    def __init__(self, client):
        self.client = client

    def datagram_received(self, data, address):
        self.client.datagram_received(data, address)


@case("before its address is validated, a client is sent no more than three times what it sent (RFC 9000 8.1)")
async def amplification(scene):
    loop = asyncio.get_running_loop()
    received = []

    class Silent(asyncio.DatagramProtocol):
        def datagram_received(self, data, _):
            received.append(len(data))

    transport, _ = await loop.create_datagram_endpoint(Silent, local_addr=("127.0.0.1", 0))
    quic = QuicConnection(configuration=configuration(scene))
    quic.connect(("127.0.0.1", scene["port"]), now=time.time())
    sent = 0
    for data, _ in quic.datagrams_to_send(now=time.time()):
        transport.sendto(data, ("127.0.0.1", scene["port"]))
        sent += len(data)
    # every retransmission of an answer that is never acknowledged comes within this time
    await asyncio.sleep(3)
    transport.close()
    assert received and sum(received) <= 3 * sent, (sent, received)
    scene["measured"]["amplification"] = round(sum(received) / sent, 2)


@case("an unknown version is answered with those that are known (RFC 9000 6)")
async def version_negotiation(scene):
    packet = bytes([0xC0]) + b"\x1a\x2a\x3a\x4a" + b"\x08" + bytes(8) + b"\x08" + bytes(8) + bytes(1200)
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    class Probe(asyncio.DatagramProtocol):
        def datagram_received(self, data, _):
            if not answered.done():
                answered.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Probe, local_addr=("127.0.0.1", 0))
    transport.sendto(packet, ("127.0.0.1", scene["port"]))
    async with asyncio.timeout(PATIENCE):
        data = await answered
    transport.close()
    assert data[1:5] == bytes(4) and b"\0\0\0\x01" in data[5:], data


@case("a packet of a connection that nobody knows is answered with a stateless reset (RFC 9000 10.3)")
async def stateless_reset(scene):
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    class Probe(asyncio.DatagramProtocol):
        def datagram_received(self, data, _):
            if not answered.done():
                answered.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Probe, local_addr=("127.0.0.1", 0))
    transport.sendto(bytes([0x40]) + b"abcdefgh" + bytes(100), ("127.0.0.1", scene["port"]))
    async with asyncio.timeout(PATIENCE):
        data = await answered
    transport.close()
    assert 21 <= len(data) < 109, len(data)


@case("with early_data, a safe request comes with the first packet, and others are 425 (RFC 8470)")
async def early_data(scene):
    tickets = []
    early = dict(port=scene["early_port"], session_ticket_handler=tickets.append)
    async with Connected(scene, Http3, config=configuration(scene), **early) as client:
        assert (await client.ask(scene, "GET", "/early")).status == 200
        await asyncio.sleep(0.2)
    assert tickets and tickets[0].max_early_data_size == 0xFFFFFFFF, "no ticket for early data"
    for method, status in (("GET", 200), ("POST", 425)):
        config = configuration(scene)
        config.session_ticket = tickets.pop(0)
        loop = asyncio.get_running_loop()
        quic = QuicConnection(configuration=config)
        transport, client = await loop.create_datagram_endpoint(
            lambda: Http3(quic), local_addr=("127.0.0.1", 0))
        client.connect(("127.0.0.1", scene["early_port"]), transmit=False)
        stream = client.begin(scene, method, "/early")
        async with asyncio.timeout(PATIENCE):
            await client.replies[stream].over.wait()
        reply = client.replies[stream]
        assert quic.tls.early_data_accepted, "early data was not taken"
        assert reply.status == status, (method, reply.status)
        if method == "GET":
            assert reply.body == b"early", reply.body
        client.close()
        transport.close()
