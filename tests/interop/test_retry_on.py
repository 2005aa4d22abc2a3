"""retry_on beside the real HAProxy: the same requests, servers that fail the same way, the same attempts."""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from app.node import running
from interop.haproxy import running as haproxy_running
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SILENCE = 0.3
EVENTS = [
    "none",
    "conn-failure",
    "empty-response",
    "junk-response",
    "response-timeout",
    "conn-failure empty-response 503",
    "404 500",
    "all-retryable-errors",
]
"""One pair of frontends each: without and with redispatch."""
PLANS = [
    "empty.200",
    "reset.200",
    "partial.200",
    "junk.200",
    "early-junk.200",
    "hang.200",
    "503.200",
    "404.500.200",
    "503.503.503.503",
    "empty.empty.empty.empty",
    "503.empty.200",
    "short.200",
]
"""What a server does with each attempt of one request.

Not here: 100 before a status that is retried.  HAProxy 2.6 then waits for its timeout, and answers 504.
"""
METHODS = ["GET", "POST", "large"]

HAPROXY = """
frontend f{n}
  bind 127.0.0.1:{port}
  http-request disable-l7-retry if {{ path_beg /forbidden }}
  default_backend b{n}
backend b{n}
  retries 2
  retry-on {events}
  timeout server 300ms
  {redispatch}
  server a 127.0.0.1:{first}
  server b 127.0.0.1:{second}
"""
HAPAIR = """
[frontend.f{n}]
bind = ["127.0.0.1:{port}"]
http_request = ["disable-l7-retry if {{ path_beg /forbidden }}"]
default_backend = "b{n}"
[backend.b{n}]
retries = 2
retry_on = [{events}]
timeout.server = "300ms"
redispatch = {redispatch}
server.a = {{ address = "127.0.0.1:{first}" }}
server.b = {{ address = "127.0.0.1:{second}" }}
"""
NODE = """
[node]
name = "test"
[defaults]
mode = "http"
timeout = { connect = "2s", client = "10s", http_request = "10s" }
"""


class Failing(Listener):
    """Does with each attempt what the plan in its path says, and notes that it was asked."""

    def __init__(self, name: str, attempts: dict[str, list[str]]) -> None:
        super().__init__()
        self.name = name
        self.attempts = attempts

    def serve(self, client: socket.socket) -> None:
        incoming = client.makefile("rb")
        path = incoming.readline().split(b" ")[1].decode()
        size = 0
        while (line := incoming.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        body = incoming.read(size)
        asked = self.attempts[path]
        asked.append(self.name)
        plan = path.split("/")[2].split(".")
        assert body == bytes(size)
        self.act(client, plan[min(len(asked), len(plan)) - 1])

    def act(self, client: socket.socket, what: str) -> None:
        match what:
            case "empty":
                client.shutdown(socket.SHUT_WR)
            case "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            case "partial":
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-")
            case "junk":
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            case "early-junk":
                client.sendall(b"HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n")
            case "hang":
                self.over.wait(SILENCE + 0.3)
            case "short":
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            case _:
                head = f"HTTP/1.1 {what} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                client.sendall(head.encode())


def request(port: int, method: str, path: str) -> bytes:
    """Everything that comes back for one request."""
    size = {"GET": 0, "POST": 5, "large": 20000}[method]
    verb = "GET" if method == "GET" else "POST"
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        head = f"{verb} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        client.sendall(head.encode() + bytes(size))
        answer = b""
        try:
            while data := client.recv(65536):
                answer += data
        except ConnectionResetError:
            answer += b"(reset)"
    return answer


def outcome(answer: bytes, attempts: list[str]) -> tuple[list[bytes], bytes, str]:
    """Statuses, what a body of the server's own says, and who was asked: A first, then the same or B."""
    statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    body = answer.rpartition(b"\r\n\r\n")[2]
    tried = "".join("A" if name == attempts[0] else "B" for name in attempts)
    return statuses, body if body in (b"ok", b"half") else b"", tried


def sections(template: str, ports: list[int], first: int, second: int, *, toml: bool) -> str:
    text = []
    for n, port in enumerate(ports):
        events, again = EVENTS[n // 2], bool(n % 2)
        if toml:
            events = ", ".join(f'"{event}"' for event in events.split())
        redispatch = str(again).lower() if toml else "option redispatch" if again else ""
        text.append(
            template.format(n=n, port=port, events=events, redispatch=redispatch, first=first, second=second)
        )
    return "".join(text)


def test_every_failure_is_tried_again_as_haproxy_does(tmp_path: Path) -> None:
    attempts: dict[str, list[str]] = defaultdict(list)
    ports = {who: [free_port() for _ in range(2 * len(EVENTS))] for who in ("haproxy", "hapair")}
    asked = [
        (n, method, place, plan)
        for n in range(2 * len(EVENTS))
        for plan in PLANS
        for method in METHODS
        for place in (("open", "forbidden") if method == "GET" else ("open",))
    ]

    def ask(who: str, case: tuple[int, str, str, str]) -> tuple[list[bytes], bytes, str]:
        n, method, place, plan = case
        path = f"/{place}/{plan}/{who}/{n}/{method}"
        return outcome(request(ports[who][n], method, path), attempts[path])

    node = tmp_path / "node.toml"
    with Failing("a", attempts) as a, Failing("b", attempts) as b:
        node.write_text(NODE + sections(HAPAIR, ports["hapair"], a.port, b.port, toml=True))
        haproxy = sections(HAPROXY, ports["haproxy"], a.port, b.port, toml=False)
        with running(node), haproxy_running(tmp_path, haproxy), ThreadPoolExecutor(16) as pool:
            begun = time.monotonic()
            theirs = list(pool.map(lambda case: ask("haproxy", case), asked))
            ours = list(pool.map(lambda case: ask("hapair", case), asked))
            taken = time.monotonic() - begun
    differing = [
        (EVENTS[case[0] // 2], "redispatch" if case[0] % 2 else "", *case[1:], their, our)
        for case, their, our in zip(asked, theirs, ours, strict=True)
        if their != our
    ]
    assert not differing, "\n".join(map(str, differing))
    assert taken < 30, "an attempt waited: they are immediate"
