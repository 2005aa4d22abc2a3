"""Cookie persistence, row by row as HAProxy 2.6 does it (recorded from the real one)."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get, servers, statuses

from hapair.config.model import Cookie, CookieMode, Server
from hapair.proxy.persistence import dynamic_value

INDIRECT = Cookie("SID", CookieMode.INSERT, indirect=True, nocache=True)
INSERT = Cookie("SID", CookieMode.INSERT)
PASSIVE = Cookie("SID")
GONE = b"set-cookie: SID=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"


def exchange(
    cookie: Cookie,
    sent: str | None,
    *own: str,
    pool: tuple[Server, ...] = servers(1, cookie="A"),
    down: str | None = None,
) -> tuple[bytes, list[bytes], str]:
    """One request: what the server got, the Set-Cookie lines the client got, both flags."""
    world = World(servers=pool, cookie=cookie)
    if down is not None:
        world.set_up(down, up=False)
    client = world.client(get("/", *([f"Cookie: a=b; SID={sent}; c=d"] if sent is not None else [])))
    got = client.server.got
    client.server.says(answer(b"ok", *own))
    (line,) = world.lines()
    flags = line.split(" - - ")[1][:4]
    assert flags[:2] == "--"
    if b"set-cookie: SID" in client.got:
        assert (b"cache-control: private" in client.got.lower()) == cookie.nocache
    world.over()
    return (
        got,
        [line for line in client.got.split(b"\r\n") if line.lower().startswith(b"set-cookie:")],
        flags[2:],
    )


def test_a_new_client_is_given_a_cookie() -> None:
    got, cookies, flags = exchange(INDIRECT, None)
    assert (cookies, flags) == ([b"set-cookie: SID=A; path=/"], "NI")
    assert got == get()


def test_a_valid_cookie_is_hidden_from_the_server_when_indirect() -> None:
    got, cookies, flags = exchange(INDIRECT, "A")
    assert (cookies, flags) == ([], "VN")
    assert got == get("/", "Cookie: a=b; c=d")


def test_a_valid_cookie_is_shown_to_the_server_otherwise() -> None:
    got, cookies, flags = exchange(INSERT, "A")
    assert (cookies, flags) == ([], "VN")
    assert got == get("/", "Cookie: a=b; SID=A; c=d")


@pytest.mark.parametrize("cookie", [INDIRECT, INSERT])
@pytest.mark.parametrize("value", ["zz", ""])
def test_an_unknown_cookie_is_replaced(cookie: Cookie, value: str) -> None:
    _, cookies, flags = exchange(cookie, value)
    assert (cookies, flags) == ([b"set-cookie: SID=A; path=/"], "II")


@pytest.mark.parametrize("cookie", [INDIRECT, INSERT])
def test_the_server_of_the_cookie_is_down(cookie: Cookie) -> None:
    pool = (*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1, cookie="B"))
    _, cookies, flags = exchange(cookie, "A", pool=pool, down="s1")
    assert (cookies, flags) == ([b"set-cookie: SID=B; path=/"], "DI")


@pytest.mark.parametrize("cookie", [INDIRECT, INSERT])
def test_down_and_the_other_has_no_cookie_so_the_clients_is_deleted(cookie: Cookie) -> None:
    pool = (*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1))
    _, cookies, flags = exchange(cookie, "A", pool=pool, down="s1")
    assert (cookies, flags) == ([GONE], "DI")


@pytest.mark.parametrize("cookie", [INDIRECT, INSERT])
def test_a_servers_own_cookie_of_that_name_never_gets_through(cookie: Cookie) -> None:
    own = "Set-Cookie: SID=mine", "Set-Cookie: other=1"
    _, cookies, flags = exchange(cookie, None, *own)
    assert (cookies, flags) == ([b"Set-Cookie: other=1", b"set-cookie: SID=A; path=/"], "NI")
    _, cookies, flags = exchange(cookie, "A", *own)
    assert (cookies, flags) == ([b"Set-Cookie: other=1"], "VD")


@pytest.mark.parametrize("sent", [None, "A", "zz"])
def test_without_a_mode_cookies_only_choose(sent: str | None) -> None:
    got, cookies, flags = exchange(PASSIVE, sent, "Set-Cookie: SID=mine")
    assert (cookies, flags) == ([b"Set-Cookie: SID=mine"], "--")
    assert (sent is None) == (b"SID=" not in got)


@pytest.mark.parametrize("cookie", [INDIRECT, INSERT, PASSIVE])
def test_the_cookie_beats_the_balancing(cookie: Cookie) -> None:
    pool = tuple(Server(name=n, id=i, host="h", port=1, cookie=n) for i, n in enumerate("ABC"))
    world = World(servers=pool, cookie=cookie)
    for name in "CCBAB":
        client = world.client(get("/", f"Cookie: SID={name}"))
        assert client.server.server.name == name
        client.server.says(answer())
    world.over()


def test_a_server_of_weight_0_still_serves_its_own() -> None:
    pool = (Server(name="s1", id=1, host="h", port=1, cookie="A", weight=0), *servers(1, cookie="B"))
    world = World(servers=(pool[0], Server(name="s2", id=2, host="h", port=1, cookie="B")), cookie=INDIRECT)
    assert world.client(get("/", "Cookie: SID=A")).server.server.name == "s1"
    assert all(world.client(get()).server.server.name == "s2" for _ in range(4))
    world.over()


def test_a_refused_persistent_server_is_left_only_at_the_last_try() -> None:
    pool = (*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1, cookie="B"))
    world = World(servers=pool, cookie=INDIRECT, redispatch=-1, retries=2)
    world.connects["s1"] = "refused"
    client = world.client(get("/", "Cookie: SID=A"))
    world.wait(0.99)
    assert not world.log
    world.wait(0.02)
    client.server.says(answer())
    assert statuses(client.got) == [200]
    assert b"set-cookie: SID=B; path=/" in client.got
    assert world.lines()[0].startswith("fe be/s2 0/1000/0/")
    world.over()


def test_the_flags_of_a_client_whose_server_was_left_say_down() -> None:
    pool = (*servers(1, cookie="A"), Server(name="s2", id=2, host="h", port=1, cookie="B"))
    world = World(servers=pool, cookie=INDIRECT, redispatch=-1, retries=1)
    world.connects["s1"] = "refused"
    client = world.client(get("/", "Cookie: SID=A"))
    client.server.says(answer())
    assert "- - --DI 1/1/0/0/+1 0/0" in world.lines()[0]
    world.over()


def test_a_full_queue_is_the_end_without_redispatch() -> None:
    pool = tuple(
        Server(name=n, id=i, host="h", port=1, cookie=n, maxconn=1, maxqueue=1) for i, n in enumerate("AB")
    )
    world = World(servers=pool, cookie=INDIRECT)
    world.client(get("/", "Cookie: SID=A"))
    world.client(get("/", "Cookie: SID=A"))
    assert statuses(world.client(get("/", "Cookie: SID=A")).got) == [503]
    world.over()


@pytest.mark.parametrize(("mode", "given"), [(CookieMode.REWRITE, b"A"), (CookieMode.PREFIX, b"A~mine")])
def test_a_servers_cookie_is_rewritten_or_prefixed(mode: CookieMode, given: bytes) -> None:
    cookie = Cookie("SID", mode)
    _, cookies, flags = exchange(cookie, None, "Set-Cookie: SID=mine; path=/x")
    assert (cookies, flags) == ([b"Set-Cookie: SID=" + given + b"; path=/x"], "NR")
    assert exchange(cookie, None)[1:] == ([], "NN")


def test_a_prefix_is_taken_off_for_the_server() -> None:
    got, cookies, flags = exchange(Cookie("SID", CookieMode.PREFIX), "A~mine")
    assert (got, cookies, flags) == (get("/", "Cookie: a=b; SID=mine; c=d"), [], "VN")


def test_forced_persistence_waits_for_a_dead_server_and_does_not_leave_it() -> None:
    pool = tuple(Server(name=n, id=i, host="h", port=1, cookie=n, maxconn=1) for i, n in enumerate("AB"))
    world = World(servers=pool, cookie=INDIRECT, redispatch=1, retries=1, force_persist=("METH_GET",))
    world.set_up("A", up=False)
    first = world.client(get("/", "Cookie: SID=A"))
    waits = world.client(get("/", "Cookie: SID=A"))
    assert first.server.server.name == "A"
    assert waits.session.waiting_in is not None
    first.server.says(answer())
    assert waits.server.server.name == "A"
    world.connects["A"] = "refused"
    assert waits.server.server.name == "A"
    waits.server.says(answer())
    lost = world.client(get("/", "Cookie: SID=A"))
    world.wait(5)
    assert statuses(lost.got) == [503]
    world.over()


def test_a_dynamic_value_is_the_same_for_the_same_key_and_address() -> None:
    place = (2, ("192.0.2.1", 80))
    assert dynamic_value("key", place) == dynamic_value("key", place)
    others = [("other", place), ("key", (2, ("192.0.2.2", 80))), ("key", (2, ("192.0.2.1", 81)))]
    assert len({dynamic_value("key", place), *(dynamic_value(*one) for one in others)}) == 4
    assert dynamic_value("key", (1, "/run/a.sock")) is None
