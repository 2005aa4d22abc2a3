"""How large a head may be: HAProxy by tune.bufsize, maxrewrite and http.maxhdr, hapair by http_limits.

HAProxy answers 400 to both; hapair says 431, and 414 if it is the first line.  Of lines both take as many.
Of bytes hapair takes what `head` says, not counting the empty line; HAProxy counts its own form of a head,
which has 79 bytes and 4 more for each line than what was sent.
"""

from __future__ import annotations

import contextlib
import itertools
import socket

import pytest
from app.node import running
from interop.haproxy import running as haproxy_running
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

LINES = 41
"""tune.http.maxhdr; HAProxy counts the end of the head, too."""
BUFFER, REWRITE = 8192, 1024
HEAD = BUFFER - REWRITE
THEIR_FORM, THEIR_LINE = 79, 4
"""Bytes of HAProxy's own."""
EMPTY_LINES = 4
"""What ends a head; hapair does not count it."""

HAPROXY = """
frontend main
 bind 127.0.0.1:{main}
 default_backend app
backend app
 server s1 127.0.0.1:{server}
"""
HAPAIR = """
[node]
name = "test"
[api]
socket = "{folder}/api.sock"
[defaults]
mode = "http"
timeout = {{ connect = "2s", client = "5s", server = "5s", http_request = "5s" }}
[frontend.main]
bind = ":{main}"
http_limits = {{ head = {head}, headers = {headers} }}
default_backend = "app"
[backend.app]
server.s1 = {{ address = "127.0.0.1:{server}" }}
"""


class Server(Listener):
    """Says yes."""

    def serve(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def head(lines: int, size: int = 0, *, target: bool = False) -> bytes:
    """A request with so many header lines, whose head has so many bytes with its empty line."""
    begin, middle, end = (
        b"GET /",
        b" HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * (lines - 2) + b"X: ",
        b"\r\n\r\n",
    )
    more = b"a" * (size - len(begin + middle + end))
    return begin + more + middle + end if target else begin + middle + more + end


def status(port: int, request: bytes) -> int:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 5) as client, contextlib.suppress(ConnectionError):
        client.sendall(request)
        while b"\r\n" not in answer and (data := client.recv(4096)):
            answer += data
    return int(answer.split()[1])


def test_heads_of_each_size(tmp_path):
    theirs, ours = free_port(), free_port()
    config = tmp_path / "node.toml"
    with Server() as server:
        config.write_text(
            HAPAIR.format(main=ours, server=server.port, folder=tmp_path, head=HEAD, headers=LINES - 1)
        )
        text = HAPROXY.format(main=theirs, server=server.port)
        tuned = f"global\n tune.bufsize {BUFFER}\n tune.maxrewrite {REWRITE}\n tune.http.maxhdr {LINES}\n"
        with haproxy_running(tmp_path, tuned + text), running(config):
            for count, taken in ((LINES - 2, True), (LINES - 1, True), (LINES, False), (LINES + 50, False)):
                found = status(theirs, head(count)), status(ours, head(count))
                assert found == ((200, 200) if taken else (400, 431)), count
            for count, target in itertools.product((2, 3, 20), (False, True)):
                most = HEAD - THEIR_FORM - THEIR_LINE * count
                found = [status(theirs, head(count, size, target=target)) for size in (most, most + 1)]
                assert found == [200, 400], (count, target)
                most = HEAD + EMPTY_LINES
                found = [status(ours, head(count, size, target=target)) for size in (most, most + 1)]
                assert found == [200, 431], (count, target)
            assert status(ours, head(2, HEAD + 500, target=True)) == 414
