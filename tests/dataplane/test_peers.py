"""The connection between two nodes' tables, over loopback: found, lost, refused, made again."""

from __future__ import annotations

import socket

import pytest
import trio

from hapair.config.model import Peers, StickTable
from hapair.dataplane import peers as room
from hapair.dataplane.peers import PeerLink
from hapair.errors import StartError
from hapair.tables.directory import make_tables
from hapair.tables.sharing import Sharing

CONFIG = {"t": StickTable(type="integer", size=1000, store=("gpc0",))}
HERE, THERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(room, "RETRY_EVERY", 0.02)


def free() -> int:
    with socket.socket() as sock:
        sock.bind((THERE, 0))
        return sock.getsockname()[1]


class Node:
    def __init__(self, name, listen, peer):
        self.tables = make_tables(CONFIG, {})
        self.link = PeerLink(Peers(listen, peer), name, lambda: self.tables)
        self.link.open()

    @property
    def table(self):
        return self.tables["t"].table

    def put(self, key, number):
        now = int(trio.current_time() * 1000)
        self.table.set_value(self.table.touch(key, now), "gpc0", number)

    async def knows(self, key, number):
        with trio.fail_after(10):
            while True:
                row = self.table.find(key, 0)
                if row >= 0 and self.table.value(row, "gpc0", 0) == number:
                    return
                await trio.sleep(0.01)


def places():
    port = free()
    return (HERE, port), (THERE, port)


async def test_two_nodes_find_each_other_whoever_comes_first_and_share():
    here, there = places()
    one = Node("a", here, there)
    one.put(1, 11)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.link.run)
        other = Node("b", there, here)
        other.put(2, 22)
        nursery.start_soon(other.link.run)
        await other.knows(1, 11)
        await one.knows(2, 22)
        one.put(3, 33)
        other.put(4, 44)
        await other.knows(3, 33)
        await one.knows(4, 44)
        assert [node.link.up and node.link.synced for node in (one, other)] == [True, True]
        assert [node.link.taken for node in (one, other)] == [2, 2]
        nursery.cancel_scope.cancel()
    assert not one.link.up
    assert one.link.taken == 2, "what has come is not forgotten"
    assert one.link.place == f"{THERE}:{there[1]}"


async def test_a_peer_that_was_away_is_told_what_happened():
    here, there = places()
    one = Node("a", here, there)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.link.run)
        for times in range(3):
            other = Node("b", there, here)
            async with trio.open_nursery() as life:
                life.start_soon(other.link.run)
                one.put(1, times + 1)
                await other.knows(1, times + 1)
                life.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    assert not one.table.take_changes()


async def test_a_reload_with_other_tables_shares_those():
    here, there = places()
    one, other = Node("a", here, there), Node("b", there, here)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.link.run)
        nursery.start_soon(other.link.run)
        one.put(1, 11)
        await other.knows(1, 11)
        one.tables = make_tables(CONFIG, {})
        await one.knows(1, 11)
        one.put(2, 22)
        await other.knows(2, 22)
        nursery.cancel_scope.cancel()


async def test_a_peer_that_comes_again_takes_the_place_of_its_old_connection():
    """Its old one may be half open: the peer has lost its power, say, and is back."""
    here, there = places()
    node = Node("b", there, here)
    old = Node("a", here, there)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.link.run)
        stale = await trio.open_tcp_stream(*there, local_address=HERE)
        await stale.send_all(Sharing("a", old.tables).take(0))
        with trio.fail_after(10):
            while not node.link.up:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
        nursery.start_soon(old.link.run)
        with trio.fail_after(10):
            while await stale.receive_some():
                pass
        for number in range(3):
            node.put(number, number + 1)
            await old.knows(number, number + 1)
        await stale.aclose()
        nursery.cancel_scope.cancel()


async def test_nobody_but_the_peer_is_listened_to(caplog):
    here, there = places()
    node = Node("b", there, here)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.link.run)
        stranger = await trio.open_tcp_stream(*there, local_address="127.0.0.3")
        with trio.fail_after(10):
            assert await stranger.receive_some() == b""
        await stranger.aclose()
        nursery.cancel_scope.cancel()
    assert "127.0.0.3 is not our peer" in caplog.text


async def test_who_speaks_something_else_is_sent_away(caplog):
    here, there = places()
    node = Node("b", there, here)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.link.run)
        peer = await trio.open_tcp_stream(*there, local_address=HERE)
        await peer.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.fail_after(10):
            while await peer.receive_some():
                pass
        await peer.aclose()
        nursery.cancel_scope.cancel()
    assert "not understood" in caplog.text


async def test_a_busy_port_is_an_error_at_the_start():
    here, _ = places()
    with socket.socket() as taken:
        port = free()
        taken.bind((THERE, port))
        taken.listen()
        with pytest.raises(StartError, match=r"peers\.listen 127\.0\.0\.2"):
            Node("b", (THERE, port), here)
