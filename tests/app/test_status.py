"""`hapair status` of a node that really runs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from app.node import running
from ports import free_port

pytestmark = pytest.mark.slow


def test_a_running_node_tells_its_state(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text(f"""
[node]
name = "lb-a"
log = {{ target = "stdout" }}
[api]
socket = "{tmp_path}/node.sock"
[defaults]
timeout = {{ connect = "1s", client = "1s", server = "1s" }}
[frontend.main]
bind = ["127.0.0.1:{free_port()}"]
default_backend = "web"
[backend.web]
server.web1 = {{ address = "127.0.0.1:{free_port()}", check = {{ inter = "50ms" }} }}
""")
    with running(file) as node:
        node.wait_for("Server web/web1 is DOWN")
        done = subprocess.run(
            [sys.executable, "-m", "hapair", "status", str(file), "--json"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        report = json.loads(done.stdout)
    assert report["node"] == "lb-a"
    assert report["vrrp"] == []
    assert [(one["server"], one["status"], one["check"]) for one in report["servers"]] == [
        ("web1", "DOWN", "L4CON")
    ]
