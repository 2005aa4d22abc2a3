"""TCP mode as dialogues: half-closes, resets, timeouts, the log."""

from __future__ import annotations

import pytest
from proxy.world import World, servers
from rules.hellos import hello

from hapair.config.model import Mode, Timeouts, UseBackend
from hapair.proxy.session import NONE
from hapair.proxy.silence import HIGH_WATER


def tcp(**options: object) -> World:
    return World(mode=Mode.TCP, **options)  # type: ignore[arg-type]


def test_bytes_flow_both_ways_and_both_ends_end_it() -> None:
    world = tcp()
    client = world.client(b"hello")
    link = client.server
    link.says(b"welcome")
    client.sends(b" there")
    assert (link.got, client.got) == (b"hello there", b"welcome")
    world.wait(1.5)
    client.ends()
    assert link.state == "shut"
    assert not client.over
    link.says(b", bye")
    link.ends()
    assert client.got == b"welcome, bye"
    assert client.over
    assert world.lines() == ["fe be/s1 0/0/1500 12 -- 1/1/0/0/0 0/0"]
    world.over()


def test_the_server_may_end_first() -> None:
    world = tcp()
    client = world.client()
    link = client.server
    link.says(b"hi")
    link.ends()
    assert client.state == "shut"
    client.sends(b"still")
    assert link.got == b"still"
    client.ends()
    assert client.over
    assert world.lines() == ["fe be/s1 0/0/0 2 -- 1/1/0/0/0 0/0"]
    world.over()


def test_what_comes_before_the_server_is_connected_is_kept() -> None:
    world = tcp()
    world.connects["s1"] = "hangs"
    client = world.client(b"early ")
    client.sends(b"bytes")
    client.ends()
    assert not client.over
    world.connect(client)
    assert world.links[0].got == b"early bytes"
    assert world.links[0].state == "shut"
    client.server.ends()
    assert client.over
    world.over()


def test_it_survives_another_try() -> None:
    world = tcp()
    world.connects["s1"] = "refused"
    client = world.client(b"early")
    world.connects.clear()
    world.wait(1)
    assert client.server.got == b"early"
    world.over()


@pytest.mark.parametrize(("abortonclose", "sent"), [(False, b""), (True, b""), (True, b"x")])
def test_a_client_that_ends_before_it_has_a_server_has_given_up(abortonclose: bool, sent: bytes) -> None:
    world = tcp(abortonclose=abortonclose)
    world.connects["s1"] = "hangs"
    client = world.client(sent)
    client.ends()
    assert client.over
    assert " CC " in world.lines()[0]
    world.over()


def test_refused() -> None:
    world = tcp(retries=2)
    world.connects["s1"] = "refused"
    client = world.client(b"x")
    world.wait(2)
    assert (client.over, client.got) == (True, b"")
    assert world.lines() == ["fe be/s1 0/-1/2000 0 SC 1/1/0/0/2 0/0"]
    world.over()


def test_connect_timeout() -> None:
    world = tcp(retries=1)
    world.connects["s1"] = "hangs"
    client = world.client(b"x")
    world.wait(4)
    assert client.over
    assert world.lines() == ["fe be/s1 0/-1/4000 0 sC 1/1/0/0/1 0/0"]
    world.over()


def test_no_server() -> None:
    world = tcp(servers=())
    assert world.client().over
    assert world.lines() == ["fe be/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0"]


def test_queue_timeout_and_the_queue() -> None:
    world = tcp(servers=servers(1, maxconn=1))
    first = world.client(b"a")
    second = world.client(b"b")
    world.wait(1)
    assert second.over
    assert world.lines() == ["fe be/<NOSRV> 1000/-1/1000 0 sQ 2/2/1/0/0 0/1"]
    third = world.client(b"c")
    first.gone()
    assert third.server.got == b"c"
    world.over()


@pytest.mark.parametrize("side", ["client", "server"])
def test_the_side_that_is_silent_first_has_ended_and_the_other_has_its_own_time(side: str) -> None:
    early, late = ("cD", 2.0), ("sD", 5.0)
    limits = Timeouts(client=2.0, server=5.0) if side == "client" else Timeouts(client=5.0, server=2.0)
    world = tcp(timeouts=limits)
    client = world.client(b"x")
    link = client.server
    world.wait(early[1] - 0.1)
    client.sends(b"y")
    world.wait(early[1] - 0.1)
    link.says(b"z")
    world.wait(early[1] - 0.1)
    assert (client.state, link.state) == ("open", "open"), "what one says is heard by the other"
    world.wait(0.2)
    if side == "client":
        assert (client.state, link.state) == ("open", "shut")
        client.session.client_data(b"too late", world.now)
        link.says(b"still")
        assert (client.got, link.got) == (b"zstill", b"xy")
    else:
        assert (client.state, link.state) == ("shut", "open")
        link.says(b"too late")
        client.sends(b"still")
        assert (client.got, link.got) == (b"z", b"xystill")
    world.wait(late[1] - 0.1)
    assert not client.over
    world.wait(0.2)
    assert client.over
    assert f" {early[0] if side == 'client' else late[0]} " in world.lines()[0], "what happened first counts"
    world.over()


def test_the_other_side_may_end_what_a_silence_began() -> None:
    world = tcp(timeouts=Timeouts(client=2.0, server=5.0))
    client = world.client(b"x")
    world.wait(2.1)
    client.server.ends()
    assert client.over
    assert "/2100 0 cD " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(("side", "flags"), [("client", "cD"), ("server", "sD")])
def test_one_who_takes_nothing_ends_it_all_though_it_speaks(side: str, flags: str) -> None:
    limits = Timeouts(client=2.0, server=9.0) if side == "client" else Timeouts(client=9.0, server=2.0)
    world = tcp(timeouts=limits)
    client = world.client(b"x")
    link = client.server
    if side == "client":
        client.stuck = True
        link.says(b"abc")
        client.session.flushed(world.now)
    else:
        link.stuck = True
        client.sends(b"abc")
        client.session.server_took(world.now)
    for _ in range(19):
        world.wait(0.1)
        client.sends(b"y") if side == "client" else link.says(b"y")
    assert not client.over
    world.wait(0.2)
    assert client.over
    assert f" {flags} " in world.lines()[0]
    world.over()


def test_nobody_is_silent_while_we_do_not_listen() -> None:
    world = tcp(timeouts=Timeouts(client=2.0, server=5.0))
    client = world.client(b"x")
    link = client.server
    link.stuck = True
    client.sends(bytes(HIGH_WATER))
    client.session.server_took(world.now)
    world.wait(4.9)
    assert not client.over, "the server is slow; the client could not have said anything"
    link.reads_again()
    world.wait(1.9)
    assert link.state == "open"
    world.wait(0.2)
    assert link.state == "shut", "now it could"
    world.over()


def test_resets_are_passed_on() -> None:
    world = tcp()
    client = world.client(b"x")
    client.server.says(b"abc")
    client.server.ends(broken=True)
    assert client.state == "reset"
    assert world.lines() == ["fe be/s1 0/0/0 3 SD 1/1/0/0/0 0/0"]
    other = world.client(b"x")
    link = other.server
    other.gone()
    assert link.state == "reset"
    assert " CD " in world.lines()[0]
    world.over()


def test_a_slow_reader_gets_the_rest_before_the_end() -> None:
    world = tcp()
    client = world.client(b"x")
    client.stuck = True
    link = client.server
    link.says(b"abc")
    client.session.flushed(world.now)
    link.ends()
    client.ends()
    assert not client.over
    client.reads_again()
    assert client.got == b"abc"
    assert client.over
    assert " 3 -- " in world.lines()[0]
    world.over()


def test_a_slow_server_gets_the_rest_before_the_end() -> None:
    world = tcp()
    client = world.client()
    link = client.server
    link.stuck = True
    client.sends(b"abc")
    client.session.flushed(world.now)
    client.ends()
    assert link.state == "open"
    link.reads_again()
    assert link.got == b"abc"
    assert link.state == "shut"
    link.ends()
    assert client.over
    world.over()


def test_a_stream_has_no_graceful_end_only_a_hard_one() -> None:
    world = tcp()
    client = world.client(b"x")
    client.session.shut_down(world.now, at_once=False)
    world.settle(client)
    assert not client.over
    client.session.shut_down(world.now, at_once=True)
    world.settle(client)
    assert client.state == "reset"
    assert " K- " in world.lines()[0]
    world.over()


def test_dontlognull_hides_connections_without_a_byte() -> None:
    world = tcp(frontend={"dontlognull": True})
    world.client().gone()
    assert world.lines() == []
    world.client(b"x").gone()
    assert " 0 CD " in world.lines()[0]
    world.over()


def test_bytes_are_counted() -> None:
    world = tcp()
    client = world.client(b"12345")
    client.server.says(b"abc")
    assert (world.frontend.bytes_in, world.frontend.bytes_out) == (5, 3)
    world.over()


# -- whose patience ends ----------------------------------------------------------------------------


def test_a_tunnel_timeout_takes_the_place_of_both() -> None:
    world = tcp(timeouts=Timeouts(client=1.0, server=2.0, tunnel=4.0))
    client = world.client(b"x")
    world.wait(3.9)
    assert not client.over
    client.server.says(b"y")
    world.wait(3.9)
    assert not client.over
    world.wait(0.2)
    assert client.over
    assert " cD " in world.lines()[0], "HAProxy names the client when both are late"
    world.over()


@pytest.mark.parametrize(
    ("timeouts", "after", "flags"),
    [
        # recorded from HAProxy 2.6: only the side that may still send is waited for
        (Timeouts(client=0.6, server=3.0), 3.0, "sD"),
        (Timeouts(client=5.0, server=0.8), 0.8, "sD"),
        (Timeouts(client=5.0, server=2.0, tunnel=3.0), 3.0, "sD"),
        (Timeouts(client=5.0, server=2.0, tunnel=3.0, server_fin=0.5), 0.5, "sD"),
        (Timeouts(client=5.0, server=2.0, client_fin=0.1), 2.0, "sD"),
    ],
)
def test_a_server_whose_client_has_ended_has_its_own_time(
    timeouts: Timeouts, after: float, flags: str
) -> None:
    world = tcp(timeouts=timeouts)
    client = world.client(b"x")
    client.ends()
    world.wait(after - 0.05)
    assert not client.over
    world.wait(0.1)
    assert client.over
    assert f" {flags} " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(
    ("timeouts", "after"),
    [
        (Timeouts(client=3.0, server=0.6), 3.0),
        (Timeouts(client=3.0, server=0.6, tunnel=2.0), 2.0),
        (Timeouts(client=3.0, server=0.6, tunnel=2.0, client_fin=0.5), 0.5),
        (Timeouts(client=3.0, server=0.6, server_fin=0.1), 3.0),
    ],
)
def test_a_client_whose_server_has_ended_has_its_own_time(timeouts: Timeouts, after: float) -> None:
    world = tcp(timeouts=timeouts)
    client = world.client(b"x")
    client.server.ends()
    world.wait(after - 0.05)
    assert not client.over
    world.wait(0.1)
    assert client.over
    assert " cD " in world.lines()[0]
    world.over()


def test_a_half_closed_client_that_does_not_take_its_bytes_is_waited_for_as_a_client() -> None:
    world = tcp(timeouts=Timeouts(client=1.0, server=5.0))
    client = world.client(b"x")
    client.stuck = True
    client.server.says(b"abc")
    client.session.flushed(world.now)
    client.ends()
    world.wait(1.1)
    assert client.over
    assert " cD " in world.lines()[0]
    world.over()


# -- how a stream begins ----------------------------------------------------------------------------


def routed(delay: float = 2.0, **options: object) -> World:
    """Streams that ask for `www.example.org` may pass; others have no backend."""
    use = (UseBackend("be", "{ req.ssl_sni -i www.example.org }"),)
    frontend = {"tcp_request_inspect_delay": delay, "use_backend": use, "default_backend": None}
    return tcp(frontend=frontend, **options)


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_stream_is_routed_by_the_name_in_its_hello_which_arrives_untouched(size: int) -> None:
    world = routed()
    client = world.client()
    data = hello("WWW.example.org") + b"more"
    for at in range(0, len(data), size):
        assert client.session.stage == NONE or client.server.got == data[:at]
        client.sends(data[at : at + size])
    assert client.server.got == data
    client.server.says(b"hi")
    assert client.got == b"hi"
    world.over()


def test_another_name_goes_where_the_rules_say() -> None:
    world = routed()
    assert world.client(hello("other.example.org")).over
    assert world.client(b"GET / HTTP/1.1\r\n").over, "what is no TLS is known at once"
    assert [line.split()[1] for line in world.lines()] == ["fe/<NOSRV>", "fe/<NOSRV>"]
    world.over()


def test_after_the_delay_the_rules_are_applied_to_what_there_is() -> None:
    world = routed(delay=0.5)
    late = world.client(hello("www.example.org")[:-1])
    world.wait(0.4)
    assert not late.over
    world.wait(0.2)
    assert late.over
    world.over()


def test_a_server_that_speaks_first_is_asked_after_the_delay() -> None:
    world = tcp(frontend={"tcp_request_inspect_delay": 0.5})
    client = world.client()
    world.wait(0.4)
    assert not world.links
    world.wait(0.2)
    client.server.says(b"220 welcome")
    assert client.got == b"220 welcome"
    world.over()


def test_a_hello_that_fills_the_buffer_is_none() -> None:
    world = tcp(frontend={"tcp_request_inspect_delay": 5.0})
    client = world.client(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + bytes(8000))
    assert not world.links
    client.sends(bytes(8376))
    assert len(client.server.got) == 16385
    world.over()


@pytest.mark.parametrize("gone", [False, True])
def test_a_client_that_leaves_before_it_has_shown_anything(gone: bool) -> None:
    world = routed()
    client = world.client(b"\x16" if gone else b"")
    client.gone() if gone else client.ends()
    assert client.over
    assert " CR " in world.lines()[0]
    world.over()


def test_a_client_that_ends_after_its_first_words_is_served() -> None:
    world = tcp(frontend={"tcp_request_inspect_delay": 5.0})
    client = world.client(b"\x16")
    client.ends()
    assert (client.server.got, client.server.state) == (b"\x16", "shut")
    client.server.ends()
    assert client.over
    world.over()
