"""Error pages beside HAProxy: whose page counts, what it carries, whether the connection stays."""

from __future__ import annotations

import socket
from itertools import product

import pytest
from interop.haproxy import running
from proxy.world import World

pytestmark = [pytest.mark.interop, pytest.mark.slow]

FRONT = {
    "none": [],
    "texts": [
        'status 503 content-type text/plain lf-string "front %[path]" hdr X-Who front',
        'status 403 content-type text/plain string "front403"',
        'status 400 content-type text/plain string "front400"',
        'status 401 content-type text/plain string "front401"',
    ],
}
BACK = {
    "none": [],
    "own": [
        'status 503 content-type text/html string "back"',
        'status 429 content-type text/x string "slow"',
    ],
    "reset": ["status 503 default-errorfiles"],
}
RULES = ["deny if { path /deny }", "auth realm R if { path /auth }", "return status 200 if { path /ok }"]
BACK_RULES = ["deny deny_status 429 if { path /many }"]
REQUESTS = [
    *(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n" for path in ["/x", "/deny", "/auth", "/many", "/ok"]),
    "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "GET /x HTTP/1.0\r\n\r\n",
    "GET /x HTTP/1.1\r\nbad header\r\n\r\n",
]


def talk(path: str, request: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(request.encode())
        client.shutdown(socket.SHUT_WR)
        got = b""
        while piece := client.recv(65536):
            got += piece
        return got


def outcome(got: bytes, *, own: bool) -> tuple[object, ...]:
    """Of a page of the proxy's own only the status: each words its own."""
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    kept = sorted(line.lower() for line in lines[1:] if line.lower().startswith((b"x-who", b"www-auth")))
    kind = sorted(line.lower() for line in lines[1:] if line.lower().startswith(b"content-type"))
    return (lines[0][9:12], kept, *(() if own else (kind, body)))


@pytest.mark.parametrize(("front", "back"), list(product(FRONT, BACK)))
def test_the_same_pages(tmp_path, front, back):
    text = f"frontend fe\n  bind unix@{tmp_path}/front.sock\n  default_backend be\n"
    text += "".join(f"  http-error {one}\n" for one in FRONT[front])
    text += "".join(f"  http-request {one}\n" for one in RULES)
    text += "backend be\n" + "".join(f"  http-error {one}\n" for one in BACK[back])
    text += "".join(f"  http-request {one}\n" for one in BACK_RULES)
    text += "  server a 127.0.0.1:9 disabled\n"
    with running(tmp_path, text):
        for request in REQUESTS:
            theirs = talk(str(tmp_path / "front.sock"), request)
            here = World(
                frontend={"http_request": tuple(RULES), "http_error": tuple(FRONT[front])},
                http_request=tuple(BACK_RULES),
                http_error=tuple(BACK[back]),
            )
            here.set_up("s1", up=False)
            client = here.client(request.encode())
            own = b"<h1>" in theirs or request.startswith("HEAD")
            assert outcome(client.got, own=own) == outcome(theirs, own=own), request
