"""set-timeout: how long a server may be silent, for one request."""

from __future__ import annotations

import attrs
import pytest
from proxy.world import TIMEOUTS, World, get

from hapair.config import model
from hapair.rules.actions import rule_mistake

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLOW = "{ path_beg /slow }"
UPGRADE = get("/slow", "Connection: upgrade", "Upgrade: x")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


@pytest.mark.parametrize("time", ["8s", "8000", "int(8000)", "req.hdr(x-time)"])
def test_a_slow_request_has_more_time_than_others(time):
    here = World(http_request=(f"set-timeout server {time} if {SLOW}",))
    client = here.client(get("/slow", "X-Time: 8000"))
    here.wait(7.9)
    assert client.reads() == b""
    here.wait(0.2)
    assert client.reads().startswith(b"HTTP/1.1 504 ")


def test_the_next_request_has_the_time_of_the_backend_again():
    here = World(http_request=(f"set-timeout server 8s if {SLOW}",))
    client = here.client(get("/slow"))
    client.server.says(OK)
    client.reads()
    client.sends(get("/"))
    here.wait(TIMEOUTS.server - 0.1)
    assert client.reads() == b""
    here.wait(0.2)
    assert client.reads().startswith(b"HTTP/1.1 504 ")


def test_less_than_the_backend_has_counts_as_well_and_the_log_says_which_it_was():
    here = World(frontend={"log_format": "%ST %why"}, http_request=("set-timeout server 1s",))
    client = here.client(get("/"))
    here.wait(1.1)
    assert client.reads().startswith(b"HTTP/1.1 504 ")
    assert "1s" in here.log[0]


@pytest.mark.parametrize("time", ["int(0)", "int(-5)", "req.hdr(none)", "req.hdr(x-time)"])
def test_what_is_no_time_leaves_the_backends(time):
    """A client that could say 0 could hold a server for ever."""
    here = World(http_request=(f"set-timeout server {time}",))
    client = here.client(get("/", "X-Time: never"))
    here.wait(TIMEOUTS.server + 0.1)
    assert client.reads().startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("configured", [float("inf"), 2.0])
def test_a_tunnel_has_its_own(configured):
    timeouts = attrs.evolve(TIMEOUTS, tunnel=configured)
    here = World(timeouts=timeouts, http_request=("set-timeout tunnel 9s",))
    client = here.client(UPGRADE)
    client.server.says(SWITCH)
    here.wait(8.9)
    assert client.state == "open"
    here.wait(0.2)
    assert client.over


def test_the_fetches_tell_both():
    names = (
        "be_server_timeout cur_server_timeout be_tunnel_timeout cur_tunnel_timeout fe_client_timeout".split()
    )
    told = " ".join(f"%[{name}]" for name in names)
    here = World(
        http_request=("set-timeout server 8s", "set-timeout tunnel 1h"),
        http_response=(f'set-header X-Times "{told}"',),
    )
    client = here.client(get("/"))
    client.server.says(OK)
    assert b"X-Times: 3000 8000 0 3600000 5000\r\n" in client.reads()


def test_a_stream_has_the_times_of_its_backend():
    here = World(mode=model.Mode.TCP, frontend={"log_format": "%[cur_server_timeout] %[be_server_timeout]"})
    here.client(b"x").gone()
    assert here.log == ["3000 3000"]


@pytest.mark.parametrize(
    ("kind", "rule", "offset", "words"),
    [
        ("http_request", "set-timeout server 5s", 0, "http_request of a backend"),
        ("http_request backend", "set-timeout client 5s", 12, "unknown word 'client'"),
        ("http_request backend", "set-timeout server 0", 19, "more than 0"),
        ("http_request backend", "set-timeout server 5x", 19, "not a duration"),
        ("http_request backend", "set-timeout server", 18, "needs a time"),
        ("http_request backend", "set-timeout server req.body", 19, "is bin, and a time is a number"),
        ("http_request backend", "set-timeout tunnel res.hdr(a)", 19, "once there is a response"),
        ("http_request backend", "set-timeout tunnel 5s x", 22, "one word too many"),
        ("http_response backend", "set-timeout server 5s", 0, "unknown action"),
    ],
)
def test_mistakes_are_found_at_load(kind, rule, offset, words):
    found = rule_mistake(kind, rule, ())
    assert found is not None
    assert found[0] == offset
    assert words in found[1]


def test_a_backend_may_have_it():
    assert rule_mistake("http_request backend", "set-timeout tunnel 5s", ()) is None
