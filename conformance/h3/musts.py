"""What a server must do with what clients must not: RFC 9114, RFC 9204, RFC 9000, one case for each rule."""

import asyncio

from wire import (
    CANCEL_PUSH, CONTROL, DATA, DECODER, ENCODER, GOAWAY, HEADERS, MAX_PUSH_ID, PUSH, PUSH_PROMISE,
    SETTINGS, Connected, frame, headers, number, prefixed, section,
)

NO_ERROR, STREAM_CREATION, CLOSED_CRITICAL, UNEXPECTED, FRAME, LOAD, ID = (
    0x100, 0x103, 0x104, 0x105, 0x106, 0x107, 0x108)
SETTING, MISSING, INCOMPLETE, MESSAGE = 0x109, 0x10A, 0x10D, 0x10E
DECOMPRESSION, ENCODER_ERROR, DECODER_ERROR = 0x200, 0x201, 0x202

MUSTS = []


def must(rule):
    def add(case):
        MUSTS.append((case.__name__.replace("_", "-"), rule, case))
        return case
    return add


def get(scene, but=(), more=(), path="/hit"):
    base = [(":method", "GET"), (":scheme", "https"), (":authority", scene["host"]), (":path", path)]
    return [field for field in base if field[0] not in but] + list(more)


async def malformed(scene, *requests, code=MESSAGE):
    """Each must be answered with 4xx or reset, and never with a success; the connection goes on."""
    for request in requests:
        async with Connected(scene) as wire:
            wire.settle()
            data, end = request if isinstance(request, tuple) else (request, True)
            stream = wire.open(data, end)
            answer = await wire.over(stream)
            refused = answer.reset in (code, INCOMPLETE) or answer.status in (400, 421, 431, 501)
            assert refused, f"{data[:60]!r}: status {answer.status}, reset {answer.reset}"
            again = await wire.over(wire.open(headers(get(scene))))
            assert again.status == 200, f"after {data[:60]!r}: {again.status}"


async def ends(scene, *says, codes):
    """Each ends the connection, with one of these codes."""
    for say in says:
        async with Connected(scene) as wire:
            say(wire)
            code = await wire.termination()
            assert code in codes, f"closed with {code:#x}"


@must("RFC 9114 4.3.1: exactly one :method, :scheme and :path")
async def missing_pseudo_fields(scene):
    await malformed(scene, *[headers(get(scene, but=[name])) for name in
                             (":method", ":scheme", ":path", ":authority")])


@must("RFC 9114 4.3.1: exactly one of each")
async def duplicate_pseudo_fields(scene):
    await malformed(scene, *[headers(get(scene, more=[field])) for field in get(scene)])


@must("RFC 9114 4.3: pseudo-header fields before regular ones")
async def pseudo_field_after_regular(scene):
    fields = get(scene, but=[":path"], more=[("accept", "*/*"), (":path", "/hit")])
    await malformed(scene, headers(fields))


@must("RFC 9114 4.3: no others than those defined for requests")
async def unknown_pseudo_fields(scene):
    await malformed(scene, headers(get(scene, more=[(":status", "200")])),
                    headers(get(scene, more=[(":other", "1")])))


@must("RFC 9114 4.2: field names in lower case")
async def upper_case_name(scene):
    await malformed(scene, headers(get(scene, more=[("Accept", "*/*")])))


@must("RFC 9114 10.3: no invalid names and values")
async def invalid_field(scene):
    await malformed(scene, headers(get(scene, more=[("a b", "c")])),
                    headers(get(scene, more=[("a", "b\r\nc: d")])),
                    headers(get(scene, more=[("a", "b\0c")])))


@must("RFC 9114 4.2: no connection-specific fields")
async def connection_fields(scene):
    await malformed(scene, *[headers(get(scene, more=[field])) for field in (
        ("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"), ("upgrade", "h2c"))])


@must("RFC 9114 4.2: TE is trailers or nothing")
async def te(scene):
    await malformed(scene, headers(get(scene, more=[("te", "gzip")])))
    async with Connected(scene) as wire:
        wire.settle()
        answer = await wire.over(wire.open(headers(get(scene, more=[("te", "trailers")]))))
        assert answer.status == 200


@must("RFC 9114 4.1.2: the body is as long as Content-Length says")
async def wrong_length(scene):
    fields = get(scene, but=[":method"], more=[("content-length", "5")], path="/echo")
    head = headers([(":method", "POST")] + fields)
    await malformed(scene, head + frame(DATA, b"abc"), head + frame(DATA, b"abcdefgh"), head)
    two = headers(get(scene, more=[("content-length", "0"), ("content-length", "1")]))
    await malformed(scene, two)


@must("RFC 9114 4.1: DATA before HEADERS is H3_FRAME_UNEXPECTED")
async def data_first(scene):
    await ends(scene, lambda wire: (wire.settle(), wire.open(frame(DATA, b"abc"))), codes=[UNEXPECTED])


@must("RFC 9114 4.1: nothing after trailers")
async def frames_after_trailers(scene):
    head = headers([(":method", "POST")] + get(scene, but=[":method"], path="/echo"))
    body = head + frame(DATA, b"abc") + headers([("a", "b")])
    await ends(scene, *[lambda wire, more=more: (wire.settle(), wire.open(body + more)) for more in
                        (headers([("a", "b")]), frame(DATA, b"abc"))], codes=[UNEXPECTED])


@must("RFC 9114 4.3: no pseudo-header fields in trailers")
async def pseudo_field_in_trailers(scene):
    head = headers([(":method", "POST")] + get(scene, but=[":method"], path="/echo"))
    await malformed(scene, head + frame(DATA, b"abc") + headers([(":path", "/")]))


@must("RFC 9114 4.1: a request that ends without a head is incomplete")
async def no_head(scene):
    await malformed(scene, b"", code=INCOMPLETE)


@must("RFC 9114 7.2.4: one SETTINGS, without settings of HTTP/2 and without doubles")
async def settings(scene):
    control = lambda data: lambda wire: wire.beside_stream(CONTROL, data)
    await ends(scene, control(frame(SETTINGS) * 2), codes=[UNEXPECTED])
    await ends(scene, control(frame(SETTINGS, b"\x02\x01")), control(frame(SETTINGS, b"\x06\x01\x06\x02")),
               codes=[SETTING])
    await ends(scene, lambda wire: (wire.settle(), wire.open(headers(get(scene)) + frame(SETTINGS))),
               codes=[UNEXPECTED])


@must("RFC 9114 6.2.1: SETTINGS is the first frame")
async def settings_not_first(scene):
    await ends(scene, *[lambda wire, first=first: wire.beside_stream(CONTROL, first + frame(SETTINGS))
                        for first in (frame(MAX_PUSH_ID, b"\x01"), frame(GOAWAY, b"\0"),
                                      frame(DATA, b"a"))], codes=[MISSING])


@must("RFC 9114 6.2.1: the control stream stays open")
async def closed_control_stream(scene):
    await ends(scene, lambda wire: wire.beside_stream(CONTROL, frame(SETTINGS), end=True),
               codes=[CLOSED_CRITICAL])
    async with Connected(scene) as wire:
        stream = wire.settle()
        # once it is known what the stream is
        await wire.over(wire.open(headers(get(scene))))
        wire._quic.reset_stream(stream, NO_ERROR)
        wire.transmit()
        assert await wire.termination() == CLOSED_CRITICAL


@must("RFC 9114 6.2.1: one control stream")
async def second_control_stream(scene):
    await ends(scene, lambda wire: (wire.settle(), wire.settle()), codes=[STREAM_CREATION])


@must("RFC 9114 7.2.8: frames of HTTP/2 are H3_FRAME_UNEXPECTED")
async def frames_of_http2(scene):
    for kind in (0x2, 0x6, 0x8, 0x9):
        await ends(scene,
                   lambda wire: wire.beside_stream(CONTROL, frame(SETTINGS) + frame(kind, b"abcd")),
                   lambda wire: (wire.settle(), wire.open(headers(get(scene)) + frame(kind, b"abcd"))),
                   codes=[UNEXPECTED])


@must("RFC 9114 7.2.3, 7.2.7: push ids that can't be")
async def push_ids(scene):
    control = lambda data: lambda wire: wire.beside_stream(CONTROL, frame(SETTINGS) + data)
    await ends(scene, control(frame(MAX_PUSH_ID, b"\x05") + frame(MAX_PUSH_ID, b"\x04")),
               control(frame(CANCEL_PUSH, b"\x09")), codes=[ID])
    await ends(scene, control(frame(MAX_PUSH_ID, b"\x05\x05")), control(frame(MAX_PUSH_ID)),
               codes=[FRAME])
    await ends(scene, lambda wire: (wire.settle(), wire.open(headers(get(scene)) + frame(MAX_PUSH_ID, b"\x01"))),
               control(frame(PUSH_PROMISE, b"\0\0\0")), control(headers([("a", "b")])), codes=[UNEXPECTED])


@must("RFC 9114 5.2: the id of GOAWAY never grows; what was asked is answered")
async def goaway(scene):
    control = lambda data: lambda wire: wire.beside_stream(CONTROL, frame(SETTINGS) + data)
    await ends(scene, control(frame(GOAWAY, b"\x01") + frame(GOAWAY, b"\x02")), codes=[ID])
    await ends(scene, lambda wire: (wire.settle(), wire.open(headers(get(scene)) + frame(GOAWAY, b"\0"))),
               codes=[UNEXPECTED])
    async with Connected(scene) as wire:
        wire.beside_stream(CONTROL, frame(SETTINGS) + frame(GOAWAY, b"\0"))
        answer = await wire.over(wire.open(headers(get(scene))))
        assert answer.status == 200


@must("RFC 9114 6.2.2: a client pushes nothing")
async def push_stream(scene):
    await ends(scene, lambda wire: (wire.settle(), wire.beside_stream(PUSH, b"\0" + headers(get(scene)))),
               codes=[STREAM_CREATION])


@must("RFC 9204 2.2, 3.1: references to what isn't there are QPACK_DECOMPRESSION_FAILED")
async def qpack_references(scene):
    good = section(get(scene))
    for bad in (good + b"\xff\x24", good + b"\x80", good + b"\x10", b"\x02\0" + good[2:], good + b"\x23a"):
        await ends(scene, lambda wire: (wire.settle(), wire.open(frame(HEADERS, bad))), codes=[DECOMPRESSION])


@must("RFC 9204 4.2: encoder and decoder streams stay open, and there is one of each")
async def qpack_streams_closed(scene):
    await ends(scene, *[lambda wire, kind=kind: (wire.settle(), wire.beside_stream(kind, end=True))
                        for kind in (ENCODER, DECODER)], codes=[CLOSED_CRITICAL])
    await ends(scene, *[lambda wire, kind=kind: (wire.settle(), wire.beside_stream(kind), wire.beside_stream(kind))
                        for kind in (ENCODER, DECODER)], codes=[STREAM_CREATION])


@must("RFC 9204 4.1.3, 4.3, 4.4: instructions that can't be")
async def qpack_instructions(scene):
    stream = lambda kind, data: lambda wire: (wire.settle(), wire.beside_stream(kind, data))
    insert = b"\x41a\x01b"
    await ends(scene, stream(ENCODER, insert), stream(ENCODER, prefixed(0x20, 5, 4096)), stream(ENCODER, b"\x00"),
               codes=[ENCODER_ERROR])
    await ends(scene, stream(DECODER, b"\x80"), stream(DECODER, b"\x01"), stream(DECODER, b"\x00"),
               codes=[DECODER_ERROR])


@must("RFC 9114 6.2: unknown streams mean nothing")
async def unknown_streams(scene):
    async with Connected(scene) as wire:
        wire.settle()
        for kind in (0x21, 0x1F * 7 + 0x21, 0x54, 0x3FFFFFFF):
            wire.beside_stream(kind, b"anything")
        wire.beside_stream(0x40, b"", end=True)
        answer = await wire.over(wire.open(headers(get(scene))))
        assert answer.status == 200 and not wire.ended.done()


@must("RFC 9114 9: unknown frames and settings mean nothing")
async def unknown_frames(scene):
    grease = frame(0x21, b"grease") + frame(0x1F * 9 + 0x21) + frame(0xF0700, b"\0u=1")
    async with Connected(scene) as wire:
        wire.beside_stream(CONTROL, frame(SETTINGS, number(0x21) + b"\x01" + number(0x4D44) + b"\x01") + grease)
        answer = await wire.over(wire.open(grease + headers(get(scene)) + grease))
        assert answer.status == 200
        head = headers([(":method", "POST")] + get(scene, but=[":method"], path="/echo"))
        data = grease + head + grease + frame(DATA, b"ab") + grease + frame(DATA) + frame(DATA, b"c") + grease
        answer = await wire.over(wire.open(data + headers([("a", "b")]) + grease))
        assert (answer.status, answer.body) == (200, b"abc"), (answer.status, answer.body)


@must("RFC 9114 4.2.2: heads that are too large are 431, or H3_EXCESSIVE_LOAD")
async def oversized_head(scene):
    large = headers(get(scene, more=[("a", "b" * 40_000)]))
    many = headers(get(scene, more=[(f"a{i}", "b") for i in range(200)]))
    async with Connected(scene) as wire:
        wire.settle()
        for data in (large, many):
            answer = await wire.over(wire.open(data))
            assert answer.status == 431, answer.status
        # announced, and never sent: nothing is held for it
        stream = wire.open(number(HEADERS) + number(1 << 40), end=False)
        answer = await wire.over(stream)
        assert answer.status == 431, answer.status
        again = await wire.over(wire.open(headers(get(scene))))
        assert again.status == 200


@must("RFC 9114 4.4: CONNECT has no :scheme and no :path, and no proxy is here")
async def connect(scene):
    method, authority = (":method", "CONNECT"), (":authority", "other.example:443")
    await malformed(scene, headers([method, authority]), headers([method]),
                    headers([method, authority, (":path", "/"), (":scheme", "https")]))


@must("RFC 9114 4.3.1: :authority and Host say the same; RFC 9110 7.4: the scheme is the connection's")
async def authority(scene):
    await malformed(scene, headers(get(scene, more=[("host", "other.example")])),
                    headers(get(scene, but=[":authority"], more=[(":authority", "user@" + scene["host"])])),
                    headers(get(scene, but=[":authority"], more=[(":authority", "")])),
                    headers(get(scene, but=[":scheme"], more=[(":scheme", "http")])))
    async with Connected(scene) as wire:
        wire.settle()
        for fields in (get(scene, more=[("host", scene["host"])]),
                       get(scene, but=[":authority"], more=[("host", scene["host"])])):
            answer = await wire.over(wire.open(headers(fields)))
            assert answer.status == 200, answer.status


@must("RFC 9114 7.1: a stream does not end inside of a frame")
async def cut_frame(scene):
    head = headers([(":method", "POST")] + get(scene, but=[":method"], path="/echo"))
    await ends(scene, *[lambda wire, cut=cut: (wire.settle(), wire.open(cut)) for cut in
                        (headers(get(scene))[:-1], head + frame(DATA, b"abc")[:-1], number(HEADERS))],
               codes=[FRAME])
