"""`workers = N` as processes: what clients, operators and the process table see."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from app.node import Daemon, running
from ports import free_port

pytestmark = pytest.mark.slow


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(server.takes)
        server.may_answer.wait(10)
        with server.lock:
            server.now -= 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def origin():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    server.daemon_threads = True
    server.request_queue_size = 128
    server.lock, server.now, server.most, server.takes = threading.Lock(), 0, 0, 0.0
    server.may_answer = threading.Event()
    server.may_answer.set()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Node:
    """A file, and what can be asked."""

    def __init__(self, directory: Path, origin: ThreadingHTTPServer) -> None:
        self.file, self.socket = directory / "node.toml", directory / "api"
        self.port, self.stats_port = free_port(), free_port()
        self._back = origin.server_port
        self.write()

    def write(self, server: str = "", main: str = "", binds: tuple[int, ...] = ()) -> None:
        ports = ", ".join(f'"127.0.0.1:{port}"' for port in (self.port, *binds))
        self.file.write_text(f"""
[node]
name = "test"
log = {{ target = "stdout" }}
maxconn = 100
workers = 2
[api]
socket = "{self.socket}"
[defaults]
mode = "http"
timeout = {{ connect = "2s", client = "5s", server = "5s", queue = "5s" }}
[frontend.main]
bind = [{ports}]
default_backend = "web"
{main}
[frontend.page]
bind = ["127.0.0.1:{self.stats_port}"]
stats = {{ uri = "/stats" }}
[backend.web]
server.s1 = {{ address = "127.0.0.1:{self._back}", weight = 2{server} }}
""")

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.socket))
            sock.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def row(self, proxy: str, name: str) -> dict[str, str]:
        header, *rows = self.ask("show stat").strip().removeprefix("# ").splitlines()
        found = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
        return next(row for row in found if (row["pxname"], row["svname"]) == (proxy, name))

    def workers(self) -> list[int]:
        return [worker["pid"] for worker in json.loads(self.ask("show status"))["workers"]]

    def get(self, path: str = "/", port: int | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture
def node(tmp_path, origin):
    return Node(tmp_path, origin)


def until(condition, seconds: float = 5):
    """Wait for what other processes do; they tell nobody."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def in_threads(count: int, work) -> list:
    found: list = [None] * count

    def one(index: int) -> None:
        found[index] = work()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def gone(pid: int) -> bool:
    """Also a zombie is: whoever adopted it may take his time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_both_serve_and_the_counts_add_up(node):
    with running(node.file) as daemon:
        assert len(set(node.workers())) == 2
        assert in_threads(40, node.get) == [(200, b"ok")] * 40
        until(lambda: node.row("main", "FRONTEND")["stot"] == "40")
        until(lambda: node.row("main", "FRONTEND")["hrsp_2xx"] == node.row("web", "s1")["stot"] == "40")
        until(lambda: node.row("main", "FRONTEND")["scur"] == "0")
        assert all(_listens(pid) for pid in node.workers())
        status, page = node.get("/stats;csv", node.stats_port)
        assert status == 200
        assert b"web,s1," in page
        until(lambda: b"main,FRONTEND,,,0," in node.get("/stats;csv", node.stats_port)[1])
        assert daemon.end() == 0


def test_what_an_operator_says_holds_in_every_worker(node):
    with running(node.file):
        assert node.ask("set server web/s1 state maint") == "\n"
        assert {status for status, _ in in_threads(20, node.get)} == {503}
        node.ask("set server web/s1 state ready")
        assert {status for status, _ in in_threads(20, node.get)} == {200}


def test_what_any_worker_refuses_is_shown(node):
    with running(node.file):
        for number in range(20):
            with socket.create_connection(("127.0.0.1", node.port)) as client:
                client.sendall(b"GET /%d HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n" % number)
                assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
        until(lambda: "Total events captured: 20\n" in node.ask("show errors"))
        shown = node.ask("show errors main request")
        assert [f"GET /{number} HTTP" in shown for number in range(20)] == [True] * 20
        numbers = [int(found) for found in re.findall(r"event #(\d+)", shown)]
        assert sorted(numbers) == list(range(1, 21))
        assert shown.index("GET /19 HTTP") < shown.index("GET /0 HTTP")
        assert "invalid" not in node.ask("show errors main response")


def test_a_servers_slots_are_shared_and_nobody_starves(node, origin):
    node.write(server=", maxconn = 3")
    origin.takes = 0.02
    with running(node.file):
        assert in_threads(40, node.get) == [(200, b"ok")] * 40
    # The two may take the last place at the same instant, once each time one is free.
    assert origin.most <= 4


def test_a_frontends_clients_are_counted_together(node, origin):
    node.write(main="maxconn = 4")
    origin.takes = 0.02
    with running(node.file):
        assert in_threads(30, node.get) == [(200, b"ok")] * 30
    assert origin.most <= 5


def test_a_reload_reaches_every_worker_and_loses_no_request(node, origin):
    origin.takes = 0.005
    more = free_port()
    with running(node.file) as daemon:
        stop = threading.Event()
        statuses: list[int] = []

        def load() -> None:
            while not stop.is_set():
                statuses.append(node.get()[0])

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        node.write(server=", maxconn = 50", binds=(more,))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload: frontend main changed; backend web changed")
        assert in_threads(20, lambda: node.get(port=more)) == [(200, b"ok")] * 20
        node.write()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload: frontend main changed", times=2)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
        with pytest.raises(ConnectionRefusedError):
            node.get(port=more)


def test_a_reload_that_one_cannot_follow_changes_nothing(node):
    with running(node.file) as daemon, socket.create_server(("127.0.0.1", 0)) as busy:
        node.write(binds=(free_port(), busy.getsockname()[1]))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("nothing was changed")
        assert in_threads(10, node.get) == [(200, b"ok")] * 10


def test_a_busy_port_is_found_at_the_start(node):
    with running(node.file):
        other = node.file.with_name("other.toml")
        other.write_text(node.file.read_text().replace(str(node.socket), f"{node.socket}2"))
        with pytest.raises(AssertionError, match=f"cannot bind 127.0.0.1:{node.port}"), running(other):
            pass


def test_a_worker_that_cannot_begin_says_why(node):
    text = node.file.read_text().replace("workers = 2", 'workers = 2\nchroot = "/nowhere/at/all"')
    node.file.write_text(text)
    daemon = Daemon(node.file)
    try:
        assert daemon.process.wait(10) == 1
        assert "node.chroot: cannot use /nowhere/at/all" in daemon.text()
        assert "is ready" not in daemon.text()
    finally:
        daemon.end()


def test_the_death_of_a_worker_ends_the_node(node):
    with running(node.file) as daemon:
        first, second = node.workers()
        os.kill(first, signal.SIGKILL)
        assert daemon.process.wait(5) == 1
        assert f"worker 1 (pid {first}) was killed by SIGKILL" in daemon.text()
        assert gone(second)


def test_a_worker_that_is_stuck_ends_the_node(node):
    with running(node.file) as daemon:
        first, second = node.workers()
        os.kill(second, signal.SIGSTOP)
        assert node.ask("show stat"), "and holds up nobody who asks"
        assert daemon.process.wait(10) == 1
        assert "has answered nothing for 3 s" in daemon.text()
        assert gone(first)
        assert gone(second)


def test_no_worker_outlives_a_killed_control_process(node):
    """Without virtual routers there is no guard that would have them wait."""
    with running(node.file) as daemon:
        workers = node.workers()
        daemon.process.kill()
        until(lambda: all(gone(pid) for pid in workers))
        daemon.process.wait()


def test_a_stop_waits_for_the_sessions_of_every_worker(node, origin):
    origin.may_answer.clear()
    with running(node.file) as daemon:
        workers = node.workers()
        found: list = []
        clients = threading.Thread(target=lambda: found.extend(in_threads(8, node.get)))
        clients.start()
        until(lambda: origin.now == 8)
        daemon.signal(signal.SIGTERM)
        until(lambda: not any(map(_listens, workers)))
        origin.may_answer.set()
        clients.join()
        assert found == [(200, b"ok")] * 8
        assert daemon.process.wait(5) == 0


def _listens(pid: int) -> bool:
    inodes = _sockets(pid)
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[3] == "0A" and line.split()[9] in inodes for line in lines)


def _sockets(pid: int) -> set[str]:
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}
