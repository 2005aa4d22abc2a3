"""configs/flood-defence.toml: a flood is turned away, and an honest client among it does not notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from proxy.world import World

from hapair.app.check import load_config

CONFIG = Path(__file__).parents[2] / "configs" / "flood-defence.toml"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOST = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def here():
    loaded = load_config(CONFIG, {})
    assert not loaded.warnings
    main = loaded.config.frontends["main"]
    rules = {
        key: getattr(main, key) for key in ("acl", "tcp_request_connection", "http_request", "stick_table")
    }
    tables = {"fe": main.stick_table, **loaded.config.stick_tables}
    return World(frontend={**rules, "default_backend": "be"}, tables=tables)


def get(path: str = "/") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: example.org\r\n\r\n".encode()


def ask(client, answer: bytes = OK, path: str = "/") -> bytes:
    """The status that a client gets; `answer` is what a server would say."""
    client.sends(get(path))
    if client.link is not None:
        client.server.says(answer)
    return client.reads()[9:12]


def test_nineteen_who_flood_are_turned_away_and_the_honest_one_is_served(here):
    honest, refused, served = [], 0, 0
    for number_of_round in range(60):
        here.clients.clear()  # they are gone: the world need not look at them again and again
        here.links.clear()
        for number in range(19):
            source = f"198.51.100.{number}"
            client = here.client(source=source)
            if client.state == "open":
                served += ask(client) == b"200"
                client.gone()
            else:
                refused += 1
        if number_of_round % 3 == 0:
            visitor = here.client(source="203.0.113.5")
            honest.append(ask(visitor))
            visitor.gone()
        here.wait(0.1)
    assert honest == [b"200"] * 20
    assert served + refused == 60 * 19
    assert refused >= 9 * 19, "fifty in ten seconds are let in, and then none"


def test_too_many_connections_in_ten_seconds_are_rejected_and_a_partners_are_not(here):
    states = []
    for _ in range(60):
        client = here.client()
        states.append(client.state)
        client.gone()
    assert states == ["open"] * 50 + ["reset"] * 10
    assert all(here.client(source="192.0.2.200").state == "open" for _ in range(60))


def test_twenty_connections_at_a_time_are_enough_for_one_address(here):
    assert [here.client().state for _ in range(22)] == ["open"] * 20 + ["reset"] * 2


def test_who_asks_for_what_scanners_want_is_out_for_an_hour(here):
    scanner = here.client()
    scanner.sends(get("/.env"))
    assert scanner.reads() == b""
    assert here.client().state == "reset"
    assert here.client(source="203.0.113.5").state == "open"
    here.wait(3601)
    assert here.client().state == "open"


def test_a_hundred_requests_in_ten_seconds_are_the_limit(here):
    client = here.client()
    assert [ask(client) for _ in range(102)] == [b"200"] * 100 + [b"429"] * 2


def test_who_guesses_addresses_waits(here):
    client = here.client()
    assert [ask(client, LOST, f"/{n}") for n in range(21)] == [b"404"] * 21
    client.sends(get("/21"))
    assert client.reads() == b""
    here.wait(10.1)
    assert client.reads().startswith(b"HTTP/1.1 403 ")
