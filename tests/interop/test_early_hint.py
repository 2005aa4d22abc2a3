"""early-hint beside HAProxy: the same 103, and to the same clients."""

from __future__ import annotations

import socket

import pytest
from interop.haproxy import running
from proxy.test_early_hint import HINTS
from proxy.world import World

pytestmark = [pytest.mark.interop, pytest.mark.slow]

REQUESTS = [
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n",
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_same_hints(tmp_path, request_):
    rules = [*HINTS[:2], "set-header X-A b"]
    sections = f"frontend fe\n  bind unix@{tmp_path}/front.sock\n  default_backend be\n"
    sections += "".join(f"  http-request {rule}\n" for rule in rules)
    sections += "backend be\n  server a 127.0.0.1:9 disabled\n"
    with running(tmp_path, sections), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(tmp_path / "front.sock"))
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        theirs = b""
        while piece := client.recv(65536):
            theirs += piece
    here = World(frontend={"http_request": tuple(rules)})
    here.set_up("s1", up=False)
    ours = here.client(request_).got
    heads = [
        got[: got.index(b"HTTP/1.", 1)] if got.startswith(b"HTTP/1.1 103") else b"" for got in (ours, theirs)
    ]
    assert heads[0].lower() == heads[1].lower()
    assert b"503" in ours[len(heads[0]) :][:20]
