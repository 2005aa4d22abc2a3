"""Log lines in a format of the operator's: variables, flags, what a client cannot do to a line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World, answer, get, post

from hapair.config import model
from hapair.config.model import LogFormat
from hapair.rules.log_formats import NAMED


def line(log_format: str | LogFormat, request: bytes = get(), *, rules: tuple[str, ...] = ()) -> str:
    """The log line of one request that is answered after 0.25 s."""
    world = World(frontend={"log_format": log_format, "http_request": rules})
    client = world.client(request)
    if client.link is not None:
        world.wait(0.25)
        client.server.says(answer(b"hello"))
    (told,) = world.log
    world.over()
    return told


def test_a_format_that_says_what_httplog_says_writes_what_httplog_writes():
    for request in (get("/a?x=1"), get("/", "Connection: close"), b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n"):
        assert line(NAMED["httplog"], request) == line(LogFormat.HTTPLOG, request)


def test_and_so_for_every_situation_of_an_exchange():
    def situations(log_format: str | LogFormat) -> list[str]:
        world = World(
            retries=1,
            servers=(
                model.Server(name="s1", id=1, host="192.0.2.1", port=80, maxconn=1),
                model.Server(name="s2", id=2, host="192.0.2.1", port=81, maxconn=1),
            ),
            redispatch=1,
            frontend={"log_format": log_format, "http_request": ("deny if { path /no }",)},
        )
        world.connects["s1"] = "refused"
        first = world.client(get("/first"))  # redispatched
        second = world.client(get("/second"))  # waits in a queue for too long
        world.wait(1.5)
        second.gone()
        first.server.says(answer(b"x" * 10)[:-3])
        first.server.ends()  # cut
        world.client(get("/no"))
        world.client(b"GET")
        world.wait(4.5)
        idle = world.client(get("/one"))
        world.wait(0.1)
        if idle.link is not None:
            idle.server.says(b"HTTP/1.1 200 OK\r\n\r\nuntil it closes")
            idle.server.ends()
        world.client(b" x\r\n\r\n")
        world.over()
        return world.log

    lines = situations(LogFormat.HTTPLOG)
    assert len(lines) >= 6
    assert situations(NAMED["httplog"]) == lines


def test_streams_too():
    def lines(log_format: str | LogFormat) -> list[str]:
        world = World(mode=model.Mode.TCP, frontend={"log_format": log_format})
        client = world.client(b"hello")
        world.wait(0.5)
        client.server.says(b"world")
        client.ends()
        client.server.ends()
        world.connects["s1"] = "refused"
        world.client(b"x")
        world.wait(10)
        world.over()
        return world.log

    assert len(lines(LogFormat.TCPLOG)) == 2
    assert lines(NAMED["tcplog"]) == lines(LogFormat.TCPLOG)


@pytest.mark.parametrize(
    ("log_format", "expected"),
    [
        ("%HM|%HU|%HP|%HPO|%HQ|%HV", "GET|/a?x=1|/a|/a|?x=1|HTTP/1.1"),
        ("%TR/%Tw/%Tc/%Tr/%Ta/%Tt/%Ti/%Tq/%Th/%Tu/%Td", "0/0/0/250/250/250/0/0/0/250/0"),
        ("%ST %B %U %ts %tsc", "200 43 32 -- ----"),
        ("%{+Q}o %HM %ci %cp %{-Q}HM %ST", '"GET" "192.0.2.9" 40000 GET 200'),
        ("%{+X}o %ci %cp %ST %B", "C0000209 9C40 200 43"),
        ("%T|%Ts|%ms", "01/Jan/1970:00:16:40 +0000|1000|000"),
        ("%rt %lc %rt", "0 0 0"),
        ("a  b %hr   c %hs", "a b c "),  # blanks do not pile up, and nothing is captured
        ("  %ID 100%% %bi", "- 100% -"),
        ("%[str(a)] %[var(txn.none)] %{+Q}[var(txn.none)]", 'a - ""'),
        ('%{+E}[str("a]b")] %{+Q,+E}[path]', 'a\\]b "/a"'),
        ("%[req.hdr(host)] %[res.hdr(content-length)]", "h 5"),
    ],
)
def test_variables_and_flags(log_format: str, expected: str):
    assert line(log_format, get("/a?x=1")) == expected


def test_an_absolute_target_is_logged_as_it_came():
    told = line("%HU %HP %HPO", b"GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n")
    assert told == "http://h/a?b http://h/a /a"


def test_a_request_that_never_was_one():
    assert line("%{+Q}r %HM %ST %TR", b"GET / HTTP/1.1\r\n\r\n") == '"<BADREQ>" <BADREQ> 400 -1'


def test_time_runs_from_the_end_of_the_request_before():
    world = World(frontend={"log_format": "%Ti %TR %Ta %Tt"})
    client = world.client(get())
    client.server.says(answer())
    world.wait(2)
    client.sends(get()[:5])
    world.wait(0.5)
    client.sends(get()[5:])
    client.server.says(answer())
    assert world.log[-1] == "2000 500 500 2500"
    world.over()


def test_each_request_has_a_number_of_its_own():
    world = World(frontend={"log_format": "%rt %[rand] %lc"})
    client = world.client(get())
    client.server.says(answer())
    client.sends(get())
    client.server.says(answer())
    assert world.log == ["0 0 0", "1 0 1"]
    world.over()


def test_json():
    request = post(b"abc", "X: y")
    told = json.loads(line(LogFormat.JSON, request))
    assert told["time"] == "1970-01-01T00:16:40.000Z"
    assert told["method"] == "POST"
    assert told["uri"] == "/"
    assert told["status"] == 200
    assert told["client"] == "192.0.2.9"
    assert told["client_port"] == 40000
    assert told["received"] == len(request)
    assert told["active_ms"] == 250
    assert told["unique_id"] is None
    assert told["request_cookie"] is None


@given(st.binary(max_size=30), st.sampled_from(["%r", "%{+Q}r", "%{+Q}[path]", "%[path]", LogFormat.JSON]))
def test_whatever_a_client_sends_stays_within_its_field(junk: bytes, log_format: str | LogFormat):
    told = line(log_format, b"GET /" + junk + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    assert told.isprintable()
    if log_format is LogFormat.JSON:
        assert set(json.loads(told)) == set(json.loads(line(LogFormat.JSON)))
    elif "+Q" in str(log_format):
        assert told.count('"') == 2
