"""TCP mode as dialogues: half-closes, resets, timeouts, the log."""

from __future__ import annotations

import pytest
from proxy.world import World, servers

from hapair.config.model import Mode, Timeouts


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


@pytest.mark.parametrize(
    ("timeouts", "flags", "after"),
    [(Timeouts(client=2.0, server=5.0), "cD", 2.0), (Timeouts(client=5.0, server=2.0), "sD", 2.0)],
)
def test_silence_is_ended_and_whose_it_was_is_told(timeouts: Timeouts, flags: str, after: float) -> None:
    world = tcp(timeouts=timeouts)
    client = world.client(b"x")
    world.wait(after - 0.1)
    client.sends(b"y")
    world.wait(after - 0.1)
    assert not client.over
    client.server.says(b"z")
    world.wait(after)
    assert client.over
    assert f" 1 {flags} " in world.lines()[0]
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
    assert link.state == "closed"
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
