"""What was known of servers survives a restart, and a file that cannot be believed costs nothing."""

from __future__ import annotations

import json
import signal
import socket
import time

import pytest
from app.node import running
from ports import free_port

pytestmark = pytest.mark.slow

CONFIG = """
[node]
name = "test"
log = {{ target = "stdout" }}
state_file = "{folder}/state"

[api]
socket = "{folder}/api.sock"

[defaults]
timeout = {{ connect = "1s", client = "5s", server = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "web"

[backend.web.server]
gone = {{ address = "127.0.0.1:{gone}", check = {{ inter = "{inter}", rise = 2 }} }}
drained = {{ address = "127.0.0.1:{front}", check = {{ inter = "1h" }} }}
follower = {{ address = "127.0.0.1:{front}", track = "web/gone" }}
"""


def ask(folder, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(folder / "api.sock"))
        sock.sendall(command.encode() + b"\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer.decode()


def states(folder) -> dict[str, str]:
    return {one["server"]: one["status"] for one in json.loads(ask(folder, "show status"))["servers"]}


def test_a_server_that_was_down_or_drained_is_so_after_a_restart(tmp_path):
    path, front, gone = tmp_path / "node.toml", free_port(), free_port()
    path.write_text(CONFIG.format(folder=tmp_path, front=front, gone=gone, inter="50ms"))
    with running(path) as daemon:
        daemon.wait_for("Server web/follower is DOWN")
        ask(tmp_path, "set server web/drained state drain; set weight web/drained 7")
        assert daemon.end() == 0
    path.write_text(CONFIG.format(folder=tmp_path, front=front, gone=gone, inter="1h"))
    # It answers again: one success of two, where an unknown server would simply be up.
    with socket.create_server(("127.0.0.1", gone)), running(path) as daemon:
        daemon.wait_for("status: 1/2 DOWN", times=2)
        assert states(tmp_path) == {"gone": "DOWN 1/2", "drained": "DRAIN", "follower": "DOWN 1/2"}
        assert ask(tmp_path, "get weight web/drained").startswith("7 ")


def test_the_file_is_written_while_it_runs_so_that_a_crash_forgets_little(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(CONFIG.format(folder=tmp_path, front=free_port(), gone=free_port(), inter="50ms"))
    with running(path) as daemon:
        daemon.wait_for("Server web/gone is DOWN")
        until = time.monotonic() + 10
        while not (tmp_path / "state").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        daemon.signal(signal.SIGKILL)
        daemon.process.wait(5)
    saved = {one["server"]: one for one in json.loads((tmp_path / "state").read_text())["servers"]}
    assert saved["gone"]["value"] == 0


def test_a_file_that_is_not_ours_is_told_and_left_aside(tmp_path):
    path = tmp_path / "node.toml"
    (tmp_path / "state").write_text("hello")
    path.write_text(CONFIG.format(folder=tmp_path, front=free_port(), gone=free_port(), inter="1h"))
    with running(path) as daemon:
        daemon.wait_for("is not believed")
