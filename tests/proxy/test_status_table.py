"""What the client sees and what the log says, situation by situation, as HAProxy 2.6 does it.

The log cores were recorded from the real one; where hapair differs on purpose
the test says so.
"""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get, post, servers, statuses

from hapair.config.model import LogFormat, Timeouts
from hapair.proxy.session import CONNECTING

G = '"GET / HTTP/1.1"'
P = '"POST / HTTP/1.1"'


def test_an_ordinary_request() -> None:
    world = World()
    client = world.client(get("/a?x=1"))
    assert client.server.got == get("/a?x=1")
    world.wait(0.25)
    client.server.says(answer(b"hello"))
    assert client.reads() == answer(b"hello")
    assert world.lines() == ['fe be/s1 0/0/0/250/250 200 43 - - ---- 1/1/0/0/0 0/0 "GET /a?x=1 HTTP/1.1"']
    assert client.state == "open"
    world.over()


@pytest.mark.parametrize(("rule", "status"), [("deny", 403), ("deny deny_status 429", 429)])
def test_denied_by_a_rule(rule: str, status: int) -> None:
    world = World(frontend={"http_request": (f"{rule} if {{ path / }}",)})
    client = world.client(get())
    assert statuses(client.reads()) == [status]
    assert world.lines()[0].startswith(f"fe fe/<NOSRV> 0/-1/-1/-1/0 {status} ")
    client.sends(get("/next"))  # the connection is kept
    client.server.says(answer())
    assert statuses(client.reads()) == [200]
    world.over()


def test_denied_has_its_flags() -> None:
    world = World(frontend={"http_request": ("deny",)})
    world.client(get())
    assert world.lines()[0].endswith(f" - - PR-- 1/1/0/0/0 0/0 {G}")


def test_tarpitted_waits_before_its_500() -> None:
    world = World(frontend={"http_request": ("tarpit",)}, timeouts=Timeouts(tarpit=3.0))
    client = world.client(get())
    world.wait(2.9)
    assert client.got == b""
    world.wait(0.2)
    assert statuses(client.got) == [500]
    (line,) = world.lines()
    assert line.startswith("fe fe/<NOSRV> 0/-1/-1/-1/3000 500 ")
    assert " - - PT-- " in line


@pytest.mark.parametrize(
    ("rule", "status"),
    [("redirect location /there", 302), ("return status 200 content-type a/b string x", 200)],
)
def test_answered_by_a_rule(rule: str, status: int) -> None:
    world = World(frontend={"http_request": (rule,)})
    client = world.client(get())
    assert statuses(client.got) == [status]
    (line,) = world.lines()
    assert line.startswith(f"fe fe/<NOSRV> 0/-1/-1/-1/0 {status} ")
    assert " - - LR-- " in line


def test_redispatched_to_another_server_without_a_wait() -> None:
    world = World(servers=servers(2), redispatch=1)
    world.connects["s1"] = "refused"
    client = world.client(get())
    client.server.says(answer())
    assert statuses(client.got) == [200]
    assert world.lines() == [f"fe be/s2 0/0/0/0/0 200 40 - - ---- 1/1/0/0/+1 0/0 {G}"]
    world.over()


def test_refused_is_tried_again_after_a_second_each() -> None:
    world = World(retries=2)
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(1.9)
    assert client.got == b""
    world.wait(0.2)
    assert statuses(client.got) == [503]
    assert world.lines() == [f"fe be/s1 0/0/-1/-1/2000 503 214 - - SC-- 1/1/0/0/2 0/0 {G}"]
    world.over()


def test_the_wait_for_another_try_is_no_longer_than_the_connect_timeout() -> None:
    world = World(retries=1, timeouts=Timeouts(connect=0.4))
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(0.5)
    assert statuses(client.got) == [503]


def test_connect_timeout_is_a_503_after_every_try() -> None:
    world = World(retries=2)
    world.connects["s1"] = "hangs"
    client = world.client(get())
    world.wait(5.99)
    assert client.got == b""
    world.wait(0.02)
    assert statuses(client.got) == [503]
    assert world.lines() == [f"fe be/s1 0/0/-1/-1/6000 503 214 - - sC-- 1/1/0/0/2 0/0 {G}"]
    world.over()


def test_no_server() -> None:
    world = World(servers=())
    assert statuses(world.client(get()).got) == [503]
    assert world.lines() == [f"fe be/<NOSRV> 0/-1/-1/-1/0 503 214 - - SC-- 1/1/0/0/0 0/0 {G}"]


def test_no_usable_server() -> None:
    world = World(servers=servers(2, disabled=True))
    assert statuses(world.client(get()).got) == [503]
    assert world.lines() == [f"fe be/<NOSRV> 0/-1/-1/-1/0 503 214 - - SC-- 1/1/0/0/0 0/0 {G}"]


def test_no_backend() -> None:
    world = World(frontend={"default_backend": None})
    assert statuses(world.client(get()).got) == [503]
    assert world.lines() == [f"fe fe/<NOSRV> 0/-1/-1/-1/0 503 214 - - SC-- 1/1/0/0/0 0/0 {G}"]


def test_queue_timeout() -> None:
    world = World(servers=servers(1, maxconn=1))
    first = world.client(get())
    second = world.client(get())
    world.wait(1.0)
    assert statuses(second.got) == [503]
    assert world.lines() == [f"fe be/<NOSRV> 0/1000/-1/-1/1000 503 214 - - sQ-- 2/2/1/0/0 0/1 {G}"]
    first.server.says(answer())
    assert statuses(first.got) == [200]
    world.over()


def test_response_timeout() -> None:
    world = World()
    client = world.client(get())
    world.wait(3.0)
    assert statuses(client.got) == [504]
    assert world.lines() == [f"fe be/s1 0/0/0/-1/3000 504 195 - - sH-- 1/1/0/0/0 0/0 {G}"]
    assert client.state == "open"
    world.over()


@pytest.mark.parametrize("said", [b"", b"HT", b"HTTP/1.1 200 OK\r\nX: y", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("broken", [False, True])
def test_server_closes_before_its_headers(said: bytes, broken: bool) -> None:
    world = World()
    client = world.client(get())
    if said:
        client.server.says(said)
    client.server.ends(broken=broken)
    assert statuses(client.got)[-1] == 502
    assert " SH-- " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(
    "said",
    [
        b"junk",
        b"junk\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 16384,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 x\r\nno colon\r\n\r\n",
    ],
)
def test_bad_response(said: bytes) -> None:
    world = World()
    client = world.client(get())
    client.server.says(said)
    assert statuses(client.got)[-1] == 502
    assert " 502 " in (line := world.lines()[0])
    assert " PH-- " in line
    assert all(link.state == "closed" for link in world.links)
    world.over()


@pytest.mark.parametrize("broken", [False, True])
def test_truncated_body_closes_the_client(broken: bool) -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer(b"ab", length=9))
    client.server.ends(broken=broken)
    assert client.got == answer(b"ab", length=9)
    assert client.over
    assert world.lines() == [f"fe be/s1 0/0/0/0/0 200 40 - - SD-- 1/1/0/0/0 0/0 {G}"]
    world.over()


def test_truncated_chunks_close_the_client_without_a_last_chunk() -> None:
    world = World()
    client = world.client(get())
    client.server.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n5\r\nxy")
    client.server.ends()
    assert client.got.endswith(b"\r\n\r\n2\r\nab\r\n2\r\nxy\r\n") or client.got.endswith(
        b"\r\n\r\n4\r\nabxy\r\n"
    )
    assert client.over
    assert " 200 " in (line := world.lines()[0])
    assert " SD-- " in line
    world.over()


def test_bad_chunks_of_a_server_cut_the_response() -> None:
    world = World()
    client = world.client(get())
    client.server.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    client.server.says(b"zz\r\n")
    assert client.over
    assert not client.got.endswith(b"0\r\n\r\n")
    assert " PD-- " in world.lines()[0]
    world.over()


def test_stalled_response_body() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer(b"ab", length=9))
    world.wait(2.9)
    assert not client.over
    world.wait(0.2)
    assert client.over
    assert " 200 40 - - sD-- " in world.lines()[0]
    world.over()


def test_a_broken_stream_that_ends_by_closing_is_reset_so_that_it_shows() -> None:
    world = World()
    client = world.client(get())
    client.server.says(b"HTTP/1.1 200 OK\r\n\r\npart")
    client.server.ends(broken=True)
    assert client.got.endswith(b"part")
    assert client.state == "reset"
    assert " SD-- " in world.lines()[0]
    world.over()


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET / HT", get()[:-1]])
def test_no_complete_request_in_time(sent: bytes) -> None:
    world = World()
    client = world.client(sent)
    world.wait(3.99)
    assert client.got == b""
    world.wait(0.02)
    assert statuses(client.got) == [408]
    assert b"connection: close" in client.got
    assert world.lines() == ['fe fe/<NOSRV> -1/-1/-1/-1/4000 408 233 - - cR-- 1/1/0/0/0 0/0 "<BADREQ>"']
    world.over()


def test_a_slow_drip_does_not_extend_the_time_for_a_request() -> None:
    world = World()
    client = world.client()
    for i in range(8):
        client.sends(get()[i : i + 1])
        world.wait(0.5)
    assert statuses(client.got) == [408]
    world.over()


def test_dontlognull_keeps_silent_about_nothing_but_still_answers() -> None:
    world = World(frontend={"dontlognull": True})
    client = world.client()
    world.wait(4)
    assert statuses(client.got) == [408]
    assert world.lines() == []
    world.client(b"GET /")
    world.wait(4)
    assert " 408 " in world.lines()[0]
    world.over()


def test_an_idle_client_is_closed_silently() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    world.lines()
    world.wait(4.99)  # the client timeout is shorter than keep-alive here
    assert not client.over
    world.wait(0.02)
    assert (client.over, client.got, world.lines()) == (True, b"", [])
    world.over()


def test_the_next_request_must_be_complete_in_time_too() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    world.wait(3)
    client.sends(b"GET /")
    world.wait(4)
    assert statuses(client.got) == [408]
    assert ' cR-- 1/1/0/0/0 0/0 "<BADREQ>"' in world.lines()[-1]
    world.over()


def test_client_closes_with_a_partial_request() -> None:
    world = World()
    client = world.client(b"GET / HT")
    client.ends()
    assert statuses(client.got) == [400]
    assert world.lines() == ['fe fe/<NOSRV> -1/-1/-1/-1/0 400 207 - - CR-- 1/1/0/0/0 0/0 "<BADREQ>"']
    assert client.over
    world.over()


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_client_closes_with_nothing(sent: bytes) -> None:
    world = World()
    client = world.client(sent)
    client.ends()
    assert statuses(client.got) == [400]
    assert world.lines() == ['fe fe/<NOSRV> -1/-1/-1/-1/0 400 207 - - CR-- 1/1/0/0/0 0/0 "<BADREQ>"']
    assert client.over
    world.over()


def test_client_that_sent_nothing_and_is_gone_is_logged_all_the_same() -> None:
    world = World()
    client = world.client()
    client.gone()
    assert client.got == b""
    assert " 400 207 - - CR-- " in world.lines()[0]
    world.over()


def test_client_that_had_its_answer_may_leave() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    world.lines()
    client.ends()
    assert (client.over, client.got, world.lines()) == (True, b"", [])
    world.over()


def test_dontlognull_keeps_silent_about_who_closes_with_nothing() -> None:
    world = World(frontend={"dontlognull": True})
    world.client().ends()
    assert world.lines() == []
    world.client(b"\r\n").ends()
    assert " 400 " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nBad header: x\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 16384, 431),
        (b"GET /" + b"a" * 16384, 414),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ],
)
def test_a_request_that_is_not_let_in(sent: bytes, status: int) -> None:
    world = World()
    client = world.client(sent)
    assert statuses(client.got) == [status]
    assert b"connection: close" in client.got
    assert b"cache-control: no-cache" in client.got
    assert client.state == "shut", "it must read our answer before the connection goes"
    assert world.links == []
    (line,) = world.lines()
    assert line.startswith("fe fe/<NOSRV> ")
    assert " PR-- " in line
    client.sends(get())
    assert world.links == [], "not another byte is read as a request"
    world.wait(2)
    assert client.over
    assert sum(world.frontend.refusals.values()) == 1
    world.over()


def test_the_body_of_a_request_stalls() -> None:
    world = World(timeouts=Timeouts(client=2.0, server=60.0, connect=1.0))
    client = world.client(post(b"abc", length=10))
    assert client.server.got.endswith(b"abc")
    world.wait(1.9)
    client.sends(b"d")
    world.wait(1.9)
    assert client.got == b""
    world.wait(0.2)
    assert statuses(client.got) == [408]
    assert " cH-- " in (line := world.lines()[0])
    assert " 408 " in line
    world.over()


def test_a_client_may_be_slower_with_its_body_than_a_server_with_its_answer() -> None:
    world = World(timeouts=Timeouts(client=5.0, server=0.5, connect=1.0))
    client = world.client(post(b"abc", length=10))
    world.wait(4.0)
    client.sends(b"1234567")
    assert client.got == b""
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_a_server_that_does_not_take_the_body() -> None:
    world = World(timeouts=Timeouts(client=1.0, server=2.0, connect=1.0))
    client = world.client(post(b"abc", length=10))
    client.server.stuck = True
    client.sends(b"de")
    client.session.flushed(world.now)
    world.wait(1.9)
    assert client.got == b""
    world.wait(0.2)
    assert statuses(client.got) == [504]
    assert " sH-- " in world.lines()[0]
    world.over()


def test_a_slow_reader_is_cut_after_the_client_timeout() -> None:
    world = World()
    client = world.client(get())
    client.stuck = True
    client.server.says(answer(b"ab", length=9))
    client.session.flushed(world.now)
    world.wait(5)
    assert client.over
    assert " 200 40 - - cD-- " in world.lines()[0]
    world.over()


# -- the client goes away ------------------------------------------------------------------------


@pytest.mark.parametrize("abortonclose", [False, True])
def test_client_resets_in_the_queue(abortonclose: bool) -> None:
    world = World(servers=servers(1, maxconn=1), abortonclose=abortonclose)
    first = world.client(get())
    second = world.client(get())
    second.gone()
    assert second.over
    assert " CQ-- " in world.lines()[0]
    first.server.says(answer())
    world.over()


def test_client_resets_while_we_connect() -> None:
    world = World()
    world.connects["s1"] = "hangs"
    client = world.client(get())
    assert client.session.stage == CONNECTING
    client.gone()
    assert "fe be/s1 0/0/-1/-1/0 -1 0 - - CC-- " in world.lines()[0]
    world.over()


def test_client_resets_between_two_tries() -> None:
    world = World()
    world.connects["s1"] = "refused"
    client = world.client(get())
    world.wait(0.5)
    client.gone()
    assert " CC-- " in world.lines()[0]
    world.over()


def test_client_resets_while_the_server_works() -> None:
    world = World()
    client = world.client(get())
    link = client.server
    client.gone()
    assert link.state == "closed"
    assert "fe be/s1 0/0/0/-1/0 -1 0 - - CH-- " in world.lines()[0]
    world.over()


def test_client_resets_in_its_body() -> None:
    world = World()
    client = world.client(post(b"ab", length=9))
    link = client.server
    client.gone()
    assert link.state == "closed"
    assert " CH-- " in world.lines()[0]
    world.over()


def test_client_ends_in_its_body() -> None:
    world = World()
    client = world.client(post(b"ab", length=9))
    link = client.server
    client.ends()
    assert link.state == "closed"
    assert client.over
    assert " 400 " in (line := world.lines()[0])
    assert " CH-- " in line
    world.over()


def test_client_resets_in_the_response() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer(b"ab", length=9))
    link = client.server
    client.gone()
    assert link.state == "closed"
    assert " 200 40 - - CD-- " in world.lines()[0]
    world.over()


def test_a_half_close_waits_for_the_answer() -> None:
    world = World()
    client = world.client(get())
    client.ends()
    client.server.says(answer())
    assert statuses(client.got) == [200]
    assert b"Connection: close" in client.got
    assert client.over
    assert " ---- " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(("state", "flags"), [("queue", "CQ"), ("connect", "CC"), ("work", "CH")])
def test_abortonclose_takes_a_half_close_for_an_abort(state: str, flags: str) -> None:
    world = World(servers=servers(1, maxconn=1), abortonclose=True)
    if state == "queue":
        world.client(get())
    elif state == "connect":
        world.connects["s1"] = "hangs"
    client = world.client(get())
    client.ends()
    assert client.over
    assert f" {flags}-- " in world.lines()[0]
    world.over()


# -- the log ----------------------------------------------------------------------------------------


def test_an_http_frontend_may_log_as_tcp() -> None:
    world = World(frontend={"log_format": LogFormat.TCPLOG})
    client = world.client(get())
    world.wait(0.1)
    client.server.says(answer())
    assert world.lines() == ["fe be/s1 0/0/100 40 -- 1/1/0/0/0 0/0"]


def test_without_a_format_nothing_is_logged() -> None:
    world = World(frontend={"log_format": None})
    world.client(get()).server.says(answer())
    assert world.log == []


def test_a_request_cannot_forge_a_line() -> None:
    world = World()
    world.client(b'GET /"a|b\\ HTTP/1.1\r\nHost: h\r\n\r\n').server.says(answer())
    assert world.lines()[0].endswith('"GET /#22a|b\\ HTTP/1.1"')


def test_a_line_begins_with_client_and_date() -> None:
    world = World()
    world.client(get(), source="2001:db8::1").server.says(answer())
    assert world.log[0].startswith("2001:db8::1:40000 [")
    assert world.log[0].partition("[")[2].startswith("01/Jan/1970:")


def test_timeouts_that_are_unset_never_strike() -> None:
    world = World(timeouts=Timeouts())
    world.client()
    client = world.client(get())
    world.wait(1e6)
    assert client.got == b""
    client.server.says(answer())
    assert statuses(client.got) == [200]
