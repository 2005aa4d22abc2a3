"""Two to four elections on a segment that loses, delays, reorders, partitions; nodes stop, ail, freeze.

Nothing here waits: time is a number and packets are a heap.  The invariants are
what the pair promises: never two masters for longer than an advert takes, never
none for longer than a master-down time.
"""

from __future__ import annotations

import heapq
from ipaddress import IPv4Address
from itertools import count
from math import inf
from random import Random

import attrs
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hapair.vrrp.election import (
    RELIEF_MARGIN,
    Backup,
    Fault,
    Initialize,
    Master,
    State,
    deadline,
    overslept,
    step,
)
from hapair.vrrp.events import (
    AddVips,
    AdvertReceived,
    CloseGate,
    DeadlinePassed,
    DropVips,
    Event,
    Evicted,
    Leave,
    LinkDown,
    LinkUp,
    OpenGate,
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import Router
from hapair.vrrp.tracking import WELL, Verdict

EPSILON = 1e-6

VERDICTS = st.builds(
    Verdict,
    fault=st.sampled_from([False, False, True]),
    ailing=st.booleans(),
    weight=st.sampled_from([-300, -60, 0, 0, 40, 300]),
)


class Node:
    def __init__(self, router: Router) -> None:
        self.router = router
        self.state: State = Initialize()
        self.side = 0
        """Nodes hear those on their own side of a partition."""
        self.holds = False
        self.gate_open = False
        self.frozen = False
        self.queued: list[Event] = []

    @property
    def name(self) -> IPv4Address:
        return self.router.source


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.delay = 0.0
        """At most, for one packet."""
        self.chance: Random | None = None
        """Packets overtake each other; None: they all take as long."""
        self.lossy: st.DataObject | None = None
        self.nodes: list[Node] = []
        self.flying: list[tuple[float, int, Node, AdvertReceived]] = []
        self.order = count()
        self.patience = 3
        self.disturbed_at = self.now
        self.masterless_since: dict[int, float] = {}
        self.contested_since: dict[int, float] = {}

    # -- physics ------------------------------------------------------------

    def deliver(self, node: Node, event: Event) -> None:
        node.state, orders = step(node.router, node.state, event, self.now)
        for order in orders:
            match order:
                case AddVips():
                    node.holds = True
                case DropVips():
                    assert not node.gate_open, "the gate closes before the VIP goes"
                    node.holds = False
                case OpenGate():
                    assert node.holds, "the VIP is here before the gate opens"
                    node.gate_open = True
                case CloseGate():
                    node.gate_open = False
                case SendAdvert(priority=priority):
                    advert = AdvertReceived(node.name, priority, node.router.advert_interval)
                    self.transmit(node, advert)

    def transmit(self, sender: Node, advert: AdvertReceived) -> None:
        for node in self.nodes:
            reaches = node is not sender and node.side == sender.side and not isinstance(node.state, Fault)
            if reaches and not (self.lossy and self.lossy.draw(st.booleans(), label="lost")):
                delay = self.delay if self.chance is None else self.chance.uniform(0, self.delay)
                heapq.heappush(self.flying, (self.now + delay, next(self.order), node, advert))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        moments = 0
        while True:
            moments += 1
            assert moments < 100_000, "they shout at each other without end"
            timers = [(deadline(node.state), n) for n, node in enumerate(self.nodes) if not node.frozen]
            due, n = min(timers, default=(inf, 0))
            packet_at = self.flying[0][0] if self.flying else inf
            if min(due, packet_at) > end:
                break
            if packet_at <= due:
                self.now = max(self.now, packet_at)
                _, _, node, advert = heapq.heappop(self.flying)
                if node.frozen:
                    node.queued.append(advert)
                elif not isinstance(node.state, Fault | Initialize):
                    self.deliver(node, advert)
            else:
                self.now = max(self.now, due)
                self.deliver(self.nodes[n], DeadlinePassed())
            self.audit()
        self.now = end
        self.audit()

    def disturb(self) -> None:
        self.disturbed_at = self.now
        self.masterless_since.clear()
        self.contested_since.clear()

    def audit(self) -> None:
        """Keep the books on every side of the partition, and check them."""
        slowest = max(node.router.advert_interval for node in self.nodes)
        for side in {node.side for node in self.nodes}:
            here = [node for node in self.nodes if node.side == side and not node.frozen]
            masters = [node for node in here if isinstance(node.state, Master)]
            able = [node for node in here if isinstance(node.state, Master | Backup)]
            if able and not masters:
                since = self.masterless_since.setdefault(side, self.now)
                # RFC 9568: three intervals (or as many as configured), and a skew below one.
                bound = (self.patience + 1) * slowest + self.delay
                assert self.lossy or self.now - since <= bound + EPSILON, f"no master for {self.now - since}"
            else:
                self.masterless_since.pop(side, None)
            if len(masters) > 1:
                since = self.contested_since.setdefault(side, self.now)
                bound = slowest + 2 * self.delay
                assert self.lossy or self.now - since <= bound + EPSILON, (
                    f"two masters for {self.now - since}"
                )
            else:
                self.contested_since.pop(side, None)

    # -- what happens to it -------------------------------------------------

    @initialize(
        priorities=st.lists(st.sampled_from([1, 50, 100, 101, 255]), min_size=2, max_size=4),
        interval=st.sampled_from([0.01, 0.1, 1.0]),
        slower=st.booleans(),
        preempt=st.booleans(),
        preempt_delay=st.sampled_from([0.0, 0.0, 7.0]),
        delay=st.sampled_from([0.0, 0.0005, 0.004]),
        chance=st.none() | st.integers(0, 1000).map(Random),
        version=st.sampled_from([3, 3, 2]),
        patience=st.sampled_from([3, 3, 2, 5]),
        startup_delay=st.sampled_from([0.0, 0.0, 1.5]),
        skew=st.sampled_from([True, True, False]),
    )
    def build(
        self,
        priorities: list[int],
        interval: float,
        slower: bool,
        preempt: bool,
        preempt_delay: float,
        delay: float,
        chance: Random | None,
        version: int,
        patience: int,
        startup_delay: float,
        skew: bool,
    ) -> None:
        self.delay = delay
        self.chance = chance
        self.patience = patience
        if version == 2:
            interval, slower = 1.0, False  # whole seconds, and the same for all
        for n, priority in enumerate(priorities):
            router = Router(
                priority=priority,
                source=IPv4Address("192.0.2.1") + n,
                advert_interval=interval * (3 if slower and n == 0 else 1),
                preempt=preempt,
                preempt_delay=preempt_delay,
                version=version,
                down_timer_adverts=patience,
                startup_delay=startup_delay,
                skew=skew,
            )
            self.nodes.append(Node(router))
        for node in self.nodes:
            self.deliver(node, Started())

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds: float) -> None:
        self.run_for(seconds)

    @rule(sides=st.lists(st.integers(0, 1), min_size=4, max_size=4))
    def partition(self, sides: list[int]) -> None:
        for node, side in zip(self.nodes, sides, strict=False):
            node.side = side
        self.disturb()

    @rule()
    def heal(self) -> None:
        for node in self.nodes:
            node.side = 0
        self.disturb()

    @rule(seconds=st.floats(0, 3), data=st.data())
    def packets_are_lost_for_a_while(self, seconds: float, data: st.DataObject) -> None:
        step_ = max(node.router.advert_interval for node in self.nodes)
        self.lossy = data
        self.run_for(min(seconds, 5 * step_))
        self.lossy = None
        self.disturb()

    @rule(n=st.integers(0, 3))
    def stop(self, n: int) -> None:
        node = self.nodes[n % len(self.nodes)]
        if not node.frozen:
            self.deliver(node, Stopped())

    @rule(n=st.integers(0, 3))
    def leave(self, n: int) -> None:
        """A planned stop: served by somebody all the time, if there is anybody."""
        node = self.nodes[n % len(self.nodes)]
        if node.frozen:
            return
        ready = [peer for peer in self.nodes if isinstance(peer.state, Backup) and not peer.frozen]
        alone = {peer.side for peer in self.nodes} != {node.side} or not ready
        was_master = isinstance(node.state, Master) and node.state.leaving_at == inf
        self.deliver(node, Leave())
        self.disturb()
        relief_after = (
            max(peer.router.advert_interval for peer in self.nodes) + RELIEF_MARGIN + 3 * self.delay
        )
        self.run_for(node.router.advert_interval + RELIEF_MARGIN + EPSILON)
        assert isinstance(node.state, Initialize), "left, relieved or not"
        if was_master and not alone:
            self.run_for(relief_after)
            assert [peer for peer in self.nodes if isinstance(peer.state, Master)], "nobody relieved it"

    @rule(n=st.integers(0, 3))
    def crash(self, n: int) -> None:
        """The guard takes the VIP, no goodbye is heard."""
        node = self.nodes[n % len(self.nodes)]
        if not node.frozen:
            node.state, node.holds, node.gate_open = Initialize(), False, False
            self.disturb()

    @rule(n=st.integers(0, 3))
    def start(self, n: int) -> None:
        node = self.nodes[n % len(self.nodes)]
        if isinstance(node.state, Initialize):
            self.deliver(node, Started())

    @rule(n=st.integers(0, 3), up=st.booleans())
    def link(self, n: int, up: bool) -> None:
        node = self.nodes[n % len(self.nodes)]
        if not node.frozen:
            self.deliver(node, LinkUp() if up else LinkDown())
            self.disturb()

    @rule(n=st.integers(0, 3), verdict=VERDICTS)
    def tracking(self, n: int, verdict: Verdict) -> None:
        node = self.nodes[n % len(self.nodes)]
        if not node.frozen:
            self.disturb()
            before = node.router.tracking
            node.router = attrs.evolve(node.router, tracking=verdict)
            self.deliver(node, TrackingChanged(verdict, before))

    @rule(n=st.integers(0, 3), seconds=st.floats(0, 20))
    def freeze_and_wake(self, n: int, seconds: float) -> None:
        """As the service does on waking: oversleeping first, then what is queued, then deadlines."""
        node = self.nodes[n % len(self.nodes)]
        node.frozen = True
        self.disturb()
        self.run_for(seconds)
        node.frozen = False
        self.disturb()
        if overslept(node.router, node.state, self.now):
            self.deliver(node, Evicted("frozen"))
            assert not node.holds
        queued, node.queued = node.queued, []
        for event in queued:
            self.deliver(node, event)

    # -- what must always hold ---------------------------------------------

    @invariant()
    def only_a_master_holds_the_address_and_listens(self) -> None:
        for node in self.nodes:
            assert node.holds == isinstance(node.state, Master)
            assert node.gate_open == node.holds

    @precondition(lambda self: self.nodes)
    @rule()
    def peace_brings_exactly_one_master(self) -> None:
        self.heal()
        for node in self.nodes:
            if node.router.tracking.fault:
                before, node.router = node.router.tracking, attrs.evolve(node.router, tracking=WELL)
                self.deliver(node, TrackingChanged(WELL, before))
            if isinstance(node.state, Fault):
                self.deliver(node, LinkUp())
            if isinstance(node.state, Initialize):
                self.deliver(node, Started())
        self.disturb()
        slowest = max(node.router.advert_interval for node in self.nodes)
        self.run_for(10.0 + 3 * (self.patience + 1) * slowest)
        masters = [node for node in self.nodes if isinstance(node.state, Master)]
        assert len(masters) == 1
        if all(node.router.preempt for node in self.nodes):
            best = max(node.router.effective_priority for node in self.nodes)
            assert masters[0].router.effective_priority == best


World.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
test_world = World.TestCase
