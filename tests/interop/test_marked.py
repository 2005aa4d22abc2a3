"""on_marked_down and on_marked_up, in a running node beside the real HAProxy: who is cut, and its flags."""

from __future__ import annotations

import re
import socket
import time

import pytest
from app.node import running
from interop.haproxy import Haproxy
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CONFIG = """
[node]
name = "test"
log = [{{ target = "stdout" }}, {{ target = "127.0.0.1:{log}" }}]

[defaults]
log_format = "tcplog"
timeout = {{ connect = "1s", client = "30s", server = "30s" }}

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "app"

[backend.app.server.main]
address = "127.0.0.1:{main}"
check = {{ inter = "100ms" }}
on_marked_down = "shutdown-sessions"
on_marked_up = "shutdown-backup-sessions"

[backend.app.server.spare]
address = "127.0.0.1:{spare}"
backup = true
"""
HAPROXY = """
defaults
 timeout connect 1s
 timeout client 30s
 timeout server 30s
 option tcplog
frontend main
 mode tcp
 log 127.0.0.1:{log} local0
 bind 127.0.0.1:{front}
 default_backend app
backend app
 mode tcp
 default-server inter 100 on-marked-down shutdown-sessions on-marked-up shutdown-backup-sessions
 server main 127.0.0.1:{main} check
 server spare 127.0.0.1:{spare} backup
"""
_FLAGS = re.compile(rb" app/(\w+) \S+ \d+ (\S\S) ")


class Logs:
    """What comes to a syslog port: the session's server and flags."""

    def __init__(self) -> None:
        self._sock = socket.socket(type=socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.settimeout(5)
        self.port = self._sock.getsockname()[1]

    def next(self) -> tuple[bytes, bytes]:
        """Of the next session that was cut."""
        while True:
            found = _FLAGS.search(self._sock.recv(4096))
            if found is not None and found[2][:1] in b"DU":
                return found[1], found[2]

    def close(self) -> None:
        self._sock.close()


def session(port: int, servers: list[socket.socket], which: int) -> tuple[socket.socket, socket.socket]:
    """A client and its connection at server `which`, tried until it gets there."""
    until = time.monotonic() + 5
    while True:
        client = socket.create_connection(("127.0.0.1", port), 5)
        client.settimeout(5)
        try:
            there, _ = servers[which].accept()
        except TimeoutError:
            client.close()
            assert time.monotonic() < until, "no session gets there"
            continue
        there.sendall(b"x")
        assert client.recv(1) == b"x"
        return client, there


def listen(port: int) -> socket.socket:
    found = socket.create_server(("127.0.0.1", port))
    found.settimeout(0.2)
    return found


def is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("who", ["hapair", "haproxy"])
def test_sessions_end_with_their_server_and_those_of_the_backup_when_it_is_back(tmp_path, who):
    front, main, spare = free_port(), free_port(), free_port()
    logs, backup, first = Logs(), listen(spare), listen(main)
    places = {"folder": tmp_path, "front": front, "main": main, "spare": spare, "log": logs.port}
    if who == "hapair":
        path = tmp_path / "node.toml"
        path.write_text(CONFIG.format(**places))
        node = running(path)
        node.__enter__()
    else:
        haproxy = Haproxy(tmp_path, HAPROXY.format(**places))
    try:
        client, there = session(front, [first, backup], 0)
        first.close()  # its checks fail from now on; the session would go on
        assert is_cut(client)
        assert logs.next() == (b"main", b"D-")
        client.close()
        there.close()
        client, there = session(front, [first, backup], 1)
        again = listen(main)
        assert is_cut(client)
        assert logs.next() == (b"spare", b"U-")
        for one in (client, there, again):
            one.close()
    finally:
        if who == "hapair":
            node.__exit__(None, None, None)
        else:
            haproxy.end()
        logs.close()
        backup.close()
