"""The origin of the matrix: an HTTP/1.1 server on a port of the kernel's choice, which it prints.

What a path answers:
  /stored/…     200, 1 MiB, may be stored for a minute, with an ETag
  /passed/…     200, 1 KiB, no-store
  /renewed/…    200, its body is how often it was made; stale after a second, usable while revalidating
  /hinted/…     103 with a Link, then 200
  /truncated/…  says 65,536 bytes and closes after 1,000
  POST …        200, the SHA-256 of the body received, in hexadecimal
"""

import asyncio
import hashlib

BODY = bytes(range(256)) * 4096
made = {}


async def read_body(reader, fields):
    digest = hashlib.sha256()
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            while size:
                piece = await reader.read(min(size, 65536))
                digest.update(piece)
                size -= len(piece)
            await reader.readline()
        await reader.readline()
    left = int(fields.get("content-length", 0))
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise EOFError
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest().encode()


def head(status, length, *lines):
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length}", *lines, "", ""]).encode()


async def answer(method, path, fields, reader, writer):
    if method == "POST":
        digest = await read_body(reader, fields)
        return head("200 OK", len(digest), "Cache-Control: no-store") + digest
    if path.startswith("/stored/"):
        said = ("Cache-Control: max-age=60", 'ETag: "one"', "Content-Type: application/octet-stream")
        return head("200 OK", len(BODY), *said) + (BODY if method == "GET" else b"")
    if path.startswith("/renewed/"):
        made[path] = made.get(path, 0) + 1
        body = str(made[path]).encode()
        return head("200 OK", len(body), "Cache-Control: max-age=1, stale-while-revalidate=60") + body
    if path.startswith("/hinted/"):
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        return head("200 OK", 4, "Cache-Control: no-store") + b"done"
    if path.startswith("/truncated/"):
        writer.write(head("200 OK", 65536, "Cache-Control: max-age=60") + BODY[:1000])
        await writer.drain()
        await asyncio.sleep(0.3)
        raise EOFError
    return head("200 OK", 1024, "Cache-Control: no-store") + BODY[:1024]


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            method, path, _ = line.decode("latin-1").split(" ")
            fields = {}
            while (line := await reader.readline()).strip():
                name, value = line.decode("latin-1").split(":", 1)
                fields[name.lower()] = value.strip().lower()
            if "100-continue" in fields.get("expect", ""):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            writer.write(await answer(method, path, fields, reader, writer))
            await writer.drain()
    except (EOFError, ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
