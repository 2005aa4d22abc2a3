"""HTTP connections as dialogues: keep-alive, pipelining, reuse, 1xx, upgrades, early answers."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get, post, servers, statuses

from hapair.config.model import ForwardFor, Mode, Timeouts
from hapair.http1 import emit

CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EOF_BODY = b"HTTP/1.1 200 OK\r\n\r\nall of it"


# -- keep-alive and close -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "headers", "keeps"),
    [
        ("1.1", (), True),
        ("1.1", ("Connection: keep-alive",), True),
        ("1.1", ("Connection: Keep-Alive, cLoSe",), False),
        ("1.1", ("Connection: close",), False),
        ("1.0", (), False),
        ("1.0", ("Connection: close",), False),
        ("1.0", ("Connection: Keep-Alive",), True),
        ("1.0", ("Connection: upgrade",), False),
    ],
)
def test_the_client_decides_whether_its_connection_stays(
    version: str, headers: tuple[str, ...], keeps: bool
) -> None:
    world = World()
    client = world.client(get("/", *headers, version=version))
    client.server.says(answer())
    assert client.over is not keeps
    assert (b"\r\nConnection: close\r\n" in client.got) is not keeps
    assert (b"\r\nConnection: keep-alive\r\n" in client.got) is (keeps and version == "1.0")
    assert world.links[0].state == "open", "that is no reason to lose the server connection"
    world.over()


@pytest.mark.parametrize(
    ("said", "reusable"),
    [
        (answer(), True),
        (answer(b"ok", "Connection: close"), False),
        (answer(b"ok", "Connection: x-y"), True),
        (answer().replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (answer(b"ok", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"), True),
        (CHUNKS + b"2\r\nok\r\n0\r\n\r\n", True),
        (answer() + b"more", False),
        (CHUNKS + b"0\r\n\r\nmore", False),
        (answer(b"", status="204 No Content"), True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\nbody", False),
    ],
)
def test_the_server_connection_is_kept_only_when_it_is_clean(said: bytes, reusable: bool) -> None:
    world = World()
    client = world.client(get())
    link = client.server
    link.says(said)
    assert len(statuses(client.got)) == 1
    assert b"more" not in client.got
    assert not client.got.endswith(b"body")
    assert (link.state == "open") is reusable
    assert not client.over
    world.over()


@pytest.mark.parametrize("side", ["frontend", "backend"])
def test_http_server_close_is_told_to_the_server_only(side: str) -> None:
    world = World(
        **({"http_server_close": True} if side == "backend" else {"frontend": {"http_server_close": True}})
    )
    client = world.client(get())
    link = client.server
    assert b"\r\nConnection: close\r\n" in link.got
    link.says(answer())
    assert link.state == "closed"
    assert not client.over
    assert client.got == answer()
    world.over()


def test_a_close_delimited_body_closes_both() -> None:
    world = World()
    client = world.client(get())
    client.server.says(EOF_BODY)
    assert not client.over
    client.server.ends()
    assert client.got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it"
    assert client.over
    assert " ---- " in world.lines()[0]
    world.over()


def test_an_http_10_client_gets_chunks_unwrapped_and_the_close() -> None:
    world = World()
    client = world.client(get(version="1.0"))
    client.server.says(CHUNKS + b"3\r\nabc\r\n3\r\ndef\r\n0\r\nX: trailer\r\n\r\n")
    assert client.got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcdef"
    assert client.state == "closed"
    world.over()


def test_trailers_of_an_answer_reach_an_http_11_client() -> None:
    world = World()
    client = world.client(get() + get("/next"))
    client.server.says(CHUNKS + b"3;x=y\r\nabc\r\n0\r\nX: trailer\r\n\r\n")
    assert client.reads().endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nX: trailer\r\n\r\n")
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_an_http_10_client_notices_that_chunks_were_cut() -> None:
    world = World()
    client = world.client(get(version="1.0"))
    client.server.says(CHUNKS + b"3\r\nabc\r\n")
    client.server.ends()
    assert client.state == "reset"
    world.over()


@pytest.mark.parametrize(
    ("method", "said", "wire"),
    [
        ("HEAD", answer(b"", length=99), b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("HEAD", CHUNKS, CHUNKS),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (
            "GET",
            b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n",
            b"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n",
        ),
        ("GET", b"HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"),
    ],
)
def test_answers_without_a_body_do_not_wait_for_one(method: str, said: bytes, wire: bytes) -> None:
    world = World()
    client = world.client(get().replace(b"GET", method.encode()))
    client.server.says(said)
    assert client.reads() == wire
    client.sends(get())
    client.server.says(answer())
    assert client.reads() == answer()
    world.over()


def test_a_head_request_gets_our_errors_without_a_body() -> None:
    world = World(servers=())
    client = world.client(get().replace(b"GET", b"HEAD"))
    assert client.got.endswith(b"\r\n\r\n")
    assert statuses(client.got) == [503]
    assert not client.over


@pytest.mark.parametrize("status", [503, 504, 502])
def test_our_errors_leave_a_good_connection_open(status: int) -> None:
    world = World(servers=servers(1) if status != 503 else ())
    client = world.client(get())
    if status == 504:
        world.wait(3)
    elif status == 502:
        client.server.says(b"junk\r\n\r\n")
    assert client.reads() == emit.error(status, close=False)
    client.sends(get("/x", "Connection: close"))
    if status == 503:
        assert client.got == emit.error(503, close=True)
        assert client.over
    world.over()


def test_half_a_response_never_reaches_the_next_request() -> None:
    world = World()
    client = world.client(get())
    client.server.says(b"HTTP/1.1 200 OK\r\nX-Secret: of-the-first")
    client.server.ends()
    assert statuses(client.reads()) == [502]
    client.sends(get())
    client.server.says(answer())
    assert client.reads() == answer()
    world.over()


# -- reuse ---------------------------------------------------------------------------------------


def test_the_first_request_of_a_client_has_its_own_connection_later_ones_share() -> None:
    world = World()
    first, second = world.client(get()), world.client(get())
    assert first.server is not second.server
    one, two = first.server, second.server
    one.says(answer())
    two.says(answer())
    first.sends(get())
    assert first.server is two, "the latest is the warmest"
    second.sends(get())
    assert second.server is one
    third = world.client(get())
    assert third.server not in (one, two)
    world.over()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_dead_idle_connection_is_replaced_silently(method: str) -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    request = get().replace(b"GET", method.encode())
    client.sends(request)
    client.server.ends()
    assert client.server.got == request
    assert len(world.links) == 2
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_what_may_have_been_carried_out_is_not_sent_again() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    client.sends(post(b"pay 5"))
    client.server.ends()
    assert (client.got, client.over, len(world.links)) == (b"", True, 1)
    assert " SH-- " in world.lines()[-1]
    world.over()


def test_a_new_connection_that_ends_is_a_502_not_a_second_try() -> None:
    world = World()
    client = world.client(get())
    client.server.ends()
    assert statuses(client.got) == [502]
    assert len(world.links) == 1
    world.over()


def test_a_reused_connection_that_had_begun_to_answer_is_a_502() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer())
    client.reads()
    client.sends(get())
    client.server.says(b"HTTP/1.1 2")
    client.server.ends()
    assert statuses(client.got) == [502]
    assert len(world.links) == 1
    world.over()


def test_an_idle_connection_that_says_anything_is_closed() -> None:
    world = World()
    client = world.client(get())
    link = client.server
    link.says(answer())
    link.says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    client.sends(get())
    assert client.server is not link
    world.over()


# -- pipelining ------------------------------------------------------------------------------------


def test_pipelined_requests_are_served_in_order_one_at_a_time() -> None:
    world = World()
    client = world.client(get("/1") + post(b"two") + get("/3"))
    for i, got in enumerate([get("/1"), post(b"two"), get("/3")]):
        assert client.server.got == got
        client.server.got = b""
        client.server.says(answer(b"%d" % i))
        assert client.reads() == answer(b"%d" % i)
    world.over()


def test_a_bad_pipelined_request_is_refused_after_the_good_ones() -> None:
    world = World()
    client = world.client(get("/1") + b"G@T / HTTP/1.1\r\n\r\n" + get("/3"))
    client.server.says(answer())
    assert client.got == answer() + emit.error(400, close=True)
    assert len(world.links) == 1
    assert world.links[0].got == get("/1")
    world.over()


def test_what_a_half_closed_client_had_asked_for_is_still_served() -> None:
    world = World()
    client = world.client(get("/1") + get("/2") + b"\r\n")
    client.ends()
    client.server.says(answer())
    client.server.says(answer())
    assert statuses(client.got) == [200, 200]
    assert client.over
    world.over()


def test_a_half_closed_client_with_half_a_request_behind_is_told() -> None:
    world = World()
    client = world.client(get("/1") + b"GET /2")
    client.ends()
    client.server.says(answer())
    assert statuses(client.got) == [200, 400]
    assert client.over
    world.over()


def test_empty_lines_between_requests_are_skipped() -> None:
    world = World()
    client = world.client(b"\r\n\r\n" + post(b"abc") + b"\r\n" + get())
    assert client.server.got == post(b"abc")
    client.server.got = b""
    client.server.says(answer())
    assert client.server.got == get()
    world.over()


def test_pipelined_bytes_are_counted_so_that_reading_can_stop() -> None:
    world = World()
    client = world.client(get())
    client.sends(b"x" * 70000)
    assert client.session.buffered() == 70000


def test_a_client_that_does_not_read_is_not_served_and_not_read_without_end() -> None:
    world = World()
    client = world.client(get("/0"))
    client.stuck = True
    client.server.says(answer())
    for i in range(1, 50):
        client.sends(get(f"/{i}"))
    assert world.frontend.requests == 1
    assert client.session.buffered() == sum(len(get(f"/{i}")) for i in range(1, 50))
    client.ends()
    client.reads_again()
    for _ in range(1, 50):
        client.server.says(answer())
    assert statuses(client.got) == [200] * 50
    assert client.over
    world.over()


@pytest.mark.parametrize("how", ["resets", "says nothing", "ends"])
def test_a_pipelined_request_dies_with_the_session_of_a_client_that_reads_nothing(how: str) -> None:
    world = World(servers=servers(1, maxconn=1))
    client = world.client(get("/0"))
    client.stuck = True
    client.server.says(answer())
    client.sends(get("/1"))
    if how == "resets":
        client.gone()
    elif how == "ends":
        client.session.shut_down(world.now, at_once=False)
        world.settle(client)
    world.wait(20)
    client.reads_again()
    assert client.over
    assert world.frontend.requests == 1
    assert world.backend.servers[0].current == world.backend.current == 0
    assert len(world.log) == 1
    world.over()


def test_a_client_that_takes_its_last_answer_slowly_gets_all_of_it() -> None:
    world = World()
    client = world.client(get("/", "Connection: close"))
    client.stuck = True
    client.server.says(answer(b"x" * 100_000))
    client.session.flushed(world.now)
    total = len(client.session.to_client)
    for _ in range(20):  # each time within the client's time, all of it much longer
        world.wait(4)
        taken, client.session.to_client = client.session.to_client[:4000], client.session.to_client[4000:]
        client.got += taken
        client.session.flushed(world.now)
        world.settle(client)
    client.reads_again()
    assert len(client.got) == total
    assert client.state == "closed", "and not reset"
    world.over()


def test_the_time_between_requests_begins_when_the_answer_is_taken() -> None:
    world = World(timeouts=Timeouts(http_request=4.0, client=50.0, server=3.0, http_keep_alive=6.0))
    client = world.client(get())
    client.stuck = True
    client.server.says(answer())
    client.session.flushed(world.now)
    world.wait(40)
    client.reads_again()
    world.wait(5)
    assert not client.over
    world.wait(1)
    assert client.state == "closed"
    world.over()


# -- request bodies --------------------------------------------------------------------------------


def test_a_body_follows_its_head_as_it_comes() -> None:
    world = World()
    client = world.client(post(b"ab", length=6))
    assert client.server.got == post(b"ab", length=6)
    client.sends(b"cd")
    client.sends(b"efGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert client.server.got == post(b"abcdef")
    client.server.says(answer())
    assert client.server.got == post(b"abcdef") + get()
    world.over()


def test_chunks_are_re_framed_without_extensions() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    world = World()
    client = world.client(head + b"00003;x=y\r\nabc\r\n2\r\nde\r\n")
    client.sends(b"0\r\nX-T: 1\r\n\r\n" + get())
    assert client.server.got == head + b"5\r\nabcde\r\n0\r\nX-T: 1\r\n\r\n"
    client.server.says(answer())
    assert client.server.got.endswith(get())
    world.over()


def test_broken_chunks_in_mid_body_break_the_server_connection_too() -> None:
    world = World()
    client = world.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    link = client.server
    client.sends(b"zz\r\n")
    assert statuses(client.got) == [400]
    assert link.state == "closed"
    assert b"0\r\n\r\n" not in link.got
    world.over()


def test_expect_is_the_servers_to_answer() -> None:
    world = World()
    client = world.client(post(b"", "Expect: 100-continue", length=3))
    assert client.server.got == post(b"", "Expect: 100-continue", length=3)
    client.server.says(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.reads() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sends(b"abc")
    client.server.says(answer())
    assert client.reads() == answer()
    assert world.lines()[0].split()[3:5] == ["200", str(len(answer()) + 25)]
    world.over()


def test_an_early_answer_lets_the_body_end_and_the_next_request_be_in_step() -> None:
    world = World()
    client = world.client(post(b"ab", length=6))
    client.server.says(answer())
    assert client.reads() == answer()
    assert world.log == []
    client.sends(b"cdef" + get("/next"))
    assert client.server.got == post(b"abcdef") + get("/next"), "the same connection, in step"
    client.server.says(answer())
    assert client.reads() == answer()
    assert [line.split()[3] for line in world.lines()] == ["200", "200"]
    world.over()


def test_an_early_answer_and_a_close_end_the_upload() -> None:
    world = World()
    client = world.client(post(b"ab", length=6))
    client.server.says(answer(b"no", status="413 Too Large"))
    client.server.ends()
    assert statuses(client.got) == [413]
    assert client.state == "shut", "it may still be sending"
    client.sends(b"cdef")
    client.ends()
    assert client.over
    world.over()


@pytest.mark.parametrize("how", ["server ends", "client resets", "nothing"])
def test_what_follows_an_upload_that_was_answered_early_and_given_up_is_not_served(how: str) -> None:
    world = World()
    client = world.client(post(b"ab", length=4))
    client.stuck = client.server.stuck = True
    client.server.says(answer())
    client.sends(b"cd" + post(b"transfer"))
    if how == "server ends":
        client.server.ends()
    elif how == "client resets":
        client.gone()
    world.wait(20)
    client.reads_again()
    assert client.over or client.state == "shut"
    assert world.frontend.requests == len(world.log) == 1
    assert world.backend.current == 0
    world.over()


def test_an_upload_that_stalls_after_its_answer_is_given_up() -> None:
    world = World()
    client = world.client(post(b"ab", length=6))
    client.server.says(answer())
    world.wait(5)
    assert client.over
    assert " cD-- " in world.lines()[0]
    world.over()


# -- 1xx and upgrades ---------------------------------------------------------------------------------


def test_interim_responses_pass_but_not_to_http_10() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    for version, interim in (("1.1", early * 2), ("1.0", b"")):
        world = World()
        client = world.client(get(version=version))
        client.server.says(early + early + answer())
        assert client.got.startswith(interim + b"HTTP/1.1 200 OK\r\n")
        assert len(statuses(client.got)) == 1 + 2 * bool(interim)
        world.over()


def test_interim_responses_come_one_by_one_and_in_pieces() -> None:
    world = World()
    client = world.client(get())
    for said in (b"HTTP/1.1 102 Proc", b"essing\r\n\r\n", b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 2", b"00 OK\r\n"):
        client.server.says(said)
    client.server.says(b"Content-Length: 0\r\n\r\n")
    assert statuses(client.got) == [102, 103, 200]
    assert not client.over
    world.over()


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n"


def test_an_upgrade_makes_a_tunnel() -> None:
    world = World()
    client = world.client(get("/chat", *UPGRADE))
    link = client.server
    assert link.got.endswith(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    link.got = b""
    client.sends(b"early frame")
    assert link.got == b"", "not before the server agreed"
    world.wait(0.1)
    link.says(SWITCH + b"\x81\x02hi")
    head, _, rest = client.reads().partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 101 Switching Protocols"
    assert {b"X: y", b"Connection: Upgrade", b"Upgrade: websocket"} == set(head.split(b"\r\n")[1:])
    assert rest == b"\x81\x02hi"
    assert link.got == b"early frame"
    client.sends(b"\x00\xff")
    link.says(b"\r\n\r\nGET")
    assert (link.got, client.got) == (b"early frame\x00\xff", b"\r\n\r\nGET")
    assert world.log == []
    world.wait(1)
    client.ends()
    assert link.state == "shut"
    link.says(b"bye")
    link.ends()
    assert client.reads() == b"\r\n\r\nGETbye"
    assert client.over
    line = world.lines()[0]
    assert line.startswith("fe be/s1 0/0/0/100/1100 101 ")
    assert " ---- " in line
    assert world.links[0].state == "closed"
    world.over()


def test_a_half_closed_client_that_upgrades_has_its_end_passed_on() -> None:
    world = World()
    client = world.client(get("/chat", *UPGRADE))
    client.ends()
    client.server.says(SWITCH)
    assert world.links[0].state == "shut"
    client.server.ends()
    assert client.over
    world.over()


def test_an_upgrade_that_the_server_ignores_stays_http() -> None:
    world = World()
    client = world.client(get("/", *UPGRADE) + get("/next"))
    client.server.says(answer(b"ok", "Upgrade: websocket", "Connection: upgrade"))
    assert client.reads() == answer()
    assert client.server.got.endswith(get("/next"))
    world.over()


@pytest.mark.parametrize("flags", ["CD", "SD", "sD"])
def test_a_tunnel_breaks(flags: str) -> None:
    world = World()
    client = world.client(get("/chat", *UPGRADE))
    client.server.says(SWITCH)
    if flags == "CD":
        client.gone()
    elif flags == "SD":
        client.server.ends(broken=True)
        assert client.state == "reset"
    else:
        world.wait(2.9)
        client.sends(b"ping")
        world.wait(2.9)
        assert not client.over
        world.wait(0.2)
    assert client.over
    assert f" {flags}-- " in world.lines()[0]
    world.over()


@pytest.mark.parametrize("ends", ["upgraded", "connected"])
def test_a_server_that_ends_first_ends_an_upgrade_but_only_its_half_of_a_connect(ends: str) -> None:
    world = World()
    if ends == "upgraded":
        client = world.client(get("/chat", *UPGRADE))
        client.server.says(SWITCH + b"bye")
    else:
        client = world.client(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
        client.server.says(b"HTTP/1.1 200 OK\r\n\r\nbye")
    link = client.server
    link.ends()
    assert client.got.endswith(b"bye")
    assert client.state == "shut", "an upgraded client may read this before its connection goes"
    assert link.state == ("closed" if ends == "upgraded" else "open")
    assert bool(world.lines()) == (ends == "upgraded")
    client.ends()
    assert client.over
    world.over()


def test_connect_makes_a_tunnel_when_the_server_says_so() -> None:
    wire = b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"
    world = World()
    client = world.client(wire)
    assert client.server.got == wire
    client.server.says(b"HTTP/1.1 200 OK\r\n\r\nhello")
    client.sends(b"\x16\x03")
    assert world.links[0].got == wire + b"\x16\x03"
    assert client.got == b"HTTP/1.1 200 OK\r\n\r\nhello"
    world.over()
    world = World()
    client = world.client(wire)
    client.server.says(answer(status="403 Forbidden"))
    assert client.got == answer(status="403 Forbidden")
    client.sends(get())
    assert client.server.got.endswith(get())
    world.over()


def test_a_tunnel_that_connect_opened_with_204_is_nobody_elses() -> None:
    world = World()
    client = world.client(b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
    client.server.says(b"HTTP/1.1 204 No Content\r\n\r\n")
    client.sends(b"\x16\x03")
    assert client.server.got.endswith(b"\x16\x03")
    assert not world.backend.servers[0].idle
    world.over()


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "negotiate abc=="])
def test_a_connection_that_was_authenticated_is_its_clients_alone(scheme: str) -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer(b"no", f"WWW-Authenticate: {scheme}", status="401 Unauthorized"))
    client.sends(get("/", "Authorization: NTLM TlRM"))
    client.server.says(answer())
    first = world.links[0]
    other = world.client(get())
    other.server.says(answer())
    other.sends(get("/second"))  # which may use a connection of somebody else
    assert other.server is not first
    client.sends(get("/mine"))
    assert client.server is first
    world.over()


def test_a_basic_challenge_binds_no_connection() -> None:
    world = World()
    client = world.client(get())
    client.server.says(answer(b"no", "WWW-Authenticate: Basic realm=x", status="401 Unauthorized"))
    assert world.backend.servers[0].idle == world.links
    world.over()


# -- what is added to a request -----------------------------------------------------------------------


def test_forwardfor_adds_a_line_behind_the_clients_own() -> None:
    world = World(frontend={"forwardfor": ForwardFor()})
    client = world.client(get("/", "X-Forwarded-For: 10.0.0.1"))
    assert client.server.got == get("/", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 192.0.2.9")
    world.over()


def test_nominating_the_header_away_does_not_hide_the_client() -> None:
    for if_none in (False, True):
        world = World(forwardfor=ForwardFor(if_none=if_none))
        client = world.client(get("/", "Connection: X-Forwarded-For", "X-Forwarded-For: 10.0.0.1"))
        assert client.server.got == get("/", "X-Forwarded-For: 192.0.2.9")
        world.over()


def test_if_none_leaves_a_header_that_is_there() -> None:
    world = World(forwardfor=ForwardFor(if_none=True))
    assert world.client(get("/", "x-forwarded-for: a")).server.got == get("/", "x-forwarded-for: a")
    world.over()


# -- answers of our own ---------------------------------------------------------------------------------


def test_a_responder_answers_instead_of_a_server() -> None:
    page = emit.answer(200, [b"x: y"], b"page", close=False)
    world = World(responder=lambda request: page if request.path == b"/stats" else None)
    client = world.client(get("/stats"))
    assert client.reads() == page
    assert "fe fe/<NOSRV> 0/-1/-1/-1/0 200 " in (line := world.lines()[0])
    assert " LR-- " in line
    client.sends(get("/stats").replace(b"GET", b"HEAD"))
    assert client.reads() == page.removesuffix(b"page")
    client.sends(get())
    assert client.server.got == get()
    client.server.says(answer())
    client.reads()
    client.sends(post(b"ab", length=9).replace(b"POST /", b"POST /stats"))
    assert b"connection: close" in client.got
    assert client.state == "shut"
    world.over()


# -- shutting down ----------------------------------------------------------------------------------------


def test_a_graceful_end_finishes_the_request_and_closes_idle_clients() -> None:
    world = World()
    idle, busy = world.client(), world.client(get())
    for client in (idle, busy):
        client.session.shut_down(world.now, at_once=False)
        world.settle(client)
    assert idle.over
    assert not busy.over
    busy.server.says(answer())
    assert b"Connection: close" in busy.got
    assert busy.over
    world.over()


def test_an_end_at_once_resets_who_is_in_the_middle() -> None:
    world = World()
    waiting, reading = world.client(get()), world.client(get())
    reading.server.says(answer(b"ab", length=9))
    for client in (waiting, reading):
        client.session.shut_down(world.now, at_once=True)
        world.settle(client)
        assert client.state == "reset"
    assert [line.split(" - - ")[1][:4] for line in world.lines()] == ["KH--", "KD--"]
    world.over()


def test_counters_add_up() -> None:
    world = World()
    client = world.client(get() + post(b"abc"))
    client.server.says(answer())
    client.server.says(answer(status="404 No"))
    client.sends(b"junk\r\n\r\n")
    frontend, (server,) = world.frontend, world.backend.servers
    assert (frontend.requests, frontend.request_errors, server.total, world.backend.total) == (2, 1, 2, 2)
    assert frontend.responses == [0, 0, 1, 0, 2, 0]
    assert frontend.bytes_in == len(get() + post(b"abc") + b"junk\r\n\r\n")
    assert frontend.bytes_out == len(client.got)
    assert server.bytes_out == len(answer() + answer(status="404 No"))
    world.over()


def test_unset_timeouts_and_modes_are_no_special_case() -> None:
    assert World(timeouts=Timeouts()).client().session.deadline == float("inf")
    assert World(mode=Mode.TCP).client().server.connected
