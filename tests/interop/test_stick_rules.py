"""Stick rules and dynamic cookies beside HAProxy: the same clients go to the same servers."""

from __future__ import annotations

import contextlib
import random
import re
import socket

import pytest
from interop.haproxy import running
from interop.listening import Listener
from proxy.world import World

from hapair.config import model
from hapair.proxy.persistence import dynamic_value

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SERVERS = ["a", "b", "c"]
RULES = [
    ["on req.hdr(x-user)"],
    ["match req.hdr(x-user)", "store-response res.hdr(x-sid)"],
    ["match req.cook(sid)", "store-request req.cook(sid) if { path_beg /keep }"],
    ["on req.hdr(x-user) unless { path_beg /keep }", "on req.hdr(x-other)"],
    ["store-request req.hdr(x-other)", "store-response res.hdr(x-sid)", "match req.hdr(x-sid)"],
    ["match req.hdr(x-user) table shared", "store-request req.hdr(x-other) table shared", "on req.cook(sid)"],
    [
        "store-response res.hdr(x-sid) if { status 200 }",
        "match req.hdr(x-user)",
        "on req.hdr(x-other) table shared",
    ],
]
COOKIES = [None, model.Cookie("SID", model.CookieMode.INSERT, indirect=True)]
SEEDS = range(40)


def request(rng: random.Random) -> bytes:
    user = [b"u1", b"u2", b"u3", b""]
    lines = [b"GET %b HTTP/1.1" % rng.choice([b"/", b"/keep", b"/fail"]), b"Host: h"]
    for name in (b"X-User", b"X-Other", b"X-Sid"):
        if rng.random() < 0.6:
            lines.append(name + b": " + rng.choice(user))
    if rng.random() < 0.4:
        cookies = [b"sid=" + rng.choice(user), b"SID=" + rng.choice([b"a", b"b", b"zz"])]
        lines.append(b"Cookie: " + b"; ".join(rng.sample(cookies, rng.randrange(1, 3))))
    return b"\r\n".join([*lines, b"", b""])


def answer(asked: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?i)x-sid: (\w*)", asked)
    status = b"404" if b" /fail" in asked else b"200"
    sid = b"X-Sid: %b\r\n" % found[1] if found is not None else b""
    return b"HTTP/1.1 %b X\r\nContent-Length: 0\r\nConnection: close\r\nX-Name: %b\r\n%b\r\n" % (
        status,
        name,
        sid,
    )


class Site(Listener):
    def __init__(self, name: bytes) -> None:
        super().__init__()
        self.name = name

    def serve(self, client: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = client.recv(65536)
            if not more:
                return
            data += more
        client.sendall(answer(data, self.name))


def ask(path: str, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(data)
        got = b""
        while b"\r\n\r\n" not in got:
            more = client.recv(65536)
            assert more, got
            got += more
        return got


def outcome(got: bytes) -> tuple[bytes, bool]:
    found = re.search(rb"(?i)x-name: (\w+)", got)
    assert found is not None, got
    return found[1], b"set-cookie" in got.lower()


def shown(table: str) -> dict[bytes, int]:
    return {key.encode(): int(number) for key, number in re.findall(r"key=(\S*) .*server_id=(\d+)", table)}


def known(here: World, name: str) -> dict[bytes, int]:
    table, now = here.tables[name].table, int(here.now * 1000)
    return {key: table.value(row, "server_id", now) for key, row in table.keys(now)}


@pytest.mark.parametrize("cookie", COOKIES)
@pytest.mark.parametrize("rules", RULES)
def test_clients_stick_where_haproxy_puts_them(tmp_path, rules, cookie):
    with contextlib.ExitStack() as stack:
        sections = (
            f"frontend fe\n  bind unix@{tmp_path}/front.sock\n  default_backend be\n"
            "backend shared\n  stick-table type string len 16 size 50 expire 60s\n"
            "backend be\n  stick-table type string len 16 size 50 expire 60s\n"
        )
        sections += "".join(f"  stick {rule}\n" for rule in rules)
        sections += "  cookie SID insert indirect\n" if cookie else ""
        for name in SERVERS:
            site = stack.enter_context(Site(name.encode()))
            more = {"b": " non-stick", "c": " weight 2"}.get(name, "")
            sections += f"  server {name} 127.0.0.1:{site.port} cookie {name}{more}\n"
        haproxy = stack.enter_context(running(tmp_path, sections))
        table = model.StickTable(type="string", length=16, size=50, expire=60.0)
        both = model.Backend("be", stick=tuple(rules), stick_table=table)
        tables = model.NodeConfig(
            model.Node("n"), backends={"be": both}, stick_tables={"shared": table}
        ).all_stick_tables()
        pool = tuple(
            model.Server(
                name=n, id=i, host="h", port=1, cookie=n, non_stick=n == "b", weight=2 if n == "c" else 1
            )
            for i, n in enumerate(SERVERS, 1)
        )
        here = World(servers=pool, cookie=cookie, stick=tuple(rules), tables=tables)
        for seed in SEEDS:
            asked = request(random.Random(seed))
            theirs = outcome(ask(str(tmp_path / "front.sock"), asked))
            client = here.client(asked)
            client.server.says(answer(asked, client.server.server.name.encode()))
            assert outcome(client.got) == theirs, (seed, asked)
            for name in tables:
                if "server_id" in tables[name].store:
                    assert known(here, name) == shown(haproxy.command(f"show table {name}")), (seed, asked)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_dynamic_cookie_is_haproxys(tmp_path, address):
    sections = (
        f"frontend fe\n  bind unix@{tmp_path}/front.sock\n  default_backend be\n"
        f"backend be\n  cookie SID insert dynamic\n  dynamic-cookie-key sesame\n"
        f"  server a {'[::1]' if ':' in address else address}:8999\n"
    )
    with running(tmp_path, sections) as haproxy:
        shown_cookie = haproxy.command("show stat be 4 -1 json")
    theirs = re.search(r'"name":"cookie"\},.*?"value":"(\w+)"', shown_cookie)
    assert theirs is not None, shown_cookie
    assert dynamic_value("sesame", (2, (address, 8999))) == theirs[1].encode()
