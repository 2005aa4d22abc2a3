"""Every answer of the proxy's own says why in words, and in none that a client or a server has sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy.world import World, answer, get, servers

from hapair.config.model import HttpLimits, LogFormat, Mode, Timeouts
from hapair.proxy import reasons

LIMITS = HttpLimits(request_line=100, head=400, headers=5)
SHORT = Timeouts(http_request=0.4, connect=1.5, client=2.0, server=3.0, queue=1.0, tarpit=1.0)


def world(**options):
    frontend = {"log_format": "%ST %ts %why", "http_limits": LIMITS, **options.pop("frontend", {})}
    return World(frontend=frontend, timeouts=options.pop("timeouts", SHORT), **options)


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n", "400 PR control character in the head (byte 0x01 at 5)"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 PR HTTP/1.1 without Host"),
        (b"GET /" + b"a" * 100, "414 PR request line too long (http_limits.request_line 100)"),
        (get("/", "X: " + "a" * 400), "431 PR head too large (http_limits.head 400, headers 5)"),
        (
            get("/", *["a: b"] * 5),
            "431 PR more than 5 header lines (http_limits.head 400, headers 5)",
        ),
        (b"GET / HT", "408 cR no complete request in time: timeout http_request (400ms)"),
    ],
)
def test_a_request_that_is_not_let_in(sent, line):
    here = world()
    here.client(sent)
    here.wait(0.5)
    assert here.log == [line]


def test_the_shorter_time_out_is_named():
    here = world(timeouts=Timeouts(http_request=4.0, client=0.25))
    here.client(b"GET / HT")
    here.wait(0.5)
    assert here.log == ["408 cR no complete request in time: timeout client (250ms)"]


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("deny", "403 PR denied by frontend.fe.http_request[1]"),
        ("deny deny_status 429", "429 PR denied by frontend.fe.http_request[1]"),
        ("deny deny_status 413", "413 PR denied by frontend.fe.http_request[1]"),
        ("tarpit", "500 PT tarpitted by frontend.fe.http_request[1]"),
        ("return status 200", "200 LR -"),
    ],
)
def test_a_rule_that_says_no_is_named_by_its_place(rule, line):
    here = world(frontend={"http_request": ("set-var(txn.a) int(1)", rule)})
    here.client(get())
    here.wait(1.1)
    assert here.log == [line]


def test_so_is_one_of_a_backend_and_one_about_the_response():
    here = world(http_request=("deny if { path /no }",), http_response=("deny",))
    here.client(get("/no"))
    here.client(get()).server.says(answer())
    assert here.log == [
        "403 PR denied by backend.be.http_request[0]",
        "502 PH denied by backend.be.http_response[0]",
    ]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            b"SSH-2.0\r\n\r\n",
            "502 PH invalid response: invalid status line (byte 0x53 at 0): server be/s1",
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
            "502 PH invalid response: control character in the head (byte 0x00 at 20): server be/s1",
        ),
        (b"", "502 SH no response: server be/s1 closed the connection"),
        (None, "504 sH timeout server (3s): server be/s1 has not answered"),
    ],
)
def test_a_server_that_does_not_answer_well_is_named(said, line):
    here = world()
    client = here.client(get())
    if said:
        client.server.says(said)
    elif said is not None:
        client.server.ends()
    here.wait(3.1)
    assert here.log == [line]


def test_a_server_that_refuses_is_named_with_its_error_and_the_tries():
    here = world(retries=2)
    here.connects["s1"] = "refused"
    here.client(get())
    here.wait(5)
    assert here.log == ["503 SC server be/s1: Connection refused (ECONNREFUSED), after 2 retries"]


@pytest.mark.parametrize(
    ("place", "named"),
    [
        (("192.0.2.1", 80), " 192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), " [2001:db8::1]:80"),
        ("/run/x", " /run/x"),
    ],
)
def test_a_server_has_its_address(place, named):
    here = world()
    here.backend.servers[0].address = (0, place)
    assert reasons.named(here.backend.servers[0]) == f"be/s1{named}"


def test_one_that_does_not_answer_the_connection_is_named_with_the_time_out():
    here = world(retries=0)
    here.connects["s1"] = "hangs"
    here.client(get())
    here.wait(2)
    assert here.log == ["503 sC server be/s1: timeout connect (1500ms)"]


def test_nobody_who_serves():
    here = world(servers=())
    here.client(get())
    here.frontend.routes.clear()
    assert here.log == ["503 SC no server of backend be may serve"]


def test_nobody_who_is_free():
    here = world(servers=servers(1, maxconn=1))
    here.client(get())
    here.client(get())
    here.wait(1.1)
    assert here.log == ["503 sQ timeout queue (1s): no server of backend be was free"]


def test_a_request_without_a_backend():
    here = world(frontend={"default_backend": None})
    here.client(get())
    assert here.log == ["503 SC no rule names a backend, and there is no default_backend"]


def test_the_next_request_has_no_reason_of_the_one_before():
    here = world(frontend={"http_request": ("deny if { path /no }",)})
    client = here.client(get("/no"))
    client.sends(get("/yes"))
    client.server.says(answer())
    assert here.log == ["403 PR denied by frontend.fe.http_request[0]", "200 -- -"]


def test_a_request_that_goes_well_at_the_second_try_has_no_reason():
    here = world(retry_on=("junk-response",), retries=1, frontend={"log_format": "%ST %rc %why"})
    client = here.client(get())
    client.server.says(b"SSH-2.0\r\n")
    client.server.says(answer())
    assert here.log == ["200 1 -"]


def test_a_stream():
    here = World(
        mode=Mode.TCP,
        frontend={"log_format": "%ts %why"},
        timeouts=Timeouts(client=2.0, server=3.0, connect=1.0),
    )
    here.client(b"x")
    stuck = here.client(b"x")
    stuck.stuck = True
    stuck.server.says(b"abc")
    stuck.session.flushed(here.now)
    for _ in range(6):
        here.wait(0.5)
        if not stuck.over:
            stuck.sends(b"y")
    assert here.log == ["cD the client took nothing for 2s", "cD the client was silent for 2s"]


def test_json_has_it_too():
    here = world(frontend={"log_format": LogFormat.JSON, "http_request": ("deny if { path /no }",)})
    client = here.client(get("/no"))
    client.sends(get("/yes"))
    client.server.says(answer())
    assert [json.loads(line)["why"] for line in here.log] == [
        "denied by frontend.fe.http_request[0]",
        None,
    ]


def test_show_errors_has_it():
    here = world()
    here.client(b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n")
    here.client(get()).server.says(b"SSH-2.0\r\n\r\n")
    shown = here.process.faults.show()
    assert "invalid request: control character in the head (byte 0x01 at 5)\n" in shown
    assert "invalid response: invalid status line (byte 0x53 at 0)\n" in shown
    assert here.process.faults.responses == {"be": {"invalid status line": 1}}, "which byte is not counted by"
    assert list(here.frontend.refusals) == ["control character in the head"]


@given(st.binary(max_size=200))
def test_whatever_comes_a_reason_is_short_and_has_none_of_it(data):
    for made in (reasons.byte(data), reasons.not_http(data)):
        assert made.isascii()
        assert made.isprintable()
        assert len(made) < 40
