"""The examples in configs/ do what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hapair.app.check import load_config
from hapair.proxy.backend import Backend
from hapair.proxy.frontend import Frontend, Process
from hapair.proxy.log_line import Dates
from hapair.proxy.transaction import HttpSession
from hapair.tables.directory import Directory, make_tables

CONFIGS = Path(__file__).parents[2] / "configs"
KEY = "X-Api-Key: key"


class Example:
    """One file of configs/, without sockets."""

    def __init__(self, name: str) -> None:
        loaded = load_config(CONFIGS / f"{name}.toml", {})
        assert not loaded.warnings
        config = loaded.config
        tables = Directory(make_tables(config.all_stick_tables(), {}))
        self.backends = {
            one.name: Backend(one, {server.name: None for server in one.servers}, [], tables=tables)
            for one in config.backends.values()
        }
        log = lambda _level, _line, _data: None  # noqa: E731
        self.frontend = Frontend(
            config.frontends["main"], self.backends, Process(100), Dates(0.0), log, None, tables
        )

    def ask(self, path="/", *headers, method="GET", host="www.example.org", source="192.0.2.9", body=b""):
        """(Backend that is chosen, head that its server gets), or (None, our own answer)."""
        self.session = session = HttpSession(self.frontend, source, 40000, 0.0)
        session.start(0.0)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        session.client_data("\r\n".join([*lines, "", ""]).encode() + body, 0.0)
        if session.backend is not None:
            return session.backend.name, session.to_server
        return None, session.to_client

    def down(self, name):
        for server in self.backends[name].servers:
            self.backends[name].set_up(server, False, 0.0)


@pytest.mark.parametrize(
    ("host", "path", "backend"),
    [
        ("shop.example.org", "/", "shop"),
        ("Shop.example.org:8080", "/", "shop"),
        ("api.example.org", "/", "api"),
        ("www.example.org", "/api/x", "api"),
        ("www.example.org", "/", "www"),
    ],
)
def test_virtual_hosts(host, path, backend):
    name, sent = Example("virtual-hosts").ask(path, host=host)
    assert name == backend
    assert f"X-Forwarded-Host: {host}".encode() in sent


def test_virtual_hosts_refuse_what_is_not_theirs():
    example = Example("virtual-hosts")
    assert example.ask(host="badexample.org")[1].startswith(b"HTTP/1.1 421 ")
    _, answer = example.ask("/a", host="example.org")
    assert answer.startswith(b"HTTP/1.1 301 ")
    assert b"location: http://www.example.org/a\r\n" in answer


def test_the_maintenance_page_comes_when_no_server_is_up():
    example = Example("maintenance-page")
    assert example.ask()[0] == "web"
    assert example.ask("/alive")[1].startswith(b"HTTP/1.1 200 ")
    example.down("web")
    _, answer = example.ask()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 120" in answer
    assert b"www.example.org is being looked after" in answer
    assert example.ask("/alive")[1].startswith(b"HTTP/1.1 503 ")


def test_green_is_for_who_asks_and_for_a_tenth_always_the_same():
    example = Example("blue-green")
    assert example.ask("/", "X-Version: green", source="192.0.2.1")[0] == "green"
    assert example.ask("/", "Cookie: version=green", source="192.0.2.1")[0] == "green"
    chosen = [example.ask(source=f"198.51.100.{i}")[0] for i in range(200)]
    assert 8 <= chosen.count("green") <= 35
    assert chosen == [example.ask(source=f"198.51.100.{i}")[0] for i in range(200)]
    green = f"198.51.100.{chosen.index('green')}"
    assert example.ask("/", "X-Version: blue", source=green)[0] == "blue"
    example.down("green")
    assert example.ask("/", "X-Version: green")[0] == "blue"


def test_the_answer_says_which_version_it_is():
    example = Example("blue-green")
    example.ask("/", "X-Version: green")
    session = example.session
    session.connected(0.0, reused=False)
    session.server_data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.0)
    assert b"\r\nX-Version: green\r\n" in session.to_client


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/v1/x"}, 401),
        ({"path": "/v1/x", "method": "BREW", "headers": [KEY]}, 405),
        ({"path": "/v1/x", "method": "POST", "headers": [KEY], "body": b"{}"}, 415),
        (
            {
                "path": "/v1/x",
                "method": "POST",
                "headers": [KEY, "Content-Type: application/json"],
                "body": b'"<script "',
            },
            400,
        ),
        ({"path": "/v1/x", "method": "POST", "headers": [KEY, "Content-Length: 1000001"]}, 413),
    ],
)
def test_the_gateway_refuses(request_, status):
    request = dict(request_)
    _, answer = Example("api-gateway").ask(request.pop("path"), *request.pop("headers", []), **request)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer


def test_the_gateway_lets_in_who_has_a_key_and_hides_it():
    name, sent = Example("api-gateway").ask("/v1/orders?n=1", KEY)
    assert name == "orders"
    assert sent.startswith(b"GET /orders?n=1 HTTP/1.1\r\n")
    assert b"X-Client: 192.0.2.9" in sent
    assert b"Api-Key" not in sent
    assert Example("api-gateway").ask("/v1/items", source="10.1.2.3")[0] == "catalogue"


def test_the_gateway_holds_who_looks_for_secrets():
    example = Example("api-gateway")
    assert example.ask("/.git/config", KEY) == (None, b"")
    assert example.session.deadline == 5.0
    example.session.timeout(5.0)
    assert example.session.to_client.startswith(b"HTTP/1.1 403 ")


def test_a_client_of_the_shop_is_told_its_server_and_stays_there():
    example = Example("sticky-sessions")
    example.ask("/cart")
    session = example.session
    first = session.server.name
    session.connected(0.0, reused=False)
    session.server_data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0.0)
    (told,) = [line for line in session.to_client.split(b"\r\n") if line.lower().startswith(b"set-cookie")]
    cookie = told.partition(b": ")[2].partition(b";")[0].decode()
    for _ in range(5):
        example.ask("/cart", f"Cookie: {cookie}")
        assert example.session.server.name == first


def test_a_server_that_is_being_emptied_keeps_those_who_belong_there_and_gets_nobody_else():
    example = Example("sticky-sessions")
    example.ask("/cart", "Cookie: SERVERID=s3")
    assert example.session.server.name == "shop3"
    for _ in range(6):
        example.ask("/cart")
        assert example.session.server.name != "shop3"


def test_both_nodes_place_an_address_alike_and_a_lost_server_moves_only_its_own():
    def placed(example):
        found = {}
        for number in range(60):
            example.ask("/upload/x", source=f"198.51.100.{number}")
            found[number] = example.session.server.name
        return found

    one, other = Example("sticky-sessions"), Example("sticky-sessions")
    before = placed(one)
    assert before == placed(other)
    assert set(before.values()) == {"upload1", "upload2", "upload3"}
    lost = other.backends["uploads"].by_name["upload2"]
    other.backends["uploads"].set_up(lost, False, 0.0)
    after = placed(other)
    assert all(after[n] == name for n, name in before.items() if name != "upload2")


def test_an_image_that_everybody_wants_is_not_left_to_one_cache():
    example = Example("sticky-sessions")
    names = []
    for _ in range(30):
        example.ask("/popular.jpg")  # and none of them is over
        names.append(example.session.server.name)
    assert max(names.count(name) for name in set(names)) <= 15, "half of all: 1.5 times a third"


def test_a_number_that_a_server_gave_out_leads_back_to_it():
    example = Example("sticky-sessions")
    example.ask("/api/login")
    session = example.session
    first = session.server.name
    session.connected(0.0, reused=False)
    session.server_data(b"HTTP/1.1 200 OK\r\nX-Session: 77\r\nContent-Length: 0\r\n\r\n", 0.0)
    for _ in range(4):
        example.ask("/api/x", "X-Session: 77")
        assert example.session.server.name == first
    assert {example.ask("/api/x") and example.session.server.name for _ in range(4)} == {"api1", "api2"}
