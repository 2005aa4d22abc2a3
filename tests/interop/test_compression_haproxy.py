"""Compression beside HAProxy: the same responses are compressed, in the same coding, under the same head.

Where a client wants several equally, HAProxy takes the one that it names first, and for `*` the last of its
own list; here our own order decides, or no browser would ever get `br`.  The lists below agree with both.
"""

from __future__ import annotations

import random
import zlib

import pytest
from interop.answering import answering, ask
from interop.haproxy import running
from proxy.world import World

from hapair.config.model import Algo, Compression
from hapair.http1.body import ChunkedBody

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TEXT = b"some text that is worth the work\n" * 40
CONFIGS = {
    "gzip": ("compression algo gzip", Compression(algo=(Algo.GZIP,))),
    "several": (
        "compression algo gzip deflate\n  compression type text/html application/json",
        Compression(algo=(Algo.DEFLATE, Algo.GZIP), type=("text/html", "application/json")),
    ),
    "offload": (
        "compression algo gzip raw-deflate\n  compression offload",
        Compression(algo=(Algo.RAW_DEFLATE, Algo.GZIP), offload=True),
    ),
    "identity": ("compression algo identity", Compression(algo=(Algo.IDENTITY,))),
    "identity last": (
        "compression algo identity gzip\n  compression type text/",
        Compression(algo=(Algo.GZIP, Algo.IDENTITY), type=("text/",)),
    ),
}
REQUEST_LINES = [
    ["Accept-Encoding: gzip"],
    ["Accept-Encoding: deflate, gzip"],
    ["Accept-Encoding: gzip;q=0.5, deflate;q=0.8"],
    ["Accept-Encoding: gzip;q=0"],
    ["Accept-Encoding: *"],
    ["Accept-Encoding: br, *;q=0.1"],
    ["Accept-Encoding: GZIP"],
    ["Accept-Encoding: br", "Accept-Encoding: deflate"],
    ["Accept-Encoding: identity"],
    ["Accept-Encoding: gzip ; q=1"],
    [],
]
AGENTS = [
    [],
    ["User-Agent: Mozilla/5.0 (X11; Linux x86_64)"],
    ["User-Agent: Mozilla/4.0"],
    ["User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"],
    ["User-Agent: Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"],
    ["User-Agent: Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)"],
]
STATUSES = ["200 OK", "201 Created", "203 Other", "206 Partial Content", "404 Not Found", "500 Oops"]
RESPONSE_LINES = [
    ["Content-Type: text/html"],
    ["Content-Type: TEXT/html; charset=utf-8"],
    ["Content-Type: application/json"],
    ["Content-Type: image/png"],
    ["Content-Type: multipart/form-data"],
    [],
]
MORE_LINES = [
    [],
    ['ETag: "abc"'],
    ['ETag: W/"abc"'],
    ["ETag: abc"],
    ['ETag: "a"', 'ETag: "b"'],
    ["Cache-Control: no-transform"],
    ["Cache-Control: max-age=3, No-Transform"],
    ["Cache-Control: max-age=3"],
    ["Content-Encoding: gzip"],
    ["Vary: Cookie"],
]
FRAMINGS = ["length", "chunked", "empty", "old", "close"]
COMPARED = (b"content-encoding", b"vary", b"etag", b"content-length", b"transfer-encoding", b"content-type")


def cases(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    """Requests, and the responses to them."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        usual = chance.random() < 0.5
        method = "GET" if usual else chance.choice(["GET", "POST", "HEAD"])
        version = "HTTP/1.1" if usual else chance.choice(["HTTP/1.1", "HTTP/1.0"])
        lines = [f"{method} / {version}", "Host: h", "Connection: close"]
        lines += chance.choice(REQUEST_LINES) + ([] if usual else chance.choice(AGENTS))
        if method == "POST":
            lines.append("Content-Length: 0")
        answer = [f"HTTP/1.1 {STATUSES[0] if usual else chance.choice(STATUSES)}"]
        answer += chance.choice(RESPONSE_LINES) + chance.choice(MORE_LINES)
        # To a client of HTTP/1.0 HAProxy names chunks that it does not make.
        framing = chance.choice([one for one in FRAMINGS if one != "chunked" or version == "HTTP/1.1"])
        body = TEXT
        if framing == "chunked":
            answer.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(TEXT), TEXT)
        elif framing in ("length", "empty", "old"):
            body = b"" if framing == "empty" else TEXT
            answer.append(f"Content-Length: {len(body)}")
        if framing == "old":
            answer[0] = answer[0].replace("1.1", "1.0")
        body = b"" if method == "HEAD" else body
        made.append(("\r\n".join([*lines, "", ""]).encode(), "\r\n".join([*answer, "", ""]).encode() + body))
    return made


def outcome(got: bytes) -> tuple[object, ...]:
    """The status, the fields that compression touches, and the body decoded."""
    head, _, body = got.partition(b"\r\n\r\n")
    lines = [line.partition(b":") for line in head.split(b"\r\n")]
    fields = sorted((n.lower(), v.strip().lower()) for n, _, v in lines[1:] if n.lower() in COMPARED)
    if (b"transfer-encoding", b"chunked") in fields and body:
        framed = ChunkedBody()
        body = framed.feed(body)
        assert framed.done
    codings = [value for name, value in fields if name == b"content-encoding"]
    if codings == [b"gzip"] and body[:2] == b"\x1f\x8b":
        body = zlib.decompress(body, 31)
    elif codings == [b"deflate"]:
        try:
            body = zlib.decompress(body, 15)
        except zlib.error:
            body = zlib.decompress(body, -15)
    return lines[0][0][9:12], fields, body


@pytest.mark.parametrize("name", list(CONFIGS))
def test_the_same_responses_are_compressed(tmp_path, name):
    theirs, ours = CONFIGS[name]
    front, back = tmp_path / "front.sock", tmp_path / "back.sock"
    text = (
        f"frontend fe\n  bind unix@{front}\n  {theirs}\n  default_backend be\n"
        f"backend be\n  server s unix@{back}\n"
    )
    compressed = 0
    with answering(back) as server, running(tmp_path, text):
        for request, response in cases(len(name), 500):
            server.next = response
            got = ask(front, request)
            world = World(frontend={"compression": ours})
            here = world.client(request)
            asked = here.server.got
            here.server.says(response)
            if here.link is not None:
                here.server.ends()
            assert outcome(here.got) == outcome(got), (request, response)
            assert (b"accept-encoding" in asked.lower()) == (b"accept-encoding" in server.asked.lower())
            compressed += world.frontend.comp_rsp
    assert compressed > 10, "the cases hit something"


@pytest.mark.parametrize("limit", [1, 20, 50])
def test_a_burst_is_compressed_as_far_as_the_rate_allows(tmp_path, limit):
    """The body is far from dividing any of the limits, so that some milliseconds make no difference."""
    front, back = tmp_path / "front.sock", tmp_path / "back.sock"
    text = (
        f"global\n  maxcomprate {limit}\n"
        f"frontend fe\n  bind unix@{front}\n  compression algo gzip\n  default_backend be\n"
        f"backend be\n  server s unix@{back}\n"
    )
    body = TEXT * 8
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    world = World(frontend={"compression": Compression(algo=(Algo.GZIP,))})
    world.process.maxcomprate = limit * 1024
    theirs, ours = [], []
    with answering(back) as server, running(tmp_path, text) as haproxy:
        server.next = response
        for _ in range(10):
            theirs.append(outcome(ask(front, request)))
            here = world.client(request)
            here.server.says(response)
            ours.append(outcome(here.got))
        rows = [row.split(",") for row in haproxy.command("show stat").splitlines() if row]
    assert ours == theirs
    (row,) = [dict(zip(rows[0], row, strict=False)) for row in rows[1:] if row[1] == "FRONTEND"]
    assert row["comp_byp"] == "0", "what is left as it is for the rate counts nowhere"
    assert row["comp_rsp"] == str(world.frontend.comp_rsp)
    assert 0 < world.frontend.comp_rsp < 10
