"""A running node under real traffic: bodies of any size in every framing, many clients, slow clients."""

from __future__ import annotations

import http.client
import resource
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from app.node import Daemon, running
from ports import free_port

from lab import bodies

pytestmark = pytest.mark.slow

MIB, GIB = 1 << 20, 1 << 30
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "Cookie": "theme=dark; session=9f8e7d6c5b4a; _ga=GA1.1.1234567890.1700000000; consent=yes",
    "DNT": "1",
    "Referer": "http://www.example.org/start?from=mail&x=%C3%A4",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Upgrade-Insecure-Requests": "1",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node in front of one of the lab's servers."""
    words = [sys.executable, "-m", "lab.backends", "web1", "127.0.0.1", "0"]
    with subprocess.Popen(
        words, cwd=Path(__file__).parents[2] / "netns-lab", stdout=subprocess.PIPE
    ) as server:
        back = int(server.stdout.readline().removeprefix(b"ready on port "))
        path = tmp_path_factory.mktemp("traffic") / "node.toml"
        port = free_port()
        path.write_text(f"""
[node]
name = "traffic"
log = {{ target = "stdout" }}
maxconn = 5000
[defaults]
mode = "http"
maxconn = 5000
forwardfor = true
timeout = {{ connect = "5s", client = "30s", server = "30s", http_request = "10s" }}
[frontend.main]
bind = ["127.0.0.1:{port}"]
default_backend = "web"
[backend.web]
cookie = {{ name = "SERVERID", mode = "insert", indirect = true, nocache = true }}
server.web1 = {{ address = "127.0.0.1:{back}", cookie = "one" }}
""")
        try:
            with running(path) as daemon:
                daemon.port = port
                yield daemon
                assert "Traceback" not in daemon.text()
        finally:
            server.kill()


def connect(node: Daemon) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)


def memory(node: Daemon) -> int:
    """Resident bytes of the node."""
    return int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def received(answer: http.client.HTTPResponse) -> tuple[int, int]:
    length = crc = 0
    while piece := answer.read(1 << 18):
        length += len(piece)
        crc = zlib.crc32(piece, crc)
    return length, crc


def test_a_browser_s_headers_arrive_and_its_own_cookies_stay_its_own(node):
    client = connect(node)
    for _ in range(3):
        client.request("GET", "/?q=caf%C3%A9", headers=BROWSER)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"web1\n")
        assert answer.headers["Set-Cookie"] == "SERVERID=one; path=/"
        assert answer.headers["Cache-Control"] == "private"
    client.close()


@pytest.mark.parametrize("length", [0, 1, MIB, GIB], ids=["nothing", "a byte", "1 MiB", "1 GiB"])
@pytest.mark.parametrize("path", ["/bytes", "/chunked"])
def test_a_download_arrives_whole(node, path, length):
    before = memory(node)
    client = connect(node)
    client.request("GET", f"{path}?n={length}")
    answer = client.getresponse()
    assert received(answer) == (length, bodies.crc32(length))
    client.close()
    assert memory(node) - before < 8 * MIB


@pytest.mark.parametrize("length", [0, 1, MIB, GIB], ids=["nothing", "a byte", "1 MiB", "1 GiB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_an_upload_arrives_whole(node, chunked, length):
    before = memory(node)
    client = connect(node)
    headers = {} if chunked else {"Content-Length": str(length)}
    client.request("POST", "/", bodies.pieces(length), headers, encode_chunked=chunked)
    answer = client.getresponse()
    answer.read()
    assert int(answer.headers["X-Body-Length"]) == length
    assert answer.headers["X-Body-Crc32"] == f"{bodies.crc32(length):08x}"
    client.close()
    assert memory(node) - before < 8 * MIB


def test_two_thousand_clients_keep_their_connections(node):
    before = memory(node)
    clients = [socket.create_connection(("127.0.0.1", node.port), timeout=30) for _ in range(2000)]
    for turn in range(3):
        for client in clients:
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % turn)
        for client in clients:
            answer = b""
            while not answer.endswith(b"web1\n"):
                piece = client.recv(4096)
                assert piece, "a kept connection was closed"
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    each = (memory(node) - before) / len(clients)
    for client in clients:
        client.close()
    assert each < 4096, f"{each:.0f} bytes for each connection"


def test_a_client_that_does_not_read_costs_little_memory_and_nobody_else_time(node):
    before = memory(node)
    stalled = [socket.create_connection(("127.0.0.1", node.port), timeout=30) for _ in range(50)]
    for client in stalled:
        client.sendall(b"GET /bytes?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % GIB)
    client = connect(node)

    def slowest_of(requests: int) -> float:
        slowest = 0.0
        for _ in range(requests):
            began = time.monotonic()
            client.request("GET", "/")
            assert client.getresponse().read() == b"web1\n"
            slowest = max(slowest, time.monotonic() - began)
        return slowest

    try:
        # Until every buffer in between is full the one server is busy filling them, some 8 MB for each.
        until = time.monotonic() + 20
        while slowest_of(100) > 0.05:
            assert time.monotonic() < until, "requests stay slow behind clients that do not read"
        assert slowest_of(500) < 0.2
        assert (memory(node) - before) / len(stalled) < 128 * 1024
    finally:
        for each in stalled:
            each.close()
        client.close()
