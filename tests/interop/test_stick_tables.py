"""What is counted in a stick table, beside HAProxy: the same requests give the same numbers."""

from __future__ import annotations

import re
import socket

import pytest
from balance.keyed_oracle import Server
from interop.haproxy import running
from proxy.world import World

from hapair.config import model

pytestmark = [pytest.mark.interop, pytest.mark.slow]

STORED = (
    "conn_cnt conn_cur conn_rate(60s) sess_cnt sess_rate(60s) http_req_cnt http_req_rate(60s) http_err_cnt "
    "http_fail_cnt gpc0 gpc0_rate(60s) gpt0"
).split()
RULES = ["sc-inc-gpc0(0) if { path /count }", "sc-set-gpt0(0) 7 if { path /count }", "deny if { path /no }"]
PATHS = ["/", "/no", "/count", "/no", "/count"]


def haproxys(folder, track: list[str]) -> list[dict[str, int]]:
    """The counters after each request, and after the connection's end."""
    server = Server("a", folder / "a.sock")
    rules = "".join(f"  {one}\n" for one in [*track, *(f"http-request {one}" for one in RULES)])
    sections = (
        f"frontend fe\n  bind unix@{folder}/front.sock accept-proxy\n"
        f"  stick-table type ip size 100 expire 60s store {','.join(STORED)}\n{rules}"
        f"  default_backend be\nbackend be\n  server a unix@{folder}/a.sock\n"
    )
    found = []
    try:
        with running(folder, sections) as haproxy, socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(folder / "front.sock"))
            client.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 80\r\n")
            for path in PATHS:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
                assert client.recv(65536)
                found.append(_counters(haproxy.command("show table fe")))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
            found.append(_counters(haproxy.command("show table fe")))
    finally:
        server.end()
    return found


def _counters(shown: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)(?:\(\d+\))?=(\d+)(?= |\n)", shown)}


def ours(track: list[str]) -> list[dict[str, int]]:
    tcp = [one.removeprefix("tcp-request session ") for one in track if one.startswith("tcp")]
    http = [one.removeprefix("http-request ") for one in track if one.startswith("http")]
    table = model.StickTable(size=100, expire=60.0, store=tuple(STORED))
    here = World(
        frontend={"tcp_request_session": tuple(tcp), "http_request": (*http, *RULES)}, tables={"fe": table}
    )
    client = here.client()
    found = []
    for path in PATHS:
        client.sends(f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode())
        if path != "/no":
            client.server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")
        found.append(_ours(here))
    client.ends()
    found.append(_ours(here))
    return found


def _ours(here: World) -> dict[str, int]:
    table, now = here.tables["fe"].table, int(here.now * 1000)
    row = table.find(0xC0000209, now)
    return {"use": table.uses(row), **{name: table.value(row, name, now) for name in table.starts}}


@pytest.mark.parametrize("track", ["tcp-request session track-sc0 src", "http-request track-sc0 src"])
def test_the_numbers_are_haproxys(track, tmp_path):
    theirs = haproxys(tmp_path, [track])
    for mine, other in zip(ours([track]), theirs, strict=True):
        assert mine == {name: other[name] for name in mine}
