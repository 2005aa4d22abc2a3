"""tcp_response_content beside HAProxy: what a server says first decides what its client gets."""

from __future__ import annotations

import socket

import pytest
from interop.haproxy import running
from interop.listening import Listener
from proxy.world import World

from hapair.config import model

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RULES = [
    "accept if { res.payload(0,4) -m str GOOD }",
    "reject if { res.payload(0,3) -m str BAD }",
    "close if { res.payload(0,3) -m str CUT }",
    "reject if { res.payload_lv(0,1) -m str lv }",
    "reject if { res.ssl_hello_type 2 } { src 192.0.2.9 }",
    "reject if { res.len gt 200 }",
]
HELLO = bytes.fromhex("160303002a0200002603037f") + bytes(60)
SAID = [
    b"GOOD but BAD",
    b"BAD",
    b"BADLY so",
    b"CUT it",
    b"else",
    b"\x02lv rest",
    b"\x03lv",
    b"B",
    b"x" * 300,
    HELLO,
]
SAID += [HELLO[:5] + b"\x01" + HELLO[6:]]


class Site(Listener):
    """Says one thing to everybody and waits for the end."""

    said = b""

    def serve(self, client: socket.socket) -> None:
        client.sendall(self.said)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass


def ask(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 80\r\n")
        got = b""
        while piece := client.recv(65536):
            got += piece
        return got


def test_clients_get_the_same(tmp_path):
    with Site() as site, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.settimeout(10)
        log.bind(str(tmp_path / "log.sock"))
        sections = (
            f"frontend fe\n  mode tcp\n  bind unix@{tmp_path}/front.sock accept-proxy\n"
            f'  log {tmp_path}/log.sock local0\n  log-format "%ts"\n  default_backend be\n'
            "backend be\n  mode tcp\n  tcp-response inspect-delay 100ms\n"
        )
        sections += "".join(f"  tcp-response content {rule}\n" for rule in RULES)
        sections += f"  server a 127.0.0.1:{site.port}\n"
        with running(tmp_path, sections):
            for said in SAID:
                site.said = said
                theirs = ask(str(tmp_path / "front.sock"))
                flags = log.recv(4096).decode().split()[-1]
                here = World(mode=model.Mode.TCP, tcp_response_content=tuple(RULES))
                client = here.client()
                link = client.server
                link.says(said)
                if link.state == "open" and not client.over:
                    link.ends()
                    client.ends()
                assert client.got == theirs, said
                (line,) = here.lines()
                assert line.split()[4] == flags, (said, line)


def test_a_key_that_the_server_gives_leads_back_to_it():
    """The classic: a TLS session by its id, which first the server says and later the client."""
    table = {"be": model.StickTable(type="binary", length=4, store=("server_id",))}
    pool = tuple(model.Server(name=f"s{i}", id=i, host="h", port=1) for i in (1, 2))
    here = World(
        mode=model.Mode.TCP,
        servers=pool,
        tables=table,
        frontend={"tcp_request_inspect_delay": 1.0},
        stick=("match req.payload(0,4)", "store-response res.payload_lv(0,1)"),
    )
    first = here.client(b"none so far, but enough to be no ClientHello")
    first.server.says(b"\x04\x01\x02\x03\x04 hello")
    for _ in range(3):
        again = here.client(b"\x01\x02\x03\x04 again")
        assert again.server.server is first.server.server
        again.gone()
    assert here.client(b"none of those either, and no hello").server.server is not first.server.server
