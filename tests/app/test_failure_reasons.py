"""Why a check fails: what was sent, expected, received and how long it took, wherever somebody may look."""

from __future__ import annotations

import csv
import html
import json
import re
import socket
import subprocess
import sys

import pytest
from app.node import running
from app.test_quorum import ask, until
from interop.listening import Listener
from ports import free_port

pytestmark = pytest.mark.slow

CONFIG = """
[node]
name = "lb-a"
log = {{ target = "stdout" }}
[api]
socket = "{directory}/api.sock"
listen = "127.0.0.1:{metrics}"
[defaults]
timeout = {{ connect = "5s", client = "5s", server = "5s", check = "5s" }}
check = {{ inter = "50ms", fall = 1 }}
[frontend.stats]
mode = "http"
bind = "127.0.0.1:{page}"
stats = true
[backend.cache]
server.s1 = {{ address = "127.0.0.1:{redis}", check = {{ redis = {{ password = "geheim" }} }} }}
"""

REASON = "Layer7 wrong status"


class Redis(Listener):
    def serve(self, client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"-WRONGPASS <no>\r\n")
        client.recv(4096)


def fetched(port: int, path: str) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer.decode()


def test_everybody_is_told_what_was_sent_expected_and_received_and_how_long_it_took(tmp_path):
    ports = {"metrics": free_port(), "page": free_port()}
    path = tmp_path / "node.toml"
    with Redis() as redis:
        path.write_text(CONFIG.format(directory=tmp_path, redis=redis.port, **ports))
        with running(path) as daemon:
            daemon.wait_for("Health check of cache/s1 sent")
            until(lambda: json.loads(ask(tmp_path, "show status"))["servers"][0]["status"] == "DOWN")
            log = daemon.text()
            assert re.search(
                rf'Health check for server cache/s1 failed, reason: {REASON}, info: ".*WRONGPASS <no>", '
                r"check duration: \d+ms, status: 0/2 DOWN\.",
                log,
            )
            (line,) = re.findall(r"Health check of cache/s1 (sent .*)", log)
            assert re.fullmatch(r'sent ".*", expected .+, received "-WRONGPASS <no>\\r\\n"\.', line)
            details = line.removesuffix(".")
            assert re.search(
                r"Server cache/s1 is DOWN, reason: Layer7 wrong status.*, check duration: \d+ms", log
            )

            (server,) = json.loads(ask(tmp_path, "show status"))["servers"]
            assert server["last_details"] == details
            assert server["last_result"].startswith(REASON)
            assert server["last_duration_ms"] >= 0
            (row,) = (
                row
                for row in csv.DictReader(ask(tmp_path, "show stat").removeprefix("# ").strip().splitlines())
                if row["svname"] == "s1"
            )
            assert row["check_status"] == "L7STS"
            assert "WRONGPASS" in row["check_desc"]
            assert row["check_duration"].isdigit()

            page = fetched(ports["page"], "/haproxy?stats")
            assert html.escape(details) in page
            assert re.search(r"<td>L7STS in \d+ms</td>", page)

            shown = subprocess.run(
                [sys.executable, "-m", "hapair", "status", str(path)],
                capture_output=True, text=True, timeout=30, check=False, env={"COLUMNS": "400"},
            ).stdout  # fmt: skip
            assert details in shown
            assert re.search(r"L7STS in \d+ ms", shown)
            assert "geheim" not in log + page + shown + json.dumps(server) + str(row)
