"""The same clients and servers, the real HAProxy and hapair between them: their log lines say the same.

Times, ports, dates and process numbers are their own: of a time only whether there was one counts.  Bytes are
left out: HAProxy counts its own form of a head, and has other error pages.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from app.node import running
from interop.haproxy import running as haproxy_running
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CUSTOM = (
    "%ci %f %ft %b %s %si %HM %HU %HP %HPO %HQ %HV %ST %CC %CS %tsc %ts %rc %sq %bq %hr %hs %hrl %hsl "
    '%{+Q}r %{+Q}o %HM %b %ci %{-Q}s %{+E}[str("a]b")] %[capture.req.hdr(0)] %[var(txn.none)] 100%% %{+X}ci '
    "%TR/%Tw/%Tc/%Tr/%Ta/%Ti/%Th/%Tq/%Tt/%Td %ID"
)
HAPROXY = """
frontend main
 bind 127.0.0.1:{main}
 log 127.0.0.1:{log} local0
 {format}
 timeout http-request 400ms
 timeout client 1s
 unique-id-format %ci/%HM
 capture request header Host len 20
 capture request header X-A len 6
 capture response header Server len 9
 capture cookie SID= len 8
 http-request deny if {{ path /denied }}
 http-request redirect location /there if {{ path /moved }}
 use_backend nobody if {{ path /nobody }}
 use_backend closed if {{ path /closed }}
 default_backend app
backend app
 retries 0
 timeout server 400ms
 server s1 127.0.0.1:{server}
backend nobody
 http-request set-var(txn.x) int(1)
backend closed
 retries 0
 server s1 127.0.0.1:{closed}
"""
HAPAIR = """
[node]
name = "test"
log = [{{ target = "127.0.0.1:{log}" }}, {{ target = "stdout" }}]

[api]
socket = "{folder}/api.sock"

[defaults]
mode = "http"
timeout = {{ connect = "2s", client = "1s", server = "400ms", http_request = "400ms" }}

[frontend.main]
bind = "127.0.0.1:{main}"
log_format = {format}
unique_id_format = "%ci/%HM"
http_request = ["deny if {{ path /denied }}", "redirect location /there if {{ path /moved }}"]
use_backend = [
  {{ backend = "nobody", if = "{{ path /nobody }}" }},
  {{ backend = "closed", if = "{{ path /closed }}" }},
]
default_backend = "app"
[frontend.main.capture]
request_headers = [{{ name = "Host", len = 20 }}, {{ name = "X-A", len = 6 }}]
response_headers = [{{ name = "Server", len = 9 }}]
cookie = {{ name = "SID=", len = 8 }}

[backend.app]
retries = 0
server.s1 = {{ address = "127.0.0.1:{server}" }}
[backend.nobody]
[backend.closed]
retries = 0
server.s1 = {{ address = "127.0.0.1:{closed}" }}
"""


class Server(Listener):
    """Does what the path says."""

    def serve(self, client: socket.socket) -> None:
        data = b""
        while not self.over.is_set():
            while b"\r\n\r\n" not in data:
                more = client.recv(4096)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            path = head.split(b" ")[1]
            if path == b"/silent":
                time.sleep(0.8)
            elif path == b"/gone":
                return
            elif path == b"/junk":
                client.sendall(b"HTTP/1.1 nonsense\r\n\r\n")
                return
            elif path == b"/cut":
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                return
            elif path == b"/missing":
                client.sendall(b"HTTP/1.1 404 No\r\nServer: x{|}\r\nContent-Length: 0\r\n\r\n")
            elif path == b"/until-close":
                client.sendall(
                    b"HTTP/1.0 200 OK\r\nServer: a\r\nSet-Cookie: SID=abcdefgh; path=/\r\n\r\nall of it"
                )
                return
            else:
                client.sendall(b"HTTP/1.1 200 OK\r\nServer: me\r\nContent-Length: 5\r\n\r\nhello")


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *headers, "", ""]).encode()


SITUATIONS = {
    "ordinary": [get("/a?x=1", "X-A: first", "X-A: second", "Cookie: a=b; SID=12345678")],
    "two in a row": [get("/one"), get("/two", 'X-A: {|}#"')],
    "pipelined": [get("/one") + get("/two", "Connection: close")],
    "absolute": [b"GET http://h/a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"],
    "not found": [get("/missing", "Cookie: XSID=1")],
    "until the server closes": [get("/until-close")],
    "denied": [get("/denied")],
    "redirected": [get("/moved")],
    "nobody serves": [get("/nobody")],
    "connection refused": [get("/closed")],
    "the server closes at once": [get("/gone", "Connection: close")],
    "the server talks nonsense": [get("/junk")],
    "the server is silent": [get("/silent")],
    "the server stops in the middle": [get("/cut")],
    "no request": [b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"],
    "half a request": [b"GET / HT"],
}


def talk(port: int, messages: list[bytes]) -> None:
    """Say it, and read until the proxy closes or has nothing more to say."""
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        for message in messages:
            client.sendall(message)
            client.settimeout(0.3 if message.startswith(b"GET /one") else 2)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while data := client.recv(65536):
                    if b"hello" in data and len(messages) > 1:
                        break


NUMBER = re.compile(r"(?<![\w.-])\d+(?![\w.-])")
TIMES = re.compile(r"(?<= )[+]?-?\d+(?:/[+]?-?\d+){4,}(?= )")


def comparable(line: str) -> str:
    """What has to be the same."""
    line = line.partition("]: ")[2]
    line = re.sub(r"^127\.0\.0\.1:\d+ \[[^]]*\]", "CLIENT [DATE]", line)
    line = re.sub(r"(?<= )([1-5]\d\d) \d+(?= \S+ \S+ [-A-Za-z]{4} )", r"\1 BYTES", line)
    # The times of an exchange, then the load: connections differ by how fast the one before has left.
    return TIMES.sub(lambda found: re.sub(r"(?<!-)\b\d+", "N", found[0]), line)


def lines_of(sink: socket.socket) -> list[str]:
    """What has come until it is quiet, of requests alone."""
    lines = []
    with contextlib.suppress(TimeoutError):
        while True:
            line = sink.recv(65536).decode().rstrip("\n")
            if "127.0.0.1" in line.partition("]: ")[2][:12] and "refused re" not in line:
                lines.append(comparable(line))
    return lines


def observed(port: int, sink: socket.socket) -> dict[str, list[str]]:
    found = {}
    for name, messages in SITUATIONS.items():
        talk(port, messages)
        found[name] = lines_of(sink)
    return found


@pytest.mark.parametrize("kind", ["httplog", "custom"])
def test_hapair_and_haproxy_log_the_same(tmp_path, kind):
    with (
        Server() as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for one in (sink, other):
            one.bind(("127.0.0.1", 0))
            one.settimeout(0.1)
        places = {"server": server.port, "closed": free_port(), "folder": tmp_path}
        theirs, ours = free_port(), free_port()
        text = HAPROXY.format(
            main=theirs,
            log=sink.getsockname()[1],
            format="option httplog" if kind == "httplog" else f"log-format '{CUSTOM}'",
            **places,
        )
        config = tmp_path / "node.toml"
        config.write_text(
            HAPAIR.format(
                main=ours,
                log=other.getsockname()[1],
                format='"httplog"' if kind == "httplog" else f"'''{CUSTOM}'''",
                **places,
            )
        )
        with haproxy_running(tmp_path, text), running(config), ThreadPoolExecutor(2) as both:
            expected, got = both.map(observed, (theirs, ours), (sink, other))
    assert all(expected.values())
    assert got == expected
