"""The cache beside HAProxy: the same requests reach the server, and clients get the same.

But for `Vary: Referer`: HAProxy 2.6 keeps such a response and never finds it again.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from interop.answering import Answering, answering, ask
from interop.haproxy import running
from proxy.world import World

from hapair.config.model import Cache
from hapair.http1.body import ChunkedBody

pytestmark = [pytest.mark.interop, pytest.mark.slow]

DATE = "Thu, 26 Nov 2099 10:00:00 GMT"
PAST = "Thu, 26 Nov 2020 10:00:00 GMT"
FRESHNESS = [
    ["Cache-Control: max-age=30"],
    ["Cache-Control: max-age=0"],
    ["Cache-Control: max-age=30, s-maxage=0"],
    ["Cache-Control: s-maxage=30, max-age=0"],
    ["Cache-Control: public, max-age=30"],
    ["Cache-Control: private, max-age=30"],
    ["Cache-Control: no-cache"],
    ["Cache-Control: no-store, max-age=30"],
    ["Cache-Control: public"],
    ['Cache-Control: max-age="30"'],
    [f"Expires: {DATE}"],
    [f"Expires: {PAST}"],
    ["Expires: soon"],
    ["Pragma: no-cache", "Cache-Control: max-age=30"],
    ['ETag: "e1"'],
    [f"Last-Modified: {PAST}"],
    ['ETag: "e1"', "Cache-Control: max-age=30"],
    [f"Last-Modified: {PAST}", "Cache-Control: max-age=30"],
    [],
]
MORE = [
    [],
    [],
    [],
    ["Age: 10"],
    ["Age: 100"],
    ["Vary: Accept-Encoding"],
    ["Vary: Accept-Encoding", "Content-Encoding: gzip"],
    ["Vary: Cookie"],
    ["Vary: *"],
    ["X-Big: " + "y" * 3000],
]
ASKING = [
    [],
    [],
    [],
    [],
    ["Cache-Control: no-cache"],
    ["Cache-Control: max-age=0"],
    ["Cache-Control: max-age=5"],
    ["Pragma: no-cache"],
    ["Pragma: no-cache", "Cache-Control: max-age=5"],
    ["Authorization: Basic Zm9vOmJhcg=="],
    ['If-None-Match: "e1"'],
    ['If-None-Match: W/"e1"'],
    ['If-None-Match: "e2", "e1"'],
    ["If-None-Match: *"],
    [f"If-Modified-Since: {PAST}"],
    [f"If-Modified-Since: {DATE}"],
    ["If-Modified-Since: Thu, 26 Nov 2015 10:00:00 GMT"],
]
CODINGS = ["identity", "gzip;q=0", "gzip, identity;q=0", "br, unheard-of, identity;q=0"]
"""Each accepts one variant at most: among several HAProxy gives the oldest, we the newest."""
STATUSES = ["200 OK"] * 6 + ["203 Other", "404 Not Found", "301 Moved", "206 Partial Content"]


def request(chance: random.Random, path: str) -> bytes:
    method = chance.choice(["GET"] * 8 + ["HEAD", "POST"])
    version = chance.choice(["HTTP/1.1"] * 9 + ["HTTP/1.0"])
    lines = [f"{method} {path} {version}", "Host: h", "Connection: close", *chance.choice(ASKING)]
    lines.append(
        f"Referer: http://{chance.choice('ab')}/"
    )  # without any HAProxy keeps nothing that varies on it
    lines.append(f"Accept-Encoding: {chance.choice(CODINGS)}")
    if method == "POST":
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "", ""]).encode()


def response(chance: random.Random, number: int, *, head: bool, old: bool) -> bytes:
    """One that is like no other: its body names it."""
    body = b"response %d" % number + b"." * chance.choice([0, 100, 5000])
    lines = [f"HTTP/1.1 {chance.choice(STATUSES)}", *chance.choice(FRESHNESS), *chance.choice(MORE)]
    if chance.random() < 0.3 and not old:
        lines.append("Transfer-Encoding: chunked")
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        lines.append(f"Content-Length: {len(body)}")
        framed = body
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else framed)


def outcome(got: bytes) -> tuple[object, ...]:
    head, _, body = got.partition(b"\r\n\r\n")
    lines = [line.partition(b":") for line in head.split(b"\r\n")]
    fields = sorted(
        (name.lower(), value.strip())
        for name, _, value in lines[1:]
        if name.lower() in (b"etag", b"vary", b"cache-control", b"last-modified", b"content-encoding")
    )
    if b"transfer-encoding: chunked" in head.lower() and body:
        body = ChunkedBody().feed(body)
    return lines[0][9:12], fields, b"" if lines[0][9:12] == b"304" else body


@pytest.mark.parametrize("vary", [False, True], ids=["plain", "process-vary"])
@pytest.mark.parametrize("seed", range(6))
def test_the_same_requests_reach_the_server(tmp_path, seed, vary):
    front, back = tmp_path / "front.sock", tmp_path / "back.sock"
    text = (
        f"frontend fe\n  bind unix@{front}\n  default_backend be\n"
        f"backend be\n  http-request cache-use c\n  http-response cache-store c\n  server s unix@{back}\n"
        f"cache c\n  total-max-size 4\n  max-object-size 4000\n  max-age 60\n"
        f"  process-vary {'on' if vary else 'off'}\n"
    )
    world = World(
        http_request=("cache-use c",),
        http_response=("cache-store c",),
        caches={"c": Cache(total_max_size=4, max_object_size=4000, process_vary=vary)},
    )
    world.frontend.dates.offset = time.time() - world.now
    chance = random.Random(seed)
    hits = 0
    with answering(back) as server, running(tmp_path, text):
        for number in range(300):
            sent = request(chance, f"/{chance.randrange(6)}")
            said = response(
                chance, number, head=sent.startswith(b"HEAD"), old=b"HTTP/1.0" in sent.partition(b"\r\n")[0]
            )
            hit, theirs = of_haproxy(server, front, sent, said)
            here = world.client(sent)
            asked = here.link is not None
            if here.link is not None:
                here.server.says(said)
                if here.link is not None:
                    here.server.ends()
            story = (number, sent, said, theirs, here.got)
            assert hit == (not asked), story
            ours, wanted = outcome(here.got), outcome(theirs)
            assert ours[0] == wanted[0], story
            assert ours[1:] == wanted[1:], story
            assert hit == (b"\r\nage: " in here.got.lower()) or b"Age: " in said, story
            hits += hit
    assert hits > 10, "the cache is used"


def of_haproxy(server: Answering, front: Path, sent: bytes, said: bytes) -> tuple[bool, bytes]:
    """Whether it had the answer, and the answer."""
    server.next, server.asked = said, b""
    got = ask(front, sent)
    return not server.asked, got
