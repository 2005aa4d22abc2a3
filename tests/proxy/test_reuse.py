"""http_reuse, pools and closing: whose connection a request is sent on, as HAProxy decides it."""

from __future__ import annotations

import pytest
from proxy.world import World, answer, get, servers

from hapair.config.model import HttpReuse

MODES = list(HttpReuse)


def serve(world: World, *clients_and_paths) -> list[int]:
    """One request after the other; which connection each went on, by its number."""
    places = []
    for client in clients_and_paths:
        client.sends(get())
        link = client.server
        places.append(world.links.index(link))
        link.says(answer())
    return places


@pytest.mark.parametrize(
    ("mode", "connections"),
    [
        # two requests of a client, then the first and the second of another
        (HttpReuse.NEVER, [0, 0, 1, 1]),
        (HttpReuse.SAFE, [0, 0, 1, 1]),
        (HttpReuse.AGGRESSIVE, [0, 0, 0, 0]),
        (HttpReuse.ALWAYS, [0, 0, 0, 0]),
    ],
)
def test_who_may_have_whose_connection(mode: HttpReuse, connections: list[int]) -> None:
    world = World(http_reuse=mode)
    one, other = world.client(), world.client()
    assert serve(world, one, one, other, other) == connections
    world.over()


def test_a_first_request_takes_only_proven_connections_when_aggressive() -> None:
    world = World(http_reuse=HttpReuse.AGGRESSIVE)
    one, two, three = world.client(), world.client(), world.client()
    assert serve(world, one, two) == [0, 1], "a connection that served once is not proven"
    assert serve(world, one) == [1]
    assert serve(world, three) == [1], "now it is"
    world.over()


def test_a_later_request_may_have_anybodys_connection_when_safe() -> None:
    world = World(http_reuse=HttpReuse.SAFE)
    one, two = world.client(), world.client()
    assert serve(world, one, two, one) == [0, 1, 1]
    world.over()


def test_a_private_connection_ends_with_its_client() -> None:
    world = World(http_reuse=HttpReuse.NEVER)
    client = world.client()
    serve(world, client)
    link = client.parked
    assert link is not None
    client.ends()
    assert link.state == "closed"
    world.over()


def test_a_private_connection_that_the_server_closes_is_forgotten() -> None:
    world = World(http_reuse=HttpReuse.NEVER)
    client = world.client()
    serve(world, client)
    assert client.parked is not None
    client.parked.ends()
    assert serve(world, client) == [1]
    world.over()


def test_a_private_connection_to_another_server_is_closed() -> None:
    world = World(http_reuse=HttpReuse.NEVER, servers=servers(2))
    client = world.client()
    assert serve(world, client, client, client) == [0, 1, 2], "round robin changes the server each time"
    assert [link.state for link in world.links] == ["closed", "closed", "open"]
    world.over()


def test_max_reuse_bounds_what_one_connection_serves() -> None:
    world = World(servers=servers(max_reuse=2))
    client = world.client()
    assert serve(world, *[client] * 7) == [0, 0, 0, 1, 1, 1, 2]
    world.over()


@pytest.mark.parametrize("side", ["frontend", "backend"])
def test_httpclose_closes_both_and_tells_both(side: str) -> None:
    world = World(**({"httpclose": True} if side == "backend" else {"frontend": {"httpclose": True}}))
    client = world.client(get())
    link = client.server
    assert b"\r\nConnection: close\r\n" in link.got
    link.says(answer())
    assert b"\r\nConnection: close\r\n" in client.got
    assert (link.state, client.state) == ("closed", "closed")
    world.over()
