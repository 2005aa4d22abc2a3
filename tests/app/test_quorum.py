"""`hapair run` with a quorum: who serves, who is told, what is logged."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time

import pytest
from app.node import running
from ports import free_port

pytestmark = pytest.mark.slow

CONFIG = """
[node]
name = "lb-a"
log = {{ target = "stdout" }}
event_log = "{directory}/events.json"
workers = {workers}
{user}

[api]
socket = "{directory}/api.sock"

[defaults]
mode = "http"
timeout = {{ connect = "1s", client = "5s", server = "5s", check = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "web"

[backend.web]
quorum = {quorum}
quorum_up = ["/bin/sh", "-c", "echo up >> {directory}/told"]
quorum_down = ["/bin/sh", "-c", "echo down >> {directory}/told"]
sorry_server = "sorry"
server.a = {{ address = "127.0.0.1:{a}", check = {{ inter = "50ms", rise = 1, fall = 1 }} }}
server.b = {{ address = "127.0.0.1:{b}", check = {{ inter = "50ms", rise = 1, fall = 1 }} }}
server.sorry = {{ address = "127.0.0.1:{sorry}" }}
"""


@contextlib.contextmanager
def web(name: str, port: int):
    """Answers every connection with its name."""
    server = socket.create_server(("127.0.0.1", port), backlog=64)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    if client.recv(4096):
                        client.sendall(
                            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                            % (len(name), name.encode())
                        )

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def get(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    return answer.rpartition(b"\r\n\r\n")[2].decode()


def until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(directory, line: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(directory / "api.sock"))
        client.sendall(line.encode() + b"\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer.decode()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sorry_server_serves_while_the_quorum_is_lost_and_scripts_are_told(tmp_path, workers):
    ports = {name: free_port() for name in ("front", "a", "b", "sorry")}
    user = 'script_user = "root"' if os.geteuid() == 0 else ""
    path, told = tmp_path / "node.toml", tmp_path / "told"

    def write(quorum: int) -> None:
        path.write_text(CONFIG.format(directory=tmp_path, quorum=quorum, workers=workers, user=user, **ports))

    def heard() -> list[str]:
        return told.read_text().split() if told.exists() else []

    write(2)
    servers = (web(name, ports[name]) for name in ("a", "b", "sorry"))
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        daemon = stack.enter_context(running(path))
        daemon.wait_for("Gained quorum 2+0=2 <= 2 for backend web.")
        until(lambda: heard() == ["up"])
        assert {get(ports["front"]) for _ in range(4)} <= {"a", "b"}

        assert ask(tmp_path, "set server web/b state maint").strip() == ""
        daemon.wait_for("Lost quorum 2-0=2 > 1 for backend web.")
        daemon.wait_for("Adding sorry server sorry to backend web.")
        until(lambda: heard() == ["up", "down"])
        until(lambda: get(ports["front"]) == "sorry")
        states = {one["server"]: one["status"] for one in json.loads(ask(tmp_path, "show status"))["servers"]}
        assert states == {"a": "NOLB", "b": "MAINT", "sorry": "no check"}

        write(1)  # a reload asks for less
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("Gained quorum 1+0=1 <= 1 for backend web.")
        daemon.wait_for("Removing sorry server sorry from backend web.")
        until(lambda: heard() == ["up", "down", "up"])
        until(lambda: get(ports["front"]) == "a")
        events = [json.loads(line) for line in (tmp_path / "events.json").read_text().splitlines()]
        assert [one["to"] for one in events if one["event"] == "quorum"] == ["gained", "lost", "gained"]


def test_checks_that_fail_lose_it_and_a_check_that_passes_gains_it(tmp_path):
    ports = {name: free_port() for name in ("front", "a", "b", "sorry")}
    user = 'script_user = "root"' if os.geteuid() == 0 else ""
    path = tmp_path / "node.toml"
    path.write_text(CONFIG.format(directory=tmp_path, quorum=1, workers=0, user=user, **ports))
    with web("sorry", ports["sorry"]), running(path) as daemon:
        daemon.wait_for("Lost quorum 1-0=1 > 0 for backend web.")
        until(lambda: get(ports["front"]) == "sorry")
        with web("b", ports["b"]):
            daemon.wait_for("Removing sorry server sorry from backend web.")
            until(lambda: get(ports["front"]) == "b")
