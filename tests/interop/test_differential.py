"""Generated messages through the real HAProxy and through hapair, with a server that writes down what comes.

What HAProxy does not forward hapair does not either, and what both forward means the same.  The messages
are made from a seed, which a failure names: valid ones in their many spellings, most of them with one thing
wrong that a proxy could misread.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import h11
import pytest
from app.node import running
from interop.haproxy import running as haproxy_running
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SEEDS = range(240)
AT_ONCE = 8
HAPROXY = """
frontend main
 bind 127.0.0.1:{main}
 timeout http-request 500ms
 timeout client 500ms
 default_backend app
backend app
 retries 0
 http-reuse never
 timeout server 500ms
 server s1 127.0.0.1:{server}
"""
HAPAIR = """
[node]
name = "test"
log = {{ target = "stdout" }}
[api]
socket = "{folder}/api.sock"
[frontend.main]
bind = "127.0.0.1:{main}"
mode = "http"
timeout = {{ client = "500ms", http_request = "500ms" }}
default_backend = "app"
[backend.app]
mode = "http"
retries = 0
http_reuse = "never"
timeout = {{ connect = "2s", server = "500ms" }}
server.s1 = {{ address = "127.0.0.1:{server}" }}
"""
HOP = frozenset(
    b"connection keep-alive proxy-connection te upgrade transfer-encoding trailer x-secret".split()
)
"""What belongs to one connection: each proxy writes its own.  HAProxy passes on what Connection names."""


def faults(rng: random.Random) -> list[bytes]:
    """A header line or two of which a reader may think this or that."""
    size = rng.choice(
        [b"0", b"3", b"+3", b"3 ", b"03", b"3,3", b"3, 4", b"-1", b"0x3", b"3a", b"", b"99999999999999999999"]
    )
    coding = rng.choice(
        [
            b"chunked",
            b"Chunked",
            b"identity",
            b"gzip, chunked",
            b"chunked, identity",
            b"xchunked",
            b"\x0bchunked",
        ]
    )
    return rng.choice(
        [
            [b"Content-Length: " + size],
            [b"Content-Length: 3", b"Content-Length: " + size],
            [b"Transfer-Encoding: " + coding],
            [b"Content-Length: 3", b"Transfer-Encoding: " + coding],
            [b"Transfer-Encoding: chunked", b"Transfer-Encoding: " + coding],
            [b"Content-Length : 3"],
            [b"Transfer-Encoding\t: chunked"],
            [b" folded: yes"],
            [b"X-A: b", b"\tfolded"],
            [b"X-A b"],
            [b": no name"],
            [b"X\xe9: y"],
            [b"X-A: a\x00b"],
            [b"X-A: a\rb"],
            [b"X-A: a\nContent-Length: 3"],
            [b"Host: other"],
            [b"Host: a b"],
            [b"Connection: close, X-Secret", b"X-Secret: 1"],
            [b"Expect: 100-continue"],
            [b"X-Empty:"],
        ]
    )


def request(seed: int) -> bytes:
    """One message."""
    rng = random.Random(seed)
    method = rng.choice([b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"BREW", b"get"])
    target = rng.choice(
        [b"/", b"/a?b=c", b"/%41//../x", b"http://h.example/a", b"*", b"/\x80", b"/a b", b"//h/x"]
    )
    version = rng.choice(
        [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "]
    )
    if rng.random() < 0.7:
        target, version = rng.choice([b"/", b"/a?b=c"]), b"HTTP/1.1"
    headers = [b"Host: h.example", b"X-Seed: %d" % seed]
    body = b""
    kind = rng.random()
    if kind < 0.2:
        body = rng.choice([b"", b"abc", b"a" * 3000])
        headers.append(b"Content-Length: %d" % len(body))
    elif kind < 0.4:
        size = rng.choice([b"3", b"03", b"3;x=y", b"3 ", b"0x3", b"3\t;a", b"+3", b"g"])
        body = (
            size
            + rng.choice([b"\r\n", b"\r\n", b"\n"])
            + b"abc\r\n0\r\n"
            + rng.choice([b"\r\n", b"\r\n", b"X-T: y\r\n\r\n"])
        )
        headers.append(b"Transfer-Encoding: chunked")
    if kind > 0.2:
        headers += faults(rng)
        if not body:
            body = rng.choice([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n"])
    rng.shuffle(headers)
    return b"\r\n".join([method + b" " + target + b" " + version, *headers, b"", body])


class Recorder(Listener):
    """Reads requests as h11 does, a strict reader; what it cannot read is written down as that."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, list[tuple]] = {}

    def serve(self, client: socket.socket) -> None:
        raw = b""
        reader = h11.Connection(h11.SERVER)
        head, body = None, b""
        try:
            while True:
                event = reader.next_event()
                if event is h11.NEED_DATA:
                    data = client.recv(65536)
                    raw += data
                    reader.receive_data(data)
                    if not data:
                        return
                elif isinstance(event, h11.Request):
                    head = event
                    if reader.they_are_waiting_for_100_continue:
                        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return
        except h11.RemoteProtocolError as error:
            self._keep(raw, ("unreadable", str(error), raw))
            return
        assert head is not None
        kept = sorted((n.lower(), v) for n, v in head.headers if n.lower() not in HOP | {b"content-length"})
        self._keep(raw, (head.method, re.sub(rb"^https?://[^/]*", b"", head.target), kept, body))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def _keep(self, raw: bytes, what: tuple) -> None:
        seed = re.search(rb"x-seed: (\d+)", raw, re.IGNORECASE)
        self.seen.setdefault(int(seed[1]) if seed else -1, []).append(what)


def send(port: int, seed: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(3)
        client.sendall(request(seed))
        while client.recv(65536):
            pass


def test_what_hapair_forwards_haproxy_forwards_too_and_it_means_the_same(tmp_path):
    with Recorder() as theirs, Recorder() as ours:
        text = HAPROXY.format(main=(their_port := free_port()), server=theirs.port)
        config = tmp_path / "node.toml"
        config.write_text(HAPAIR.format(main=(port := free_port()), server=ours.port, folder=tmp_path))
        with haproxy_running(tmp_path, text), running(config), ThreadPoolExecutor(AT_ONCE) as clients:
            list(clients.map(send, [their_port] * len(SEEDS), SEEDS))
            list(clients.map(send, [port] * len(SEEDS), SEEDS))
    for seed in SEEDS:
        expected, got = theirs.seen.get(seed, []), ours.seen.get(seed, [])
        if got:  # what hapair alone refuses is its own strictness
            assert got == expected, f"seed {seed}: {request(seed)!r}"
    assert -1 not in ours.seen
    assert len(theirs.seen) >= len(ours.seen) >= len(SEEDS) // 5


# -- responses ---------------------------------------------------------------------------------


def response(seed: int) -> bytes:
    """What the server says to request `seed`, before it closes."""
    rng = random.Random(seed)
    status = rng.choice(
        [b"200 OK", b"200 OK", b"404 No", b"204 None", b"304 Same", b"200", b"20 OK", b"2000 OK"]
    )
    if rng.random() < 0.7:
        status = b"200 OK"
    version = rng.choice([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"ICY"])
    headers = [b"X-Seed: %d" % seed]
    body = rng.choice([b"", b"abc", b"a" * 3000])
    kind = rng.random()
    if kind < 0.2:
        headers.append(b"Content-Length: %d" % len(body))
    elif kind < 0.4:
        size = rng.choice([b"3", b"03", b"3;x=y", b"0x3", b"+3", b"g"])
        body = size + b"\r\nabc\r\n0\r\n" + rng.choice([b"\r\n", b"X-T: y\r\n\r\n", b""])
        headers.append(b"Transfer-Encoding: chunked")
    if kind > 0.2:
        headers += [line for line in faults(rng) if not line.lower().startswith((b"host", b"expect"))]
    rng.shuffle(headers)
    return b"\r\n".join([version + b" " + status, *headers, b"", body])


class Answerer(Listener):
    """Answers as the seed in the path says."""

    def serve(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        client.sendall(response(int(data.split(b" ")[1][1:])))


def answer(port: int, seed: int) -> tuple:
    """What a strict client makes of the answer: its status, headers and body, or how it failed."""
    reader = h11.Connection(h11.CLIENT)
    head, body = None, b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(3)
        event = h11.Request(method="GET", target=f"/{seed}", headers=[("Host", "h"), ("Connection", "close")])
        client.sendall(reader.send(event) or b"")
        reader.send(h11.EndOfMessage())
        try:
            while True:
                event = reader.next_event()
                if event is h11.NEED_DATA:
                    reader.receive_data(client.recv(65536))
                elif isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                else:
                    return ("closed",)
        except (h11.RemoteProtocolError, ConnectionResetError):
            return ("cut", head.status_code if head is not None else 0)
    if head is None:
        return ("nothing",)
    if head.status_code == 502:
        return ("refused",)
    own = HOP | {b"content-length", b"cache-control"}
    # A fold becomes blanks, and how many is nobody's business.
    kept = sorted((n.lower(), b" ".join(v.split())) for n, v in head.headers if n.lower() not in own)
    return (head.status_code, kept, body)


def test_what_a_server_says_reaches_the_client_as_through_haproxy_or_not_at_all(tmp_path):
    with Answerer() as server:
        text = HAPROXY.format(main=(their_port := free_port()), server=server.port)
        config = tmp_path / "node.toml"
        config.write_text(HAPAIR.format(main=(port := free_port()), server=server.port, folder=tmp_path))
        with haproxy_running(tmp_path, text), running(config), ThreadPoolExecutor(AT_ONCE) as clients:
            theirs = list(clients.map(answer, [their_port] * len(SEEDS), SEEDS))
            ours = list(clients.map(answer, [port] * len(SEEDS), SEEDS))
    for seed, expected, got in zip(SEEDS, theirs, ours, strict=True):
        if got not in (("refused",), ("cut", 200)):  # what hapair alone refuses is its own strictness
            assert got == expected, f"seed {seed}: {response(seed)!r}"
    assert sum(one[0] == 200 for one in ours) > len(SEEDS) // 8
