"""`hapair run` as a process: start, reload, stop, and every way it refuses to start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from app.node import running
from ports import free_port

pytestmark = pytest.mark.slow


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/hold":
            self.server.held.set()
            self.server.let_go.wait(10)
        body = self.server.name.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    servers = []

    def start(name: str) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
        server.name = name
        server.held, server.let_go = threading.Event(), threading.Event()
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.let_go.set()
        server.shutdown()
        server.server_close()


def config(front: int, back: int, more: str = "") -> str:
    return f"""
[node]
name = "test"
log = {{ target = "stdout" }}
hard_stop_after = "3s"

[defaults]
mode = "http"
timeout = {{ connect = "1s", client = "5s", server = "5s", http_request = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "web"

[backend.web]
server.one = {{ address = "127.0.0.1:{back}" }}
{more}
"""


def get(port: int, path: str = "/") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=8) as response:
        return response.read().decode()


def refusal(tmp_path, text: str) -> tuple[int, str]:
    path = tmp_path / "node.toml"
    path.write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "hapair", "run", str(path)], capture_output=True, text=True, timeout=20
    )
    assert "Traceback" not in ended.stderr + ended.stdout
    return ended.returncode, ended.stderr


def test_requests_flow_and_sigterm_ends_with_code_0(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port))
    with running(path) as daemon:
        assert get(port) == "one"
        assert daemon.end() == 0
        with socket.socket() as sock:
            assert sock.connect_ex(("127.0.0.1", port)) != 0
        assert "Traceback" not in daemon.text()


def test_a_reload_moves_new_requests_and_keeps_the_connection(tmp_path, backend):
    port, one, two = free_port(), backend("one"), backend("two")
    path = tmp_path / "node.toml"
    path.write_text(config(port, one.server_port))
    with running(path) as daemon, socket.create_connection(("127.0.0.1", port), timeout=5) as client:

        def ask() -> bytes:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while not answer.endswith((b"one", b"two")):
                piece = client.recv(4096)
                assert piece, "the reload closed an unchanged frontend's connection"
                answer += piece
            return answer[-3:]

        assert ask() == b"one"
        path.write_text(config(port, two.server_port))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload: ")
        assert ask() == b"two"


def test_a_server_that_is_down_comes_back_after_a_reload_that_changed_its_check(tmp_path, backend):
    """The new check starts from "up", the server from "down": they must find together."""
    port, back, server = free_port(), free_port(), backend("one")
    path = tmp_path / "node.toml"
    text = config(port, back).replace(
        f'server.one = {{ address = "127.0.0.1:{back}" }}',
        f'server.one = {{ address = "127.0.0.1:{back}", check = {{ inter = "50ms" }} }}',
    )
    path.write_text(text)
    with running(path) as daemon:
        daemon.wait_for("Server web/one is DOWN")
        path.write_text(text.replace(f'"127.0.0.1:{back}", check', f'"127.0.0.1:{back}", weight = 2, check'))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("reload: ")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(port)
        path.write_text(text.replace("50ms", "60ms"))
        again = ThreadingHTTPServer(("127.0.0.1", back), Hello)
        again.name = server.name
        threading.Thread(target=again.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("Server web/one is UP")
        assert get(port) == "one"
        again.shutdown()
        again.server_close()


def test_an_invalid_file_changes_nothing_and_says_where(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port))
    with running(path) as daemon:
        path.write_text(config(port, server.server_port).replace("default_backend", "defualt_backend"))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("nothing was changed")
        assert 'did you mean "default_backend"' in daemon.text()
        assert f"{path}:13" in daemon.text()
        assert get(port) == "one"


def test_a_reload_onto_a_busy_port_changes_nothing(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port))
    with running(path) as daemon, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        more = f'[frontend.more]\nbind = ["127.0.0.1:{busy.getsockname()[1]}"]\ndefault_backend = "web"\n'
        path.write_text(config(port, server.server_port, more))
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("nothing was changed")
        assert "Address already in use" in daemon.text()
        assert get(port) == "one"


def test_a_graceful_stop_lets_a_request_in_flight_end(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port))
    answers: list[str] = []
    with running(path) as daemon:
        asking = threading.Thread(target=lambda: answers.append(get(port, "/hold")))
        asking.start()
        assert server.held.wait(5)
        daemon.signal(signal.SIGTERM)
        daemon.wait_for("stopping on SIGTERM")
        server.let_go.set()
        asking.join(5)
        assert answers == ["one"]
        assert daemon.process.wait(5) == 0


def test_sessions_that_do_not_end_are_cut_after_hard_stop_after(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port).replace('"3s"', '"300ms"'))
    with running(path) as daemon:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            assert server.held.wait(5)
            daemon.signal(signal.SIGTERM)
            assert daemon.process.wait(5) == 0
        assert "1 sessions were still open and are cut" in daemon.text()


def test_the_service_manager_hears_ready_reloading_and_stopping(tmp_path, backend):
    port, server = free_port(), backend("one")
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        with running(path, {"NOTIFY_SOCKET": manager.getsockname()}) as daemon:
            assert manager.recv(1000).startswith(b"READY=1")
            daemon.signal(signal.SIGHUP)
            assert manager.recv(1000).startswith(b"RELOADING=1")
            assert manager.recv(1000).startswith(b"READY=1")
            daemon.end()
            assert manager.recv(1000) == b"STOPPING=1"


def test_a_busy_port_fails_at_once(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        code, said = refusal(tmp_path, config(busy.getsockname()[1], 9))
    assert code == 1
    assert "cannot bind" in said
    assert "Address already in use" in said


@pytest.mark.netns  # the guard comes first, which a user cannot start
def test_an_unknown_interface_fails_at_once(tmp_path):
    vrrp = '[vrrp.web]\ninterface = "nosuch0"\nvirtual_router_id = 51\naddresses = ["192.0.2.100/24"]\n'
    code, said = refusal(tmp_path, config(free_port(), 9, vrrp))
    assert code == 1
    assert "there is no interface nosuch0" in said


def test_an_unknown_user_fails_at_once(tmp_path):
    text = config(free_port(), 9).replace('name = "test"', 'name = "test"\nuser = "nobody-of-this-name"')
    code, said = refusal(tmp_path, text)
    assert code == 1
    assert "there is no user 'nobody-of-this-name'" in said


def test_a_missing_file_fails_at_once(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "hapair", "run", str(tmp_path / "absent.toml")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode in (1, 2)
    assert "absent.toml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_instance_does_not_start(tmp_path, backend):
    server = backend("one")
    text = config(free_port(), server.server_port).replace(
        'name = "test"', f'name = "test"\npidfile = "{tmp_path}/hapair.pid"'
    )
    path = tmp_path / "node.toml"
    path.write_text(text)
    with running(path):
        code, said = refusal(tmp_path, text)
        assert code == 1
        assert "held by a hapair that runs already" in said


def test_statistics_metrics_and_commands_tell_one_story(tmp_path, backend):
    port, stats, scrape, server = free_port(), free_port(), free_port(), backend("one")
    more = f"""
[frontend.stats]
bind = ["127.0.0.1:{stats}"]
stats = {{ uri = "/haproxy?stats", auth = ["admin:secret"] }}

[api]
socket = "{tmp_path}/hapair.sock"
listen = "127.0.0.1:{scrape}"
"""
    path = tmp_path / "node.toml"
    path.write_text(config(port, server.server_port, more))
    with running(path):
        for _ in range(3):
            assert get(port) == "one"
        assert 'haproxy_server_sessions_total{proxy="web",server="one"} 3' in get(scrape, "/metrics")

        def command(text: str) -> str:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(f"{tmp_path}/hapair.sock")
                client.sendall(text.encode() + b"\n")
                answer = b""
                while piece := client.recv(65536):
                    answer += piece
                return answer.decode()

        header, *lines = command("show stat").strip().splitlines()
        columns = header.removeprefix("# ").split(",")
        row = next(line for line in lines if line.startswith("web,one,"))
        one = dict(zip(columns, row.split(","), strict=True))
        assert (one["stot"], one["status"]) == ("3", "no check")
        assert command("set server web/one state maint") == "\n"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(port)
        assert command("set server web/one state ready; show version").startswith("\n2.6.0-hapair-")
        assert get(port) == "one"
        assert command("set server web/nosuch state ready") == "No such server.\n\n"

        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(stats, "/haproxy?stats")
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, f"http://127.0.0.1:{stats}/", "admin", "secret")
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
        with opener.open(f"http://127.0.0.1:{stats}/haproxy?stats;csv", timeout=5) as response:
            assert response.read().decode().startswith("# pxname,svname,")
