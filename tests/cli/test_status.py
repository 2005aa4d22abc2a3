"""`hapair status` for people, for programs, and when there is nobody to ask."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from hapair.cli import status as module
from hapair.cli.main import main
from hapair.cli.status import age

ROUTER = {
    "name": "web",
    "state": "MASTER",
    "since": 12.3,
    "cause": "192.0.2.12 resigned",
    "transitions": 2,
    "priority": 150,
    "effective_priority": 150,
    "why": "",
    "peer": {"address": "192.0.2.12", "priority": 100, "interval": 1.0, "heard": 0.4},
    "adverts_sent": 12,
    "adverts_received": 3,
    "drops": {"ttl": 2},
    "addresses": ["192.0.2.100/24"],
    "gates": {"192.0.2.100/24": True},
}
SERVER = {
    "backend": "web",
    "server": "web1",
    "status": "UP",
    "sessions": 3,
    "check": "L7OK",
    "last_result": "Layer7 check passed [/200]",
}
REPORT = {"node": "lb-a", "version": "0.1", "vrrp": [ROUTER], "servers": [SERVER]}


@pytest.fixture
def node(tmp_path: Path):
    """A socket that answers like a node, once; say what."""
    path = tmp_path / "node.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    threads = []

    def answering(answer: str) -> Path:
        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                assert peer.recv(100) == b"show status\n"
                peer.sendall(answer.encode())

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return path

    yield answering
    for thread in threads:
        thread.join(5)
    listener.close()


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["status", *map(str, words)], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_people_see_who_is_master_and_what_the_servers_do(node):
    code, out, _ = run("--socket", node(json.dumps(REPORT)))
    assert code == 0
    for words in (
        "lb-a",
        "MASTER",
        "12.3s",
        "150",
        "192.0.2.100/24 open",
        "192.0.2.12 priority 100, 0.4s ago",
        "2 dropped (ttl)",
    ):
        assert words in out
    assert "Layer7 check passed [/200]" in out, "not taken for markup"


def test_a_priority_that_is_not_the_configured_one_is_explained(node):
    router = ROUTER | {"effective_priority": 1, "why": "backend web has 0 usable servers, needs 1"}
    _, out, _ = run("--socket", node(json.dumps(REPORT | {"vrrp": [router]})))
    assert "1 (of 150)" in out
    assert "backend web has 0 usable servers, needs 1" in out


def test_a_backup_says_that_its_gate_is_closed(node):
    router = ROUTER | {"state": "BACKUP", "gates": {"192.0.2.100/24": False}, "transitions": 1}
    _, out, _ = run("--socket", node(json.dumps(REPORT | {"vrrp": [router]})))
    assert "192.0.2.100/24 closed" in out
    assert "1 transition\n" in out


def test_programs_get_json(node):
    code, out, _ = run("--json", "--socket", node(json.dumps(REPORT)))
    assert code == 0
    assert json.loads(out) == REPORT


def test_a_fault_is_an_exit_code(node):
    code, _, _ = run("--socket", node(json.dumps(REPORT | {"vrrp": [ROUTER | {"state": "FAULT"}]})))
    assert code == 2


def test_a_node_with_nothing_says_so(node):
    _, out, _ = run("--socket", node(json.dumps(REPORT | {"vrrp": [], "servers": []})))
    assert "neither routers nor servers" in out


def test_nobody_to_ask_is_said_in_words(tmp_path, node, monkeypatch):
    code, _, err = run("--socket", tmp_path / "none")
    assert (code, "the node does not run" in err) == (1, True)
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    code, _, err = run("--socket", dead)
    assert (code, "the node has died" in err) == (1, True)
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "frozen"))
        frozen.listen(1)
        monkeypatch.setattr(module, "PATIENCE", 0.05)
        code, _, err = run("--socket", tmp_path / "frozen")
        assert (code, "frozen or overloaded" in err) == (1, True)
    code, _, err = run("--socket", node("Unknown command: 'show status'\n"))
    assert (code, "no hapair of this version" in err) == (1, True)


def test_a_file_names_the_socket_or_the_reason_why_not(tmp_path, node):
    file = tmp_path / "node.toml"
    file.write_text(f'[node]\nname = "lb-a"\n[api]\nsocket = "{node(json.dumps(REPORT))}"\n')
    assert run(file)[0] == 0
    file.write_text('[node]\nname = "lb-a"\n')
    code, _, err = run(file)
    assert (code, "has no runtime socket" in err) == (1, True)
    file.write_text("[nod]\n")
    assert run(file)[0] == 1
    assert "--socket" in run()[2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599.9, "59m59s"), (7500, "2h05m"), (360000, "4d04h")],
)
def test_ages_have_two_units(seconds, text):
    assert age(seconds) == text
