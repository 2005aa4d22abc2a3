"""Start a pair, break it, measure, put it back: what the demo, the failover tests and the bench share."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf

import attrs
import trio

from lab import verdicts
from lab.faults import Fault
from lab.nodes import Kind, Node, Settings, make_node
from lab.probers import LIBRARY, AdvertWitness, RequestProber, StreamProber, VipSampler, who_has
from lab.processes import LabError
from lab.topology import BACKENDS, BALANCERS, PAIR, Lab, Topology, open_lab

PRIORITIES = {"lb-a": 150, "lb-b": 100}
_SETTLE = 0.3
"""Seconds of undisturbed service on either side of what is measured."""
_STEP = 0.005


@attrs.frozen
class Takeover:
    """What a fault cost.  Seconds; `inf` for what never happened."""

    at: float
    """Monotonic time of the fault."""
    until: float
    """When the recording of it ended."""
    gap: float
    """The longest time without a success."""
    moved: float
    """From the fault until the peer had the VIP."""
    served: float
    """From the fault until the first answer through the peer."""
    failed: int
    """Requests."""
    first_failure_late: int
    """Of these, begun after the peer's first answer."""
    two_holders: float
    no_holder: float


@attrs.frozen
class Handback:
    """What the return of the preferred node cost.  Seconds."""

    at: float
    until: float
    gap: float
    moved: float
    """From the start of the node (or the end of its fault) until it alone had the VIP."""
    failed: int
    two_holders: float
    no_holder: float


class Pair:
    """Client, two nodes, two backends; all running, all watched."""

    def __init__(self, lab: Lab, nodes: Mapping[str, Node]) -> None:
        self.lab = lab
        self.nodes = nodes
        self.vip = lab.topology.vip.ip
        self.prober = RequestProber(lab["client"], self.vip)
        self.streamer = StreamProber(lab["client"], self.vip)
        """Runs in tests of chaos alone: it is no part of what a bench measures."""
        self.sampler = VipSampler({name: machine.net for name, machine in lab.machines.items()}, self.vip)
        self.adverts = AdvertWitness(lab["client"].net, self.vip.version)

    @property
    def master(self) -> Node:
        """The node that has the VIP.

        Raises:
            LabError: none has, or both.
        """
        holders = self.sampler.holders
        if len(holders) != 1:
            raise LabError(f"the VIP is on {sorted(holders) or 'no node'}\n{self.log()}")
        return self.nodes[next(iter(holders))]

    def peer_of(self, node: Node) -> Node:
        return next(other for other in self.nodes.values() if other is not node)

    def address_of(self, node: Node) -> str:
        return str(self.lab.topology[node.settings.name].address)

    def log(self) -> str:
        return "\n".join(node.log() for node in self.nodes.values())

    def said(self, text: str, since: float = 0.0) -> bool:
        """Whether a node wrote a line with `text` after `since` (monotonic seconds)."""
        return any(node.said(text, since) for node in self.nodes.values())

    async def who_has_the_vip(self) -> set[str]:
        """MAC addresses that answer the client's ARP or NDP question."""
        client = self.lab["client"].net
        return await who_has(client, self.vip, self.lab.topology["client"].address)

    async def until(self, what: str, is_true: Callable[[], bool], within: float) -> None:
        """Wait until `is_true`.

        Raises:
            LabError: it was not true in time.
        """
        with trio.move_on_after(within):
            # The conditions are about other processes and the kernel: there is nothing to wait on.
            while not is_true():  # noqa: ASYNC110
                await trio.sleep(_STEP)
            return
        raise LabError(f"not within {within:.1f} s: {what}\n{self.log()}")

    async def until_master(self, node: Node, within: float, calm: float = 0.0) -> None:
        """Wait until `node` alone has the VIP, for `calm` seconds now, and is served through.

        Two nodes that start together may both be MASTER for a moment; a calm longer than
        the master-down time says that they have heard each other.
        """
        name, address = node.settings.name, self.address_of(node)
        since = time.monotonic()

        def settled() -> bool:
            newest = self.prober.requests[-1:]
            holdings = self.sampler.holdings
            if self.sampler.holders != {name} or holdings[-1].since > time.monotonic() - calm:
                return False
            return any(request.via == address and request.start >= since for request in newest)

        await self.until(f"{name} holds the VIP and serves", settled, within)

    async def take_over(self, fault: Fault, *, within: float) -> Takeover:
        """Break the MASTER and watch its peer take over.

        It is struck half an interval after an advert of its own: what silence costs depends
        on when it begins, and must be the same for everybody who is compared.

        Raises:
            LabError: the pair was not at peace before, or the peer did not serve in time.
        """
        victim = self.master
        peer = self.peer_of(victim)
        await self.until_master(victim, within=5)
        await trio.sleep(_SETTLE)
        await self._half_an_interval_after_an_advert_of(victim)
        at = fault.at(self.lab, victim)
        via = self.address_of(peer)
        await self.until(
            f"{peer.settings.name} serves after {fault.name}",
            lambda: verdicts.first_success(self.prober.requests[-100:], at, via) < inf,
            within,
        )
        return self._takeover(at, await self._recorded(), peer)

    async def _half_an_interval_after_an_advert_of(self, node: Node) -> None:
        interval = node.settings.advert_interval
        with trio.move_on_after(3 * interval + 1) as patience:
            source = self.lab.topology[node.settings.name].advertiser
            heard = await self.adverts.next_from(str(source))
        if patience.cancelled_caught:
            raise LabError(f"no advert of {node.settings.name} was heard\n{self.log()}")
        await trio.sleep(max(0.0, heard + interval / 2 - time.monotonic()))

    async def _recorded(self) -> float:
        """Let service go on for a while; returns a time before which every request has ended."""
        await trio.sleep(_SETTLE)
        until = time.monotonic()
        await trio.sleep(self.prober.timeout + 0.1)
        return until

    def _takeover(self, at: float, until: float, peer: Node) -> Takeover:
        requests = [request for request in self.prober.requests if request.end > at - _SETTLE]
        holdings = self.sampler.holdings
        served = verdicts.first_success(requests, at, self.address_of(peer))
        return Takeover(
            at=at,
            until=until,
            gap=verdicts.gap(requests, at, until),
            moved=verdicts.held_by(holdings, peer.settings.name, at) - at,
            served=served - at,
            failed=len(verdicts.failures(requests, at - 0.1, until)),
            first_failure_late=len(verdicts.failures(requests, served, until)),
            two_holders=verdicts.two_holders(holdings, at, until),
            no_holder=verdicts.no_holder(holdings, at, until),
        )

    async def ask_again(self, broken: Node, seconds: float = 0.5) -> float:
        """Make the client ask who has the VIP; the share of requests that then fail or meet `broken`."""
        self.lab.forget_neighbour("client", self.vip)
        start = time.monotonic()
        await trio.sleep(seconds)
        end = time.monotonic()
        await trio.sleep(self.prober.timeout + 0.1)
        asked = [request for request in self.prober.requests if start <= request.start < end]
        wrong = [request for request in asked if not request.ok or request.via == self.address_of(broken)]
        return len(wrong) / len(asked)

    async def hand_back(self, node: Node, fault: Fault | None = None, *, within: float) -> Handback:
        """Undo the fault (or start the node again) and watch it get the VIP back.

        Raises:
            LabError: it did not.
        """
        at = time.monotonic()
        if fault is not None and fault.heal is not None:
            fault.heal(self.lab, node)
        else:
            await node.start()
        await self.until_master(node, within)
        until = await self._recorded()
        requests = [request for request in self.prober.requests if request.end > at - _SETTLE]
        holdings = self.sampler.holdings
        return Handback(
            at=at,
            until=until,
            gap=verdicts.gap(requests, at, until),
            moved=verdicts.held_by(holdings, node.settings.name, at, alone=True) - at,
            failed=len(verdicts.failures(requests, at, until)),
            two_holders=verdicts.two_holders(holdings, at, until),
            no_holder=verdicts.no_holder(holdings, at, until),
        )


async def start_backend(lab: Lab, name: str, late: float = 0.0) -> None:
    """A lab.backends on port 80 of one backend machine; `late` is how many seconds its answers take."""
    words = [sys.executable, "-m", "lab.backends", name, str(lab.topology[name].address), "80", str(late)]
    process = await lab[name].spawn(words, name="backend", env=LIBRARY)
    await process.wait_line("ready")


async def start_backends(lab: Lab) -> None:
    """One on each backend machine."""
    for name in BACKENDS:
        await start_backend(lab, name)


@asynccontextmanager
async def open_pair(
    kinds: Mapping[str, Kind],
    advert_interval: float,
    priorities: Mapping[str, int] = PRIORITIES,
    topology: Topology = PAIR,
    *,
    streams: bool = False,
) -> AsyncIterator[Pair]:
    """The pair, started and watched; who becomes MASTER is for the caller to await.

    `streams`: long-lived ones watch as well.
    """
    async with open_lab(topology) as lab:
        await start_backends(lab)
        servers = {name: topology[name].address for name in BACKENDS}
        nodes = {
            name: make_node(
                kinds[name],
                lab[name],
                Settings(name, priorities[name], advert_interval, topology.vip, servers),
                lab.scratch,
            )
            for name in BALANCERS
        }
        pair = Pair(lab, nodes)
        lab.nursery.start_soon(pair.sampler.run)
        lab.nursery.start_soon(pair.adverts.run)
        lab.nursery.start_soon(pair.prober.run)
        async with trio.open_nursery() as starting:
            for node in nodes.values():
                starting.start_soon(node.start)
        if streams:
            lab.nursery.start_soon(pair.streamer.run)
        yield pair
