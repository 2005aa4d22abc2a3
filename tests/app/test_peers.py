"""Two whole nodes in namespaces: what stick tables know survives a SIGKILL of the MASTER."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading

import pytest
from kernel.namespaces import pair, wait_for
from vrrp.processes import Program

pytestmark = [pytest.mark.netns, pytest.mark.slow]

NODE = """
[node]
name = "{name}"
log = {{ target = "stdout" }}

[api]
socket = "{folder}/{name}.sock"

[peers]
listen = "192.0.2.{own}:1024"
peer = "192.0.2.{other}:1024"

[vrrp.web]
interface = "eth0"
virtual_router_id = 51
priority = {priority}
advert_interval = "100ms"
addresses = ["192.0.2.100/24"]

[defaults]
mode = "http"
timeout = {{ client = "5s", connect = "5s", server = "5s", http_request = "5s" }}

[stick_table.seen]
type = "string"
expire = "5m"
store = ["http_req_cnt", "http_req_rate(5m)", "gpc0"]

[frontend.main]
bind = "192.0.2.100:80"
default_backend = "app"
http_request = [
  "track-sc0 req.hdr(x-user) table seen",
  "sc-inc-gpc0(0)",
  "deny deny_status 429 if {{ sc_http_req_rate(0) gt 3 }}",
]

[backend.app]
stick_table = {{ type = "string", expire = "5m" }}
stick = ["on req.hdr(x-user)"]
server.one = {{ address = "192.0.2.2:8001", id = 1 }}
server.two = {{ address = "192.0.2.2:8002", id = 2 }}
"""
USERS = ["ann", "bob", "cid", "dan", "eve"]


class Server:
    """Says its port to everybody."""

    def __init__(self, namespace, port):
        with namespace.entered():
            self._listener = socket.create_server(("192.0.2.2", port))
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n%d" % port
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(5)
                client.recv(65536)
                client.sendall(self._answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def open_gate(namespace):
    """Does somebody accept on the VIP?"""
    with namespace.entered():
        client = socket.socket()
    with client:
        client.settimeout(5)
        return client.connect_ex(("192.0.2.100", 80)) == 0


def ask(namespace, user):
    """The status, and which server."""
    with namespace.entered():
        client = socket.create_connection(("192.0.2.100", 80), timeout=5)
    with client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-User: {user}\r\n\r\n".encode())
        said = b""
        while piece := client.recv(4096):
            said += piece
    return int(said[9:12]), said.rpartition(b"\r\n")[2]


def table(folder, node, name):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(f"{folder}/{node}.sock")
        sock.sendall(f"show table {name}\n".encode())
        said = b""
        while piece := sock.recv(65536):
            said += piece
    found = {}
    for line in said.decode().splitlines():
        key = re.search(r" key=(\w+) ", line)
        if key is not None:
            found[key[1]] = dict(re.findall(r"(server_id|http_req_cnt|gpc0)=(\d+)", line))
    return found


def test_stickiness_and_limits_survive_the_death_of_the_master(tmp_path):
    programs, servers = [], []
    with pair() as (a, b):
        try:
            servers = [Server(b, 8001), Server(b, 8002)]
            for namespace, name, own, other, priority in ((a, "a", 1, 2, 200), (b, "b", 2, 1, 100)):
                path = tmp_path / f"{name}.toml"
                path.write_text(
                    NODE.format(name=name, folder=tmp_path, own=own, other=other, priority=priority)
                )
                programs.append(Program(namespace, sys.executable, "-m", "hapair", "run", str(path)))
                if name == "a":  # before the other can be MASTER for a moment
                    programs[0].wait_for("Entering MASTER STATE", 20)
            first, second = programs
            for program in programs:
                program.wait_for("has told what it knew", 20)
            wait_for(lambda: open_gate(b), what="the gate")
            before = {user: [ask(b, user) for _ in range(2)] for user in USERS}
            assert {place for answers in before.values() for _, place in answers} == {b"8001", b"8002"}
            for user, answers in before.items():
                assert answers[0] == answers[1], user
                assert answers[0][0] == 200, user

            def heard():
                known = table(tmp_path, "b", "seen")
                counts = all(known.get(user) == {"http_req_cnt": "2", "gpc0": "2"} for user in USERS)
                return counts and len(table(tmp_path, "b", "app")) == len(USERS)

            wait_for(heard, what="the peer to hear of everything")
            assert table(tmp_path, "a", "app") == table(tmp_path, "b", "app")
            first.signal(signal.SIGKILL)
            second.wait_for("Entering MASTER STATE", 20)
            wait_for(lambda: "192.0.2.100/24" in b.addresses(), what="the VIP")
            wait_for(lambda: open_gate(b), what="the gate")
            for user, answers in before.items():
                assert ask(b, user) == answers[0], "the third goes where the others went"
                assert ask(b, user)[0] == 429, "the fourth is one too many, whoever counts"

            path = tmp_path / "a.toml"
            programs.append(Program(a, sys.executable, "-m", "hapair", "run", str(path)))
            programs[-1].wait_for("has told what it knew", 20)
            known = table(tmp_path, "a", "seen")
            assert {user: known[user]["gpc0"] for user in USERS} == dict.fromkeys(USERS, "4")
        finally:
            for program in programs:
                program.close()
            for server in servers:
                server.close()
