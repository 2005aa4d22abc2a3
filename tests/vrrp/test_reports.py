"""What a router reports, and when: after the deed, in order, once."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Interface

import pytest
import trio

from hapair.config.model import VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.fake import (
    FakeAddresses,
    FakeAnnouncer,
    FakeClaims,
    FakeGuard,
    FakeLink,
    FakeRoutes,
    FakeWire,
)
from hapair.vrrp.reports import GuardStrike, PriorityChanged, Transition
from hapair.vrrp.service import VirtualRouter
from hapair.vrrp.status import RouterState
from hapair.vrrp.tracking import Verdict

SOURCE, VIP = IPv4Address("192.0.2.1"), IPv4Interface("192.0.2.100/24")
WEB = VrrpInstance("web", "eth0", 51, (VIP,), priority=100)
INITIALIZE, BACKUP, MASTER, FAULT = (
    RouterState.INITIALIZE,
    RouterState.BACKUP,
    RouterState.MASTER,
    RouterState.FAULT,
)


class SilentGate:
    def open(self) -> None:
        pass

    def close(self) -> None:
        pass


class Stage:
    def __init__(self) -> None:
        self.link = FakeLink("eth0")
        self.addresses = FakeAddresses(self.link, IPv4Interface(f"{SOURCE}/24"))
        self.guard = FakeGuard()
        self.reports = []
        self.held = []
        """Whether the VIP was there at each report."""
        self.router = VirtualRouter(
            WEB,
            source=SOURCE,
            link=self.link,
            addresses=self.addresses,
            routes=FakeRoutes(),
            segment=FakeWire().attach(self.link, SOURCE, multicast=True),
            announcer=FakeAnnouncer(),
            claims=FakeClaims(),
            gate=SilentGate(),
            guard=self.guard,
            report=self._take,
        )

    def _take(self, report) -> None:
        self.reports.append(report)
        self.held.append(VIP in self.addresses.now())

    def transitions(self):
        return [(one.before, one.after) for one in self.reports if isinstance(one, Transition)]

    @asynccontextmanager
    async def running(self):
        async with trio.open_nursery() as nursery:
            await nursery.start(self.router.run)
            yield
            nursery.cancel_scope.cancel()


async def test_every_transition_is_reported_once_when_its_orders_were_carried_out(autojump_clock):
    stage = Stage()
    async with stage.running():
        await trio.sleep(5)
        stage.link.set_up(False)
        await trio.sleep(1)
        stage.link.set_up(True)
        await trio.sleep(1)
    assert stage.transitions() == [
        (INITIALIZE, BACKUP),
        (BACKUP, MASTER),
        (MASTER, FAULT),
        (FAULT, BACKUP),
        (BACKUP, INITIALIZE),
    ]
    assert stage.held == [False, True, False, False, False]
    assert [one.cause for one in stage.reports] == [
        "started",
        "no other router was heard",
        "link down",
        "link up",
        "stopped",
    ]


async def test_what_is_tracked_is_reported_before_the_transition_that_it_causes(autojump_clock):
    stage = Stage()
    async with stage.running():
        await trio.sleep(5)
        stage.router.set_tracking(Verdict(ailing=True, why="backend web has 0 usable servers"))
        await trio.sleep(0.5)
        assert stage.reports[-2:] == [
            PriorityChanged("web", 100, 1, "backend web has 0 usable servers"),
            Transition("web", MASTER, BACKUP, "backend web has 0 usable servers", 100, 1),
        ]


async def test_a_strike_of_the_guard_is_reported_for_a_master(autojump_clock):
    stage = Stage()
    async with stage.running():
        await trio.sleep(5)
        stage.guard.strike()
        await trio.sleep(1.2)
    strikes = [one for one in stage.reports if isinstance(one, GuardStrike)]
    assert strikes == [GuardStrike("web", "the guard struck: this process was frozen")]


async def test_a_transition_whose_orders_fail_is_reported_all_the_same(autojump_clock):
    stage = Stage()
    stage.addresses.refuse[VIP] = errno.ENOMEM
    with pytest.raises(ExceptionGroup) as caught:
        async with stage.running():
            await trio.sleep(5)
    assert caught.group_contains(KernelError)
    assert stage.transitions() == [(INITIALIZE, BACKUP), (BACKUP, MASTER), (MASTER, INITIALIZE)]
