"""Real routers on two fake segments, moving together."""

from __future__ import annotations

from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Interface

import attrs
import pytest
import trio

from hapair.app.sync_groups import SyncGroups
from hapair.config.model import SyncGroup, VrrpInstance
from hapair.kernel.fake import (
    FakeAddresses,
    FakeAnnouncer,
    FakeClaims,
    FakeGuard,
    FakeLink,
    FakeRoutes,
    FakeWire,
)
from hapair.vrrp.service import VirtualRouter
from hapair.vrrp.status import RouterState
from hapair.vrrp.tracking import WELL, Verdict

MASTER, BACKUP, FAULT = RouterState.MASTER, RouterState.BACKUP, RouterState.FAULT
GROUP = SyncGroup("edge", ("out", "in"))
A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")


class SilentGate:
    def open(self) -> None:
        pass

    def close(self) -> None:
        pass


class Node:
    """Two instances, `out` and `in`, in one group."""

    def __init__(self, wires: dict[str, FakeWire], source: IPv4Address, priority: int) -> None:
        self.groups = SyncGroups()
        self.groups.adopt({"edge": GROUP})
        self.links = {name: FakeLink(name) for name in GROUP.instances}
        self.routers: dict[str, VirtualRouter] = {}
        for name, link in self.links.items():
            vip = IPv4Interface("192.0.2.100/24")
            self.routers[name] = VirtualRouter(
                VrrpInstance(name, name, 51, (vip,), priority=priority, advert_interval=0.1),
                source=source,
                link=link,
                addresses=FakeAddresses(link, IPv4Interface(f"{source}/24")),
                routes=FakeRoutes(),
                segment=wires[name].attach(link, source, multicast=True),
                announcer=FakeAnnouncer(),
                claims=FakeClaims(),
                gate=SilentGate(),
                guard=FakeGuard(),
            )
            self.groups.join(name, self.routers[name])

    @property
    def states(self) -> tuple[RouterState, RouterState]:
        return self.routers["out"].status().state, self.routers["in"].status().state

    def cause(self, name: str) -> str:
        return self.routers[name].status().cause


@asynccontextmanager
async def running(*nodes: Node):
    async with trio.open_nursery() as nursery:
        for node in nodes:
            for router in node.routers.values():
                await nursery.start(router.run)
        yield
        nursery.cancel_scope.cancel()


@pytest.fixture
def wires():
    return {name: FakeWire() for name in GROUP.instances}


@pytest.fixture
def high(wires):
    return Node(wires, B, 200)


@pytest.fixture
def low(wires):
    return Node(wires, A, 100)


async def test_the_start_settles_without_a_flap(high, low, autojump_clock):
    async with running(low, high):
        await trio.sleep(2)
        assert (high.states, low.states) == ((MASTER, MASTER), (BACKUP, BACKUP))
        for node, transitions in ((high, 2), (low, 1)):
            assert {router.status().transitions for router in node.routers.values()} == {transitions}
        assert high.cause("in") == "sync group edge: all are ready to be MASTER"


async def test_a_link_that_fails_moves_the_whole_group_and_its_return_brings_it_back(
    high, low, autojump_clock
):
    async with running(low, high):
        await trio.sleep(2)
        high.links["in"].set_up(False)
        await trio.sleep(1)
        assert (high.states, low.states) == ((FAULT, FAULT), (MASTER, MASTER))
        assert high.cause("out") == "sync group edge: in is in FAULT"
        high.links["in"].set_up(True)
        await trio.sleep(1)
        assert (high.states, low.states) == ((MASTER, MASTER), (BACKUP, BACKUP))
        assert low.cause("out").startswith(("192.0.2.2 advertises", "sync group edge: in is not MASTER"))


async def test_a_tracked_fault_of_one_is_the_fault_of_both(high, low, autojump_clock):
    async with running(low, high):
        await trio.sleep(2)
        high.routers["out"].set_tracking(Verdict(fault=True, why="script chk fails (FAULT)"))
        await trio.sleep(1)
        assert (high.states, low.states) == ((FAULT, FAULT), (MASTER, MASTER))
        high.routers["out"].set_tracking(WELL)
        await trio.sleep(1)
        assert (high.states, low.states) == ((MASTER, MASTER), (BACKUP, BACKUP))


async def test_one_segment_that_is_cut_moves_nobody(high, low, wires, autojump_clock):
    """The group stays where all of it can be; two nodes never share it between them."""
    async with running(low, high):
        await trio.sleep(2)
        wires["in"].loses = lambda *_: True
        await trio.sleep(5)
        assert (high.states, low.states) == ((MASTER, MASTER), (BACKUP, BACKUP))


async def test_a_goodbye_hands_both_over(high, low, autojump_clock):
    async with running(low):
        async with running(high):
            await trio.sleep(2)
        gone_at = trio.current_time()
        await trio.sleep(0.1)
        assert low.states == (MASTER, MASTER)
        since = {router.status().since for router in low.routers.values()}
        assert max(since) - gone_at == pytest.approx(0.1 * 156 / 256, abs=1e-6)


def test_a_reload_names_whose_group_is_another():
    groups = SyncGroups()
    assert groups.adopt({"edge": GROUP}) == {"out", "in"}
    assert groups.adopt({"edge": GROUP}) == set()
    assert groups.adopt({"edge": SyncGroup("edge", ("out", "in", "more"))}) == {"out", "in", "more"}
    assert groups.adopt({}) == {"out", "in", "more"}


def test_whom_a_group_notifies_moves_nobody():
    groups = SyncGroups()
    groups.adopt({"edge": GROUP})
    assert groups.adopt({"edge": attrs.evolve(GROUP, notify=("/any",), smtp_alert=True)}) == set()
