"""`hapair run` tells people and programs what happens to it."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import contextmanager
from email import message_from_bytes

import pytest
from app.node import Daemon, running
from notify.smtp import mail_server
from ports import free_port

pytestmark = pytest.mark.slow

CONFIG = """
[node]
name = "lb-a"
log = {{ target = "stdout" }}
event_log = "{directory}/events.json"

[api]
listen = "127.0.0.1:{metrics}"

[email]
smtp_server = "127.0.0.1:{smtp}"
from = "lb@example.org"
to = ["ops@example.org"]
smtp_alert_checker = {alert}

[defaults]
timeout = {{ connect = "1s", client = "5s", server = "5s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "web"

[backend.web]
server.one = {{ address = "127.0.0.1:{back}", check = {{ inter = "50ms", rise = 1, fall = 1 }} }}
"""


@contextmanager
def listening(port: int):
    with socket.create_server(("127.0.0.1", port), backlog=64) as server:
        yield server


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_server_that_goes_is_mailed_and_logged_and_a_rotated_log_goes_on(tmp_path):
    log = tmp_path / "events.json"
    ports = {"metrics": free_port(), "front": free_port(), "back": free_port()}
    with mail_server() as smtp:
        values = {"directory": tmp_path, "smtp": smtp.address[1], **ports}
        path = tmp_path / "node.toml"
        path.write_text(CONFIG.format(**values, alert="true"))
        with running(path) as daemon:
            daemon.wait_for("is ready")
            assert smtp.taken.acquire(timeout=10)
            wait_for(lambda: len(events(log)) == 2)
            mail = message_from_bytes(smtp.mails[0])
            assert mail["Subject"] == "[lb-a] Server web/one - DOWN"
            assert {one["event"] for one in events(log)} == {"start", "server"}

            log.rename(tmp_path / "old.json")
            path.write_text(CONFIG.format(**values, alert="false"))
            daemon.signal(signal.SIGHUP)
            wait_for(lambda: log.exists() and events(log))
            assert events(log)[0]["cause"] == "email changed"
            with listening(ports["back"]):
                wait_for(lambda: len(events(log)) == 2)
            assert events(log)[1]["to"] == "UP"

            path.write_text("nonsense")
            daemon.signal(signal.SIGHUP)
            daemon.wait_for("nothing was changed")
            assert daemon.end() == 0
        assert [one["event"] for one in events(log)[-2:]] == ["reload failed", "stop"]
        assert len(smtp.mails) == 1
        assert len(events(tmp_path / "old.json")) == 2


def test_a_fifo_that_cannot_be_used_prevents_the_start(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(f'[node]\nname = "a"\nnotify_fifo = "{path}"\n')
    daemon = Daemon(path)
    try:
        assert daemon.process.wait(10) == 1
        assert f"node.notify_fifo: {path} is there and is not a FIFO" in daemon.text()
    finally:
        daemon.end()
