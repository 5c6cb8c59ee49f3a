"""Protocols and what is asked of them: a table, and whether every field of it is right.

    matrix.py HTTPS_PORT QUIC_PORT ROOT_PEM
"""

import hashlib
import os
import sys
import time

from clients import Aioquic, Curl

STORED = bytes(range(256)) * 4096
POSTED = 50 << 20

right = {}


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def miss(client, name):
    answer = client.ask(f"/passed/{name}")
    check((answer.status, answer.body, answer.broken) == (200, STORED[:1024], False), answer.fields)
    check("fwd=" in answer.cache, answer.cache)


def hit(client, name):
    for fresh in (False, True):
        answer = client.ask(f"/stored/{name}")
        check((answer.status, answer.body == STORED, answer.broken) == (200, True, False), answer.fields)
        check((" hit" in answer.cache) == fresh, answer.cache)


def head(client, name):
    client.ask(f"/stored/head-{name}")
    answer = client.ask(f"/stored/head-{name}", "HEAD")
    check((answer.status, answer.body, answer.broken) == (200, b"", False), answer)
    check(answer.fields.get("content-length") == str(len(STORED)) and " hit" in answer.cache, answer.fields)


def ranged(client, name):
    for _ in range(2):
        answer = client.ask(f"/stored/range-{name}", fields=[("Range", "bytes=1000-300999")])
        check((answer.status, answer.body == STORED[1000:301000]) == (206, True), answer.fields)
        check(answer.fields.get("content-range") == f"bytes 1000-300999/{len(STORED)}", answer.fields)


def not_modified(client, name):
    client.ask(f"/stored/304-{name}")
    answer = client.ask(f"/stored/304-{name}", fields=[("If-None-Match", '"one"')])
    check((answer.status, answer.body, answer.broken) == (304, b"", False), answer)


def post(client, name):
    body = os.urandom(1 << 20) * (POSTED >> 20)
    answer = client.ask(f"/post/{name}", "POST", body=body)
    check(answer.status == 200 and answer.body.decode() == hashlib.sha256(body).hexdigest(), answer.fields)


def renewed(client, name):
    path = f"/renewed/{name}"
    check(client.ask(path).body == b"1", "the first")
    deadline = time.monotonic() + 20
    stale = False
    while time.monotonic() < deadline:
        answer = client.ask(path)
        stale |= answer.body == b"1" and int(answer.fields.get("age", 0)) >= 1
        if answer.body == b"2":
            return check(" hit" in answer.cache and stale, "it was fetched, and not in the background")
        time.sleep(0.2)
    check(False, "what was stale was never renewed")


def hinted(client, name):
    answer = client.ask(f"/hinted/{name}")
    check((answer.status, answer.body) == (200, b"done"), answer)
    check([status for status, _ in answer.interim] == [103], answer.interim)
    check(answer.interim[0][1].get("link") == "</style.css>; rel=preload", answer.interim)


def truncated(client, name):
    answer = client.ask(f"/truncated/{name}")
    check(answer.broken and answer.status in (0, 200), answer)


def shared(clients, name):
    path = "/stored/shared-" + name.replace("/", "-")
    check(" hit" not in clients[name].ask(path).cache, "it was stored before")
    for other, client in clients.items():
        answer = client.ask(path)
        check(" hit" in answer.cache and answer.body == STORED, f"{other}: {answer.cache}")


CASES = {
    "miss": miss,
    "hit": hit,
    "HEAD": head,
    "range": ranged,
    "304": not_modified,
    "POST 50 MB": post,
    "SWR": renewed,
    "103": hinted,
    "truncated origin": truncated,
}


def main():
    https, quic, root = sys.argv[1:4]
    clients = {
        "HTTP/1.1": Curl("--http1.1", https, root),
        "HTTP/2": Curl("--http2", https, root),
        "HTTP/3": Aioquic(int(quic), root),
    }
    wrong = 0
    print(f"{'':<18}" + "".join(f"{name:<10}" for name in clients))
    rows = {case: lambda client, name, run=run: run(client, name) for case, run in CASES.items()}
    rows["a hit of the others"] = lambda _, name: shared(clients, name)
    for case, run in rows.items():
        cells = []
        for name, client in clients.items():
            try:
                run(client, name.replace("/", "-") if case != "a hit of the others" else name)
                cells.append("right")
            except (AssertionError, OSError, TimeoutError) as error:
                cells.append("WRONG")
                wrong += 1
                print(f"{case}, {name}: {error!r:.400}", file=sys.stderr)
        print(f"{case:<20}" + "".join(f"{cell:<10}" for cell in cells))
    sys.exit(1 if wrong else 0)


main()
