"""The virtual router's task on the fake kernel: time is exact, and it can be cancelled anywhere."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from itertools import pairwise

import attrs
import pytest
import trio
import trio.testing

from hapair.config.model import ChecksumForm, Vip, VirtualRoute, VirtualRule, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.fake import (
    FakeAddresses,
    FakeAnnouncer,
    FakeClaims,
    FakeGuard,
    FakeLink,
    FakeRoutes,
    FakeSegment,
    FakeWire,
)
from hapair.kernel.ports import Placed
from hapair.vrrp import wire
from hapair.vrrp.routes import delete_route, delete_rule
from hapair.vrrp.service import LOOK_INTERVAL, VirtualRouter
from hapair.vrrp.status import RouterState
from hapair.vrrp.tracking import WELL, Verdict

A, B, C = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3))
VIP, SECOND = IPv4Interface("192.0.2.100/24"), IPv4Interface("192.0.2.101/24")
WEB = VrrpInstance("web", "eth0", 51, (VIP,), priority=100)
SKEW = 156 / 256
MASTER_DOWN = 3 + SKEW


class RecordedGate:
    def __init__(self, addresses: FakeAddresses) -> None:
        self._addresses = addresses
        self.is_open = False
        self.history: list[tuple[str, bool]] = []
        """What was called, and whether the VIP was there."""

    def open(self) -> None:
        self.is_open = True
        self.history.append(("open", VIP in self._addresses.now()))

    def close(self) -> None:
        if self.is_open:
            self.history.append(("close", VIP in self._addresses.now()))
        self.is_open = False


class Node:
    def __init__(self, segment: FakeWire, source: IPv4Address, instance: VrrpInstance = WEB) -> None:
        self.link = FakeLink(instance.interface)
        self.addresses = FakeAddresses(self.link, IPv4Interface(f"{source}/24"))
        self.segment: FakeSegment = segment.attach(self.link, source, multicast=instance.multicasts)
        self.routes = FakeRoutes()
        self.announcer = FakeAnnouncer()
        self.claims = FakeClaims()
        self.gate = RecordedGate(self.addresses)
        self.guard = FakeGuard()
        self.router = VirtualRouter(
            instance,
            source=source,
            link=self.link,
            addresses=self.addresses,
            routes=self.routes,
            segment=self.segment,
            announcer=self.announcer,
            claims=self.claims,
            gate=self.gate,
            guard=self.guard,
        )

    @property
    def state(self) -> RouterState:
        return self.router.status().state

    def holds(self, vip: IPv4Interface = VIP) -> bool:
        return vip in self.addresses.now()

    def adverts(self) -> list[tuple[float, int]]:
        """Time and priority of all that was sent."""
        return [(at, payload[2]) for at, _, payload in self.segment.sent]


@pytest.fixture
def segment() -> FakeWire:
    return FakeWire()


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await nursery.start(node.router.run)
        yield nursery
        nursery.cancel_scope.cancel()


async def settle() -> None:
    """Let everything that is due now happen, without letting time pass."""
    await trio.testing.wait_all_tasks_blocked()


async def become_master(node: Node) -> None:
    """Sleeping is how time passes under an autojump clock."""
    while node.state is not RouterState.MASTER:  # noqa: ASYNC110
        await trio.sleep(0.1)


async def test_silent_segment_makes_us_master_after_the_master_down_interval(segment, autojump_clock):
    """3 intervals of silence plus our skew of 156/256 s, and not a moment sooner."""
    node = Node(segment, A)
    async with running(node):
        start = trio.current_time()
        await trio.sleep(MASTER_DOWN - 0.001)
        assert node.state is RouterState.BACKUP
        assert not node.holds()
        await trio.sleep(0.002)
        assert node.state is RouterState.MASTER
        assert node.router.status().since == pytest.approx(start + MASTER_DOWN, abs=1e-9)
        assert node.holds()
        assert node.gate.is_open


async def test_master_advertises_every_interval_and_announces(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        start = trio.current_time()
        await trio.sleep(MASTER_DOWN + 2.5)
        assert [round(at - start, 6) for at, _ in node.adverts()] == [
            round(MASTER_DOWN + n, 6) for n in range(3)
        ]
        assert [(round(at - start, 6), count) for at, _, count in node.announcer.announced] == [
            (round(MASTER_DOWN, 6), 5)
        ]
        await trio.sleep(3)
        assert len(node.announcer.announced) == 2


async def test_of_two_the_better_one_is_master_and_the_other_takes_over_after_its_goodbye(
    segment, autojump_clock
):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low):
        async with running(high):
            await trio.sleep(10)
            assert (low.state, high.state) == (RouterState.BACKUP, RouterState.MASTER)
            assert (low.holds(), high.holds()) == (False, True)
            stopped_at = trio.current_time()
        assert high.adverts()[-1] == (stopped_at, 0)
        assert not high.holds()
        await become_master(low)
        assert low.router.status().since == pytest.approx(stopped_at + SKEW, abs=1e-9)
        assert low.router.status().cause == f"{B} resigned"


async def test_a_master_that_leaves_serves_until_it_is_relieved(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low, high):
        await trio.sleep(10)
        asked_at = trio.current_time()
        holders: list[tuple[float, bool, bool]] = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def watch() -> None:
                while True:
                    holders.append((trio.current_time() - asked_at, low.gate.is_open, high.gate.is_open))
                    await trio.sleep(0.001)

            await high.router.leave()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - asked_at == pytest.approx(SKEW, abs=0.002)
        assert all(low_open or high_open for _, low_open, high_open in holders), "served all the time"
        assert sum(low_open and high_open for _, low_open, high_open in holders) <= 2
        await settle()
        assert (low.state, high.state) == (RouterState.MASTER, RouterState.INITIALIZE)
        assert (low.holds(), high.holds()) == (True, False)
        assert high.router.status().cause == f"stopped, {A} is MASTER"
        assert low.router.status().cause == f"{B} resigned"
        await trio.sleep(10)
        assert high.state is RouterState.INITIALIZE, "it does not come back by itself"


async def test_a_master_that_leaves_alone_does_not_wait_for_ever(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        asked_at = trio.current_time()
        await node.router.leave()
        assert trio.current_time() - asked_at == pytest.approx(1.05)
        assert not node.holds()
        assert node.guard.plans == {}
        assert [priority for at, priority in node.adverts() if at >= asked_at] == [0, 0]
        assert node.router.status().cause == "stopped, and nobody is MASTER instead"


async def test_a_silent_master_is_replaced_after_the_master_down_interval(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low, high):
        await trio.sleep(10)
        segment.loses = lambda *_: True
        last_heard = high.adverts()[-1][0]
        await become_master(low)
        assert low.router.status().since == pytest.approx(last_heard + MASTER_DOWN, abs=1e-9)


async def test_a_healed_partition_leaves_one_master_who_announces_again(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    segment.loses = lambda *_: True
    async with running(low, high):
        await trio.sleep(20)
        assert low.holds()
        assert high.holds()
        bursts = len(high.announcer.announced)
        healed_at = trio.current_time()
        segment.loses = lambda *_: False
        await trio.sleep(1.01)
        assert (low.state, high.state) == (RouterState.BACKUP, RouterState.MASTER)
        assert not low.holds()
        await trio.sleep(1.01)
        after = [at for at, _, _ in high.announcer.announced[bursts:]]
        assert after, "the clients would go on sending to the loser"
        assert after[0] <= healed_at + 1.01


async def test_the_gate_opens_after_the_vip_came_and_closes_before_it_goes(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
    assert node.gate.history == [("open", True), ("close", True)]
    assert not node.holds()


async def test_the_guard_protects_exactly_what_a_master_holds(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        assert node.guard.plans == {}
        await become_master(node)
        assert len(node.guard.plans["web"].requests) == 1
    assert node.guard.plans == {}


async def test_lifetimes_are_renewed_while_master(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        for _ in range(100):
            await trio.sleep(0.3)
            assert node.holds()


async def test_what_an_earlier_life_left_behind_is_swept_before_the_election(segment, autojump_clock):
    node = Node(segment, A)
    await node.addresses.add(Vip(VIP), None)
    async with running(node):
        assert not node.holds()
        assert node.holds(IPv4Interface(f"{A}/24")), "only our VIPs are ours to remove"


async def test_link_down_gives_the_vip_up_without_a_word_and_link_up_starts_over(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        node.link.set_up(False)
        await settle()
        assert node.state is RouterState.FAULT
        assert not node.holds()
        assert not node.gate.is_open
        assert 0 not in [priority for _, priority in node.adverts()]
        await trio.sleep(100)
        assert node.state is RouterState.FAULT
        node.link.set_up(True)
        up_at = trio.current_time()
        await become_master(node)
        assert node.router.status().since == pytest.approx(up_at + MASTER_DOWN, abs=1e-9)


async def test_a_vanished_interface_is_a_fault_not_an_error(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await trio.sleep(1)
        node.link.exists = False
        await trio.sleep(5)
        assert node.state is RouterState.FAULT
        assert not node.gate.is_open
        node.link.exists = True
        node.link.set_up(True)
        await trio.sleep(5)
        assert node.state is RouterState.MASTER


@pytest.mark.parametrize("when", ["takeover", "renewal"])
async def test_where_ipv6_is_switched_off_a_router_is_in_fault_until_an_address_comes_back(
    when, segment, autojump_clock, caplog
):
    """Not the node, which may have others: disable_ipv6 concerns one interface."""
    node = Node(segment, A, attrs.evolve(WEB, addresses=(VIP, SECOND)))
    async with running(node):
        if when == "renewal":
            await become_master(node)
        node.addresses.refuse[SECOND] = errno.EACCES
        with caplog.at_level(logging.INFO):
            await trio.sleep(20)
        assert node.state is RouterState.FAULT
        assert caplog.text.count("FAULT STATE: could not add 192.0.2.101/24 to eth0: Permission denied") == 1
        assert not node.gate.is_open
        assert not node.holds()
        assert node.adverts()[-1][1] == 0, "who could take over need not wait"
        del node.addresses.refuse[SECOND]
        await node.addresses.add(Vip(IPv6Interface("fe80::1/64")), None)  # the kernel's own
        await become_master(node)
        assert node.holds(SECOND)


async def test_who_cannot_advertise_is_in_fault_until_a_reload_gives_the_advert_room(segment, autojump_clock):
    node = Node(segment, A, attrs.evolve(WEB, addresses=(VIP, SECOND)))
    node.segment.refuses = errno.EMSGSIZE
    async with running(node):
        await trio.sleep(20)
        assert node.state is RouterState.FAULT
        assert "Message too long" in node.router.status().cause
        assert not node.holds()
        node.segment.refuses = 0
        await node.router.reconfigure(
            attrs.evolve(WEB, addresses=(VIP,), excluded_addresses=(SECOND,)),
        )
        await become_master(node)
        assert node.holds()


async def test_a_leaving_master_whose_link_flaps_does_not_come_back(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node) as nursery:
        await become_master(node)
        nursery.start_soon(node.router.leave)
        await settle()
        node.link.set_up(False)
        await settle()
        node.link.set_up(True)
        await trio.sleep(20)
        assert node.state is RouterState.INITIALIZE
        assert not node.holds()


async def test_an_address_the_kernel_refuses_ends_the_tree_and_leaves_nothing(segment, autojump_clock):
    node = Node(segment, A, attrs.evolve(WEB, addresses=(VIP, SECOND)))
    node.addresses.refuse[SECOND] = errno.EPERM
    with pytest.raises(ExceptionGroup) as caught:
        async with running(node):
            await trio.sleep(10)
    assert caught.group_contains(KernelError, match="add 192.0.2.101/24 to eth0")
    assert not node.holds()
    assert not node.gate.is_open
    assert node.guard.plans == {}


async def test_a_vip_removed_by_hand_is_put_back_and_announced(segment, autojump_clock, caplog):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        announced = len(node.announcer.announced)
        with caplog.at_level(logging.WARNING):
            await node.addresses.remove(Vip(VIP))
            await settle()
        assert node.holds()
        assert node.state is RouterState.MASTER
        assert len(node.announcer.announced) == announced + 1
        assert "192.0.2.100/24 was removed by somebody else" in caplog.text


@pytest.mark.parametrize(
    ("index", "address"),
    [(1, VIP), (1, IPv4Interface("192.0.2.100/32")), (2, IPv4Interface("192.0.2.100/32"))],
    ids=["on another interface", "there with another prefix", "with another prefix"],
)
async def test_a_vip_put_in_another_place_is_removed_at_once(index, address, segment, autojump_clock, caplog):
    node = Node(segment, A)
    stray = Placed(index, {1: "lo", 2: "eth0"}[index], address)
    async with running(node):
        await become_master(node)
        with caplog.at_level(logging.WARNING):
            node.addresses.meddle(stray)
            await settle()
        assert await node.addresses.everywhere(frozenset({VIP.ip})) == [Placed(2, "eth0", VIP)]
        assert node.state is RouterState.MASTER
        assert node.router.status().misplaced_addresses == 1
        assert f"somebody put {address} on {stray.ifname}, removing it" in caplog.text


async def test_a_vip_put_on_a_backup_is_removed_at_once(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low, high):
        await become_master(high)
        low.addresses.meddle(Placed(2, "eth0", VIP))
        await settle()
        assert not low.holds()
        assert high.holds()


async def test_who_puts_a_vip_there_again_and_again_is_answered_five_times_a_second(
    segment, autojump_clock, caplog
):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        with caplog.at_level(logging.WARNING):
            for _ in range(200):
                node.addresses.meddle(Placed(1, "lo", VIP))
                await trio.sleep(0.01)
        assert 10 <= node.router.status().misplaced_addresses <= 11
        assert caplog.text.count("somebody put") == 4
        assert [round(later - earlier, 6) for (earlier, _), (later, _) in pairwise(node.adverts())] == [1, 1]


async def test_a_vip_that_is_somewhere_else_at_the_start_is_removed(segment, autojump_clock):
    node = Node(segment, A)
    node.addresses.meddle(Placed(1, "lo", VIP))
    async with running(node):
        assert await node.addresses.everywhere(frozenset({VIP.ip})) == []


async def test_another_links_link_local_address_is_not_our_vip(segment, autojump_clock):
    vip = IPv6Interface("fe80::100/64")
    node = Node(segment, A, attrs.evolve(WEB, excluded_addresses=(vip,)))
    async with running(node):
        await become_master(node)
        node.addresses.meddle(Placed(1, "eth1", vip))
        await settle()
        assert Placed(1, "eth1", vip) in await node.addresses.everywhere(frozenset({vip.ip}))
        assert node.router.status().misplaced_addresses == 0


async def test_a_network_that_the_interface_gets_later_has_neighbours_too(segment, autojump_clock):
    """When a link comes up its addresses may come one by one: adverts are not off-link for ever."""
    node = Node(segment, A)
    far = IPv4Address("198.51.100.9")
    advert = wire.encode(
        vrid=51,
        priority=200,
        interval=1.0,
        addresses=(VIP.ip,),
        source=far,
        destination=wire.GROUP,
        form=ChecksumForm.PSEUDO,
    )
    async with running(node):
        for count in (0, 1):
            node.segment.deliver(trio.current_time(), wire.Packet(far, wire.GROUP, 255, advert))
            await settle()
            assert node.router.status().adverts_received == count
            await node.addresses.add(Vip(IPv4Interface("198.51.100.1/24")), None)
            await trio.sleep(2 * LOOK_INTERVAL)
        assert dict(node.router.status().drops) == {"off_link": 1}


async def test_the_renewals_of_an_interfaces_other_routers_cost_no_look(segment, autojump_clock):
    """Each is told of as an address that came up; a look lists all addresses, and they may be many."""
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        for other in (SECOND, IPv4Interface("198.51.100.1/32")):
            await node.addresses.add(Vip(other), 2)
        await trio.sleep(2 * LOOK_INTERVAL)
        looks = node.addresses.listings
        for _ in range(20):
            for other in (SECOND, IPv4Interface("198.51.100.1/32")):
                await node.addresses.add(Vip(other), 2)
            await trio.sleep(0.5)
        assert node.addresses.listings == looks
        node.addresses.meddle(Placed(1, "lo", VIP))
        await settle()
        assert node.addresses.listings > looks, "our own in a wrong place is looked for"


async def test_somebody_elses_address_is_none_of_our_business(segment, autojump_clock):
    node = Node(segment, A)
    await node.addresses.add(Vip(SECOND), None)
    async with running(node):
        await become_master(node)
        await node.addresses.remove(Vip(SECOND))
        await settle()
        assert not node.holds(SECOND)


async def test_failing_tracking_hands_the_vip_to_a_healthy_peer_even_without_preempt(segment, autojump_clock):
    low = Node(segment, A, attrs.evolve(WEB, preempt=False))
    high = Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low, high):
        await trio.sleep(10)
        at = trio.current_time()
        high.router.set_tracking(Verdict(ailing=True, why="backend web has 0 usable servers, needs 1"))
        await settle()
        assert not high.holds()
        assert high.adverts()[-1] == (at, 0)
        await trio.sleep(SKEW + 0.001)
        assert low.state is RouterState.MASTER
        await trio.sleep(20)
        assert (low.state, high.state) == (RouterState.MASTER, RouterState.BACKUP)
        assert high.router.status().effective_priority == 1
        assert high.router.status().why == "backend web has 0 usable servers, needs 1"
        high.router.set_tracking(WELL)
        await trio.sleep(5)
        assert (low.state, high.state) == (RouterState.BACKUP, RouterState.MASTER)


async def test_with_no_healthy_peer_an_ailing_master_serves_again(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        node.router.set_tracking(Verdict(ailing=True, why="no server"))
        node.router.set_tracking(Verdict(ailing=True, why="still none"))
        await settle()
        assert node.state is RouterState.BACKUP
        await trio.sleep(1)
        assert node.state is RouterState.MASTER
        assert node.adverts()[-1][1] == 1


async def test_a_process_that_overslept_stands_for_election_again(segment, mock_clock):
    node = Node(segment, A)
    mock_clock.autojump_threshold = 0
    async with running(node):
        await become_master(node)
        sent = len(node.adverts())
        mock_clock.autojump_threshold = float("inf")
        mock_clock.jump(MASTER_DOWN + 1)
        await settle()
        assert node.state is RouterState.BACKUP
        assert node.router.status().cause == "this process was frozen"
        assert not node.holds()
        assert len(node.adverts()) == sent, "not one word as MASTER after waking up"
        mock_clock.autojump_threshold = 0
        await trio.sleep(MASTER_DOWN + 0.01)
        assert node.state is RouterState.MASTER


async def test_a_guard_that_struck_ends_mastership_before_anything_else_is_done(segment, mock_clock):
    node = Node(segment, A)
    mock_clock.autojump_threshold = 0
    async with running(node):
        await become_master(node)
        sent = len(node.adverts())
        await node.addresses.remove(Vip(VIP))
        node.guard.strike()
        await settle()
        assert node.state is RouterState.BACKUP
        assert "the guard struck" in node.router.status().cause
        assert not node.holds(), "what the guard removed is not put back"
        assert len(node.adverts()) == sent


async def test_a_guard_that_strikes_in_the_middle_of_a_promotion_stops_it(segment, autojump_clock):
    node = Node(segment, A)

    async def strike_while_adding(vip: IPv4Interface, lifetime: int | None) -> None:
        await original(vip, lifetime)
        node.guard.strike()
        node.addresses.add = original

    original = node.addresses.add
    node.addresses.add = strike_while_adding
    async with running(node):
        await trio.sleep(MASTER_DOWN + 0.01)
        assert node.state is RouterState.BACKUP
        assert node.gate.history == []
        assert node.adverts() == []
        assert not node.holds()


async def test_a_sleeper_hears_what_was_queued_before_it_believes_in_silence(segment, mock_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    mock_clock.autojump_threshold = 0
    async with running(low, high):
        await trio.sleep(10)
        mock_clock.autojump_threshold = float("inf")
        await settle()
        payload = high.segment.sent[-1][2]
        mock_clock.jump(30)
        low.segment.deliver(trio.current_time(), wire.Packet(B, wire.GROUP, 255, payload))
        await settle()
        assert low.state is RouterState.BACKUP


async def test_a_flood_without_end_silences_neither_backup_nor_master_nor_a_stop(segment, mock_clock):
    node = Node(segment, A)
    rubbish = wire.Packet(B, wire.GROUP, 254, bytes((0x31, 51)) + bytes(10))
    node.segment.receive_nowait = lambda: rubbish
    mock_clock.rate = 20  # an autojump clock would wait for silence
    turns_as_backup = 0
    with trio.fail_after(10 * MASTER_DOWN):
        async with running(node):
            while len(node.adverts()) < 3:
                turns_as_backup += node.state is RouterState.BACKUP
                await trio.sleep(0.1)
    assert turns_as_backup > 3, "the other tasks have their turns"
    assert node.adverts()[-1][1] == 0
    assert not node.holds()
    assert node.router.status().drops["ttl"] > 100


async def test_a_master_can_be_reconfigured_without_leaving(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await become_master(node)
        since = node.router.status().since
        changed = attrs.evolve(WEB, priority=120, advert_interval=0.5, addresses=(SECOND,))
        await node.router.reconfigure(changed)
        assert node.state is RouterState.MASTER
        assert node.router.status().since == since
        assert (node.holds(VIP), node.holds(SECOND)) == (False, True)
        assert node.adverts()[-1] == (trio.current_time(), 120)
        assert node.announcer.announced[-1][1] == (SECOND.ip,)
        assert len(node.guard.plans["web"].requests) == 1
        assert node.gate.history == [("open", True)]
    assert not node.holds(SECOND)


async def test_a_backup_can_be_reconfigured_without_touching_the_kernel(segment, autojump_clock):
    node = Node(segment, A)
    async with running(node):
        await node.router.reconfigure(attrs.evolve(WEB, addresses=(SECOND,)))
        assert not node.holds(SECOND)
        await become_master(node)
        assert (node.holds(VIP), node.holds(SECOND)) == (False, True)


async def test_a_router_that_does_not_run_yet_can_be_reconfigured(segment, autojump_clock):
    node = Node(segment, A)
    await node.router.reconfigure(attrs.evolve(WEB, priority=7))
    assert node.router.status().priority == 7


async def test_auto_checksum_speaks_as_the_peer_was_heard_to_speak(segment, autojump_clock):
    plain = attrs.evolve(WEB, priority=50, checksum=ChecksumForm.RFC9568)
    node, peer = Node(segment, A), Node(segment, B, plain)
    async with running(peer):
        await become_master(peer)
        async with running(node):
            await become_master(node)
            await trio.sleep(1)
            packet = wire.Packet(A, wire.GROUP, 255, node.segment.sent[-1][2])
            heard = wire.decode(packet, wire.Expected(51, B))
            assert isinstance(heard, wire.Advert)
            assert heard.form is ChecksumForm.RFC9568


async def test_drops_are_counted_and_logged_once(segment, autojump_clock, caplog):
    node = Node(segment, A)
    forged = wire.Packet(A, wire.GROUP, 255, bytes.fromhex("3133c801000a11070a630064"))
    async with running(node):
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                node.segment.deliver(trio.current_time(), forged)
            await settle()
        assert dict(node.router.status().drops) == {"own_source": 3}
        assert caplog.text.count("own source") == 1


async def test_what_a_peer_has_otherwise_than_we_is_logged_once(segment, autojump_clock, caplog):
    """Other addresses, an owner that nobody has configured, another interval."""
    node = Node(segment, A)
    odd = wire.encode(
        vrid=51,
        priority=255,
        interval=3.0,
        addresses=(IPv4Address("192.0.2.101"),),
        source=B,
        destination=wire.GROUP,
        form=ChecksumForm.PSEUDO,
    )
    async with running(node):
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                node.segment.deliver(trio.current_time(), wire.Packet(B, wire.GROUP, 255, odd))
            await settle()
    for words in (
        "192.0.2.2 advertises other addresses than ours: 192.0.2.101",
        "192.0.2.2 claims to own the addresses (priority 255)",
        "192.0.2.2 advertises each 3 s, we each 1 s",
    ):
        assert caplog.text.count(words) == 1


async def test_excluded_addresses_are_held_announced_and_guarded_but_not_advertised(segment, autojump_clock):
    other = IPv6Interface("2001:db8::100/64")
    node = Node(segment, A, attrs.evolve(WEB, excluded_addresses=(other,)))
    async with running(node):
        await become_master(node)
        assert node.holds(VIP)
        assert node.holds(other)
        assert node.announcer.announced[0][1] == (VIP.ip, other.ip)
        (plan,) = node.guard.plans.values()
        assert any(other.ip.packed in request for request in plan.requests)
        _, _, payload = node.segment.sent[-1]
        assert payload[3] == len(WEB.addresses)
        await node.addresses.remove(Vip(other))
        node.link.address_lost(other)
        await settle()
        assert node.holds(other), "put back"
        await node.router.reconfigure(WEB)
        assert node.holds(VIP)
        assert not node.holds(other)
    assert not node.holds(VIP)


ROUTE = VirtualRoute(IPv4Network("198.51.100.0/24"), IPv4Address("192.0.2.1"))
RULE = VirtualRule(table=100, priority=1000, source=IPv4Network("192.0.2.100/32"))


async def test_routes_and_rules_are_here_while_the_router_is_master_and_guarded(segment, autojump_clock):
    node = Node(segment, A, attrs.evolve(WEB, virtual_routes=(ROUTE,), virtual_rules=(RULE,)))
    node.routes.present = {ROUTE}
    async with running(node):
        assert node.routes.present == set(), "what an earlier life has left is swept"
        await become_master(node)
        assert node.routes.present == {ROUTE, RULE}
        (plan,) = node.guard.plans.values()
        assert plan.requests[:2] == (delete_rule(RULE), delete_route(ROUTE, 7)), "before the VIPs"
        node.routes.present.clear()
        await trio.sleep(0.6)
        assert node.routes.present == {ROUTE, RULE}, "put back with the next renewal"
        other = attrs.evolve(ROUTE, metric=7)
        await node.router.reconfigure(attrs.evolve(WEB, virtual_routes=(other,)))
        assert node.routes.present == {other}
        node.link.set_up(False)
        await settle()
        assert node.routes.present == set()


async def test_unicast_peers_elect_one_master(segment, autojump_clock):
    low = Node(segment, A, attrs.evolve(WEB, unicast_peers=(B,)))
    high = Node(segment, B, attrs.evolve(WEB, priority=200, unicast_peers=(A,)))
    async with running(low, high):
        await trio.sleep(10)
        assert (low.state, high.state) == (RouterState.BACKUP, RouterState.MASTER)
        assert {destination for _, destination, _ in high.segment.sent} == {A}


async def test_beside_the_group_a_unicast_peer_takes_part(segment, autojump_clock):
    """A mixed master between one that hears the group only and one that hears its peer only."""
    mixed = Node(segment, A, attrs.evolve(WEB, priority=200, unicast_peers=(C,), multicast=True))
    beside = Node(segment, B)
    distant = Node(segment, C, attrs.evolve(WEB, unicast_peers=(A,)))
    async with running(mixed, beside, distant):
        await trio.sleep(10)
        states = [node.state for node in (mixed, beside, distant)]
        assert states == [RouterState.MASTER, RouterState.BACKUP, RouterState.BACKUP]
        assert [destination for _, destination, _ in mixed.segment.sent[-2:]] == [wire.GROUP, C]
        assert {packet[16:20] for packet in mixed.guard.plans["web"].packets} == {wire.GROUP.packed, C.packed}


async def test_transitions_are_logged_in_keepaliveds_words_with_their_cause(segment, autojump_clock, caplog):
    node = Node(segment, A)
    with caplog.at_level(logging.INFO):
        async with running(node):
            await become_master(node)
    lines = [record.getMessage() for record in caplog.records if record.name == "hapair.vrrp"]
    assert lines == [
        "(web) Entering BACKUP STATE: started",
        "(web) Entering MASTER STATE: no other router was heard",
        "(web) sent 0 priority",  # first what others wait for, then the word about it
        "(web) Entering INITIALIZE STATE: stopped",
    ]


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the n-th step of the tasks that run in it."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self._left = step
        self._scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


@pytest.mark.parametrize("n", range(1, 61))
async def test_cancelled_at_any_step_nothing_is_left(segment, autojump_clock, n):
    """Steps 1 to 60 cover the sweep, BACKUP, the promotion and the first adverts as MASTER."""
    both = attrs.evolve(WEB, addresses=(VIP, SECOND), advert_interval=0.1)
    node = Node(segment, A, both)
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(n, scope)
        trio.lowlevel.add_instrument(instrument)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(node.router.run)
                await trio.sleep(0.7)
                node.router.set_tracking(Verdict(ailing=True, why="cover the way down as well"))
                await trio.sleep(0.3)
                await node.router.reconfigure(attrs.evolve(both, addresses=(VIP,)))
                await trio.sleep(60)
        finally:
            trio.lowlevel.remove_instrument(instrument)
    assert scope.cancelled_caught
    assert node.addresses.now() == {IPv4Interface(f"{A}/24")}
    assert not node.gate.is_open
    assert node.guard.plans == {}
    assert node.link.followers == 0
    assert node.state is RouterState.INITIALIZE


async def test_a_master_beside_us_is_counted_once_and_for_as_long_as_it_is_heard(
    segment, autojump_clock, caplog
):
    """A lower-priority router that never hears us: its adverts come for 5 seconds."""
    node = Node(segment, A)
    stranger = segment.attach(FakeLink("eth0"), B, multicast=True)
    async with running(node):
        await become_master(node)
        await trio.sleep(10)
        caplog.clear()
        payload = wire.encode(
            vrid=51,
            priority=50,
            interval=1.0,
            addresses=(VIP.ip,),
            source=B,
            destination=wire.GROUP,
            form=ChecksumForm.PSEUDO,
        )
        for _ in range(6):
            await stranger.send({wire.GROUP: payload})
            await trio.sleep(1)
        assert node.router.status().duplicate_masters == 1
        assert node.router.status().duplicate_master_seconds == pytest.approx(5)
        await trio.sleep(10)
        assert node.router.status().duplicate_master_seconds == pytest.approx(5)
        words = [record.getMessage() for record in caplog.records]
        assert [word for word in words if "beside us" in word] == [
            "(web) 192.0.2.2 is MASTER beside us, with priority 50",
            "(web) 192.0.2.2 was MASTER beside us for 5.00 s",
        ]


async def test_a_hand_back_is_no_duplicate_master(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low):
        await become_master(low)
        async with running(high):
            await become_master(high)
            await trio.sleep(10)
            assert low.state is RouterState.BACKUP
            assert high.router.status().duplicate_masters == low.router.status().duplicate_masters == 0


STRANGER = "02:00:00:00:00:99"


async def test_who_claims_a_vip_while_we_are_master_is_contradicted_and_told(segment, autojump_clock, caplog):
    instance = attrs.evolve(WEB, addresses=(VIP, SECOND), garp_refresh=0.0, garp_delay=0.0)
    node = Node(segment, A, instance)
    async with running(node):
        node.claims.claim(VIP.ip, STRANGER)
        await become_master(node)
        await trio.sleep(10)
        before, start = len(node.announcer.announced), trio.current_time()
        for _ in range(30):
            node.claims.claim(VIP.ip, STRANGER)
            await trio.sleep(0.15)
        assert [
            (round(at - start, 6), ips, count) for at, ips, count in node.announcer.announced[before:]
        ] == [
            (0.2, (VIP.ip,), 5),
            (1.2, (VIP.ip,), 5),
            (2.2, (VIP.ip,), 5),
            (3.2, (VIP.ip,), 5),
            (4.2, (VIP.ip,), 5),
        ]
        status = node.router.status()
        assert (status.state, status.address_conflicts, status.conflicting_mac) == (
            RouterState.MASTER,
            29,
            STRANGER,
        )
        told = [record.getMessage() for record in caplog.records if "claims" in record.getMessage()]
        assert told[0] == f"(web) {STRANGER} claims {VIP.ip} (2 times), announcing it again"
        assert len(told) == 5
    assert node.claims.watched == frozenset()


async def test_who_takes_over_may_announce_before_its_advert_is_heard(segment, autojump_clock):
    low, high = Node(segment, A), Node(segment, B, attrs.evolve(WEB, priority=200))
    async with running(low):
        await become_master(low)
        await trio.sleep(10)
        segment.delay = 0.15
        async with running(high):
            await become_master(high)
            assert low.state is RouterState.MASTER
            before = len(low.announcer.announced)
            low.claims.claim(VIP.ip, STRANGER)
            await trio.sleep(5)
            assert low.state is RouterState.BACKUP
            assert low.router.status().address_conflicts == 0
            assert len(low.announcer.announced) == before
            assert (low.claims.watched, high.claims.watched) == (frozenset(), {VIP.ip})


async def test_a_startup_delay_passes_in_initialize(segment, autojump_clock):
    node = Node(segment, A, attrs.evolve(WEB, startup_delay=5.0))
    async with running(node):
        await trio.sleep(4.9)
        assert node.state is RouterState.INITIALIZE
        await trio.sleep(0.2)
        assert (node.state, node.router.status().cause) == (RouterState.BACKUP, "started 5 s ago")
        await trio.sleep(MASTER_DOWN)
        assert node.state is RouterState.MASTER


async def test_garp_interval_keeps_announcements_apart_and_adverts_on_time(segment, autojump_clock):
    instance = attrs.evolve(
        WEB, addresses=(VIP, SECOND), garp_count=2, garp_interval=0.75, garp_delay=0.0, garp_refresh=0.0
    )
    node = Node(segment, A, instance)
    async with running(node):
        start = trio.current_time() + MASTER_DOWN
        await trio.sleep(MASTER_DOWN + 4.5)
        assert [
            (round(at - start, 6), addresses, count) for at, addresses, count in node.announcer.announced
        ] == [(0.75 * n, (vip.ip,), 1) for n, vip in enumerate((VIP, SECOND, VIP, SECOND))]
        assert [round(at - start, 6) for at, _ in node.adverts()] == [0, 1, 2, 3, 4]


async def test_what_waits_to_be_announced_is_forgotten_with_the_vip(segment, autojump_clock):
    instance = attrs.evolve(WEB, garp_count=100, garp_interval=0.5, garp_delay=0.0, garp_refresh=0.0)
    node = Node(segment, A, instance)
    async with running(node):
        await become_master(node)
        node.link.set_up(False)
        await settle()
        announced = len(node.announcer.announced)
        await trio.sleep(5)
        assert len(node.announcer.announced) == announced
