"""A server's agent and its checks together, in a running node beside the real HAProxy."""

from __future__ import annotations

import csv
import json
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
timeout = {{ connect = "1s", client = "5s", server = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "app"

[backend.app.server.s]
address = "127.0.0.1:{front}"
weight = 40
check = {{ inter = "100ms" }}
agent_check = {{ port = {agent}, inter = "100ms" }}
"""


class Agent(Listener):
    """Says the same line to everybody who comes."""

    def __init__(self) -> None:
        super().__init__()
        self.line = b"up\n"

    def serve(self, client: socket.socket) -> None:
        client.sendall(self.line)


def ours(folder) -> tuple[str, int]:
    rows = list(csv.DictReader(ask(folder, "show stat").removeprefix("# ").strip().splitlines()))
    row = next(row for row in rows if row["svname"] == "s")
    return row["status"], int(row["weight"])


def theirs(haproxy: Haproxy) -> tuple[str, int]:
    rows = csv.DictReader(haproxy.command("show stat -1 4 -1").removeprefix("# ").strip().splitlines())
    row = next(iter(rows))
    return row["status"], int(row["weight"])


def test_both_do_what_the_agent_says(tmp_path):
    """A zero weight is DRAIN in HAProxy's statistics, whoever set it."""
    front = free_port()
    (tmp_path / "haproxy").mkdir()
    path = tmp_path / "node.toml"
    with Agent() as agent:
        path.write_text(CONFIG.format(folder=tmp_path, front=front, agent=agent.port))
        with running(path):
            haproxy = Haproxy(
                tmp_path / "haproxy",
                "backend app\n mode tcp\n"
                f" server s 127.0.0.1:{front} weight 40 check inter 100"
                f" agent-check agent-port {agent.port} agent-inter 100\n",
            )
            try:
                for line, wanted in (
                    (b"up\n", ("UP", 40)),
                    (b"50%\n", ("UP", 20)),
                    (b"drain\n", ("DRAIN (agent)", 20)),
                    (b"ready 100%\n", ("UP", 40)),
                    (b"maint\n", ("MAINT", 40)),
                    (b"ready\n", ("UP", 40)),
                    (b"down #disk\n", ("DOWN (agent)", 40)),
                    (b"hello\n", ("DOWN (agent)", 40)),
                    (b"100%\n", ("DOWN (agent)", 40)),
                    (b"up\n", ("UP", 40)),
                ):
                    agent.line = line
                    until = time.monotonic() + 5
                    time.sleep(0.25)  # an interval of each: what must not change has its chance to
                    while (ours(tmp_path), theirs(haproxy)) != (wanted, wanted):
                        assert time.monotonic() < until, (line, ours(tmp_path), theirs(haproxy))
                        time.sleep(0.05)
            finally:
                haproxy.end()
            assert json.loads(ask(tmp_path, "show status"))["servers"][0]["status"] == "UP"
