"""observe and on_error in a running node beside the real HAProxy: DOWN by traffic, while checks pass."""

from __future__ import annotations

import csv
import socket
import time

import pytest
from app.node import running
from app.test_saved_state import ask
from interop.haproxy import Haproxy
from interop.listening import Listener
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CONFIG = """
[node]
name = "test"
log = {{ target = "stdout" }}

[api]
socket = "{folder}/api.sock"

[defaults]
mode = "http"
timeout = {{ connect = "1s", client = "5s", server = "5s", http_request = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "app"

[backend.app.server.s]
address = "127.0.0.1:{port}"
check = {{ inter = "1h", type = "tcp" }}
observe = "layer7"
error_limit = 3
on_error = "{on_error}"
"""
HAPROXY = """
frontend main
 bind 127.0.0.1:{front}
 default_backend app
backend app
 server s 127.0.0.1:{port} check inter 1h observe layer7 error-limit 3 on-error {on_error}
"""


class Server(Listener):
    """Answers every request with the same status."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200

    def serve(self, client: socket.socket) -> None:
        if client.recv(4096):
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode())


def request(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    return answer[9:12]


def status(text: str) -> str:
    rows = csv.DictReader(text.removeprefix("# ").strip().splitlines())
    return next(row["status"] for row in rows if row["svname"] == "s").split(" ")[0]


@pytest.mark.parametrize("who", ["hapair", "haproxy"])
@pytest.mark.parametrize(("on_error", "down_after"), [("mark-down", 3), ("sudden-death", 6)])
def test_answers_that_are_errors_take_a_server_down(tmp_path, who, on_error, down_after):
    """501 is an answer that a well server gives; a good one in between starts the count again."""
    front = free_port()
    with Server() as server:
        places = {"folder": tmp_path, "front": front, "port": server.port, "on_error": on_error}
        if who == "hapair":
            path = tmp_path / "node.toml"
            path.write_text(CONFIG.format(**places))
            with running(path) as daemon:
                drive(server, front, down_after, lambda: status(ask(tmp_path, "show stat")))
                assert "Detected 3 consecutive errors, last one was: Invalid HTTP status" in daemon.text()
        else:
            haproxy = Haproxy(tmp_path, HAPROXY.format(**places))
            try:
                drive(server, front, down_after, lambda: status(haproxy.command("show stat -1 4 -1")))
            finally:
                haproxy.end()


def drive(server: Server, front: int, down_after: int, state) -> None:
    until = time.monotonic() + 5
    while request(front) != b"200" or state() != "UP":
        assert time.monotonic() < until
        time.sleep(0.05)
    for code in (500, 500, 501, 404, 500, 500, 200):
        server.status = code
        assert request(front) == str(code).encode()
    assert state() == "UP"
    server.status = 503
    for _ in range(down_after):
        assert state() == "UP"
        assert request(front) == b"503"
    until = time.monotonic() + 5
    while state() != "DOWN":
        assert time.monotonic() < until, state()
        time.sleep(0.02)
