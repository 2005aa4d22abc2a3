"""Two nodes of a pair, with the same servers in any order, put every client on the same server."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from proxy.world import World, answer, get

from hapair.config import model
from hapair.config.model import Cookie, CookieMode, Server

COUNT = 6


def pool(order: list[int], **common: object) -> tuple[Server, ...]:
    return tuple(
        Server(name=f"n{i}", id=i, host=f"192.0.2.{i}", port=80, cookie=f"c{i}", weight=1 + i % 3, **common)
        for i in order
    )


def place(world: World, *headers: str, source: str = "192.0.2.9", path: str = "/") -> tuple[str, bytes]:
    client = world.client(get(path, *headers), source=source)
    host = client.server.server.host
    client.server.says(answer())
    return host, client.got


@given(
    order=st.permutations(range(1, COUNT + 1)),
    down=st.sets(st.integers(1, COUNT), max_size=COUNT - 1),
    seed=st.integers(0, 1 << 30),
    algorithm=st.sampled_from(["source", "uri", "hdr"]),
)
@settings(max_examples=40, deadline=None)
def test_consistent_hashing_asks_only_for_the_ids(order, down, seed, algorithm):
    worlds = []
    for numbers in (list(range(1, COUNT + 1)), order):
        world = World(
            servers=pool(numbers),
            balance=model.Balance(algorithm, name="x-user"),
            hash_type=model.HashType(consistent=True),
        )
        for number in down:
            world.set_up(f"n{number}", up=False)
        worlds.append(world)
    rng = random.Random(seed)
    for _ in range(20):
        source = f"198.51.100.{rng.randrange(256)}"
        asked = (f"/{rng.random()}", f"X-User: {rng.random()}")
        one, other = (place(world, asked[1], source=source, path=asked[0])[0] for world in worlds)
        assert one == other


@given(order=st.permutations(range(1, COUNT + 1)), cookie=st.sampled_from(["plain", "dated", "prefix"]))
@settings(max_examples=30, deadline=None)
def test_a_cookie_of_one_node_counts_at_the_other(order, cookie):
    kinds = {
        "plain": Cookie("SID", CookieMode.INSERT, indirect=True),
        "dated": Cookie("SID", CookieMode.INSERT, maxidle=100.0, maxlife=1000.0),
        "prefix": Cookie("SID", CookieMode.PREFIX),
    }
    one, other = (
        World(servers=pool(numbers), cookie=kinds[cookie]) for numbers in (range(1, COUNT + 1), order)
    )
    for _ in range(COUNT):
        client = one.client(get())
        host = client.server.server.host
        client.server.says(answer(b"", "Set-Cookie: SID=own") if cookie == "prefix" else answer())
        (told,) = [line for line in client.got.split(b"\r\n") if line.lower().startswith(b"set-cookie")]
        given_back = told.partition(b": ")[2].partition(b";")[0].decode()
        assert place(other, f"Cookie: {given_back}")[0] == host
