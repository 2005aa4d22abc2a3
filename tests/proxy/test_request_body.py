"""Request bodies: waited for when that is wanted, and never for ever."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, post, statuses

from hapair.config.model import Timeouts

PATIENT = Timeouts(http_request=4.0, connect=2.0, client=30.0, server=30.0, http_keep_alive=6.0, queue=1.0)


def buffering(side: str) -> World:
    return World(
        **(
            {"http_buffer_request": True}
            if side == "backend"
            else {"frontend": {"http_buffer_request": True}}
        )
    )


@pytest.mark.parametrize("side", ["frontend", "backend"])
def test_no_server_is_asked_before_the_body_is_whole(side: str) -> None:
    world = buffering(side)
    client = world.client(post(b"12345", length=10))
    assert world.links == []
    client.sends(b"67890")
    assert client.server.got.endswith(b"1234567890")
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_a_large_body_is_waited_for_up_to_the_buffer() -> None:
    world = buffering("frontend")
    client = world.client(post(b"", length=100_000))
    client.sends(b"x" * 16_000)
    assert world.links == []
    client.sends(b"x" * 1000)
    assert client.server.got.endswith(b"x" * 17_000)
    client.sends(b"x" * 83_000)
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_chunks_are_waited_for_as_well() -> None:
    world = buffering("frontend")
    client = world.client(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert world.links == []
    client.sends(b"0\r\n\r\n")
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_a_body_that_does_not_come_in_time_is_answered_with_408() -> None:
    world = buffering("frontend")
    client = world.client(post(b"12345", length=10))
    world.wait(3)
    client.sends(b"6")
    world.wait(1.1)
    assert statuses(client.got) == [408]
    assert world.lines()[0].startswith("fe be/<NOSRV>")
    assert world.links == []
    world.over()


def test_a_client_that_leaves_before_its_body_is_whole_costs_no_server() -> None:
    world = buffering("frontend")
    client = world.client(post(b"12345", length=10))
    client.ends()
    assert statuses(client.got) == [400]
    assert " CR-- " in world.lines()[0]
    assert world.links == []
    world.over()


def test_who_waits_for_a_100_gets_it_from_us() -> None:
    world = buffering("frontend")
    client = world.client(post(b"", "Expect: 100-continue", length=3))
    assert client.reads() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sends(b"abc")
    client.server.says(answer())
    assert statuses(client.got) == [200]
    world.over()


def test_without_the_option_the_body_follows_as_it_comes() -> None:
    world = World()
    client = world.client(post(b"12345", length=10))
    assert client.server.got.endswith(b"12345")
    world.over()


def drip(world: World, client, size: int, each: float, seconds: float) -> None:
    until = world.now + seconds
    while world.now < until and not client.over and not client.session.ended:
        client.sends(b"x" * size)
        world.wait(each)


def test_a_body_that_drips_is_cut_although_something_always_comes() -> None:
    world = World(timeouts=PATIENT)
    client = world.client(post(b"", length=100_000))
    drip(world, client, 10, 3, 120)
    assert statuses(client.got) == [408]
    assert world.now < 1000 + 25
    assert " cH-- " in world.lines()[0]
    world.over()


@pytest.mark.parametrize(("rate", "size"), [(500, 2000), (0, 10)])
def test_a_body_that_is_quick_enough_or_may_be_slow_is_not(rate: int, size: int) -> None:
    world = World(timeouts=PATIENT, frontend={"http_body_min_rate": rate})
    client = world.client(post(b"", length=100_000))
    drip(world, client, size, 3, 120)
    assert client.got == b""
    world.over()


def test_a_server_that_takes_nothing_is_not_the_clients_fault() -> None:
    world = World(timeouts=PATIENT)
    client = world.client(post(b"", length=100_000))
    client.server.stuck = True
    for _ in range(3):
        client.sends(b"x" * 1000)
        client.session.flushed(world.now)  # as the endpoint says when a send is partial
        world.wait(15)
    client.server.reads_again()
    world.wait(15)
    assert client.got == b""
    world.wait(10)
    assert statuses(client.got) == [408]
    world.over()
