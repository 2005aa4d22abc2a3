"""Two nodes with a sync group over two segments; each segment fails, loses and is cut by itself.

The group's word reaches its members at once, as in a node.  The invariants: no node is
ever MASTER on one segment only; a fault of one member is the fault of all; and peace
brings exactly one node that is MASTER on both.
"""

from __future__ import annotations

import heapq
from ipaddress import IPv4Address
from itertools import count
from math import inf

import attrs
import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hapair.vrrp.election import (
    Fault,
    Initialize,
    Master,
    State,
    deadline,
    step,
)
from hapair.vrrp.events import (
    AddVips,
    AdvertReceived,
    CloseGate,
    DeadlinePassed,
    DropVips,
    Event,
    GroupChanged,
    LinkDown,
    LinkUp,
    OpenGate,
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import Router
from hapair.vrrp.sync_group import decide, member_of
from hapair.vrrp.tracking import WELL, Verdict

SEGMENTS = ("left", "right")
FAILED = Verdict(fault=True, why="a script")


class Instance:
    def __init__(self, router: Router) -> None:
        self.router = router
        self.state: State = Initialize()
        self.holds = False
        self.gate_open = False


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.delay = 0.0
        self.nodes: list[dict[str, Instance]] = []
        self.cut: set[str] = set()
        self.lossy: st.DataObject | None = None
        self.flying: list[tuple[float, int, Instance, AdvertReceived]] = []
        self.order = count()

    # -- physics ------------------------------------------------------------

    def deliver(self, node: int, segment: str, event: Event) -> None:
        """One event, and all that the group makes of it."""
        todo = [(segment, event)]
        while todo:
            assert len(todo) < 20, "the group never settles"
            name, event = todo.pop(0)
            self.carry_out(node, name, event)
            members = {key: member_of(one.router, one.state) for key, one in self.nodes[node].items()}
            todo += [word for word in decide("g", members) if word not in todo]

    def carry_out(self, node: int, segment: str, event: Event) -> None:
        one = self.nodes[node][segment]
        if isinstance(event, GroupChanged):
            one.router = attrs.evolve(one.router, held=event.held)
        one.state, orders = step(one.router, one.state, event, self.now)
        for order in orders:
            match order:
                case AddVips():
                    one.holds = True
                case DropVips():
                    assert not one.gate_open, "the gate closes before the VIP goes"
                    one.holds = False
                case OpenGate():
                    assert one.holds, "the VIP is here before the gate opens"
                    one.gate_open = True
                case CloseGate():
                    one.gate_open = False
                case SendAdvert(priority=priority):
                    self.transmit(node, segment, priority)

    def transmit(self, sender: int, segment: str, priority: int) -> None:
        source = self.nodes[sender][segment].router
        advert = AdvertReceived(source.source, priority, source.advert_interval)
        for n, node in enumerate(self.nodes):
            deaf = n == sender or segment in self.cut or node[segment].state == Fault(link_up=False)
            if not deaf and not (self.lossy and self.lossy.draw(st.booleans(), label="lost")):
                heapq.heappush(self.flying, (self.now + self.delay, next(self.order), node[segment], advert))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        for moment in count():
            assert moment < 20_000, "they shout at each other without end"
            timers = [
                (deadline(one.state), n, name)
                for n, node in enumerate(self.nodes)
                for name, one in node.items()
            ]
            due, n, name = min(timers)
            packet_at = self.flying[0][0] if self.flying else inf
            if min(due, packet_at) > end:
                break
            self.now = max(self.now, min(due, packet_at))
            if packet_at <= due:
                _, _, to, advert = heapq.heappop(self.flying)
                found = next(
                    (m, key) for m, node in enumerate(self.nodes) for key, one in node.items() if one is to
                )
                if not isinstance(to.state, Fault | Initialize):
                    self.deliver(*found, advert)
            else:
                self.deliver(n, name, DeadlinePassed())
            self.only_whole_groups_are_master()
        self.now = end

    def masters(self) -> list[int]:
        return [
            n
            for n, node in enumerate(self.nodes)
            if all(isinstance(one.state, Master) for one in node.values())
        ]

    # -- what happens to it -------------------------------------------------

    @initialize(
        priorities=st.lists(st.sampled_from([50, 100, 101, 254]), min_size=2, max_size=2, unique=True),
        slower=st.sampled_from([1, 3]),
        preempt=st.booleans(),
        delay=st.sampled_from([0.0, 0.001]),
    )
    def build(self, priorities: list[int], slower: int, preempt: bool, delay: float) -> None:
        self.delay = delay
        for n, priority in enumerate(priorities):
            self.nodes.append(
                {
                    segment: Instance(
                        Router(
                            priority=priority,
                            source=IPv4Address("192.0.2.1") + n,
                            advert_interval=0.1 * (slower if segment == "right" else 1),
                            preempt=preempt,
                            grouped=True,
                        )
                    )
                    for segment in SEGMENTS
                }
            )
        for n in range(2):
            self.start(n)

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.run_for(seconds)

    @rule(segments=st.sets(st.sampled_from(SEGMENTS)))
    def segments_are_cut(self, segments: set[str]) -> None:
        self.cut = segments

    @rule(n=st.integers(0, 1), segment=st.sampled_from(SEGMENTS), up=st.booleans())
    def link(self, n: int, segment: str, up: bool) -> None:
        self.deliver(n, segment, LinkUp() if up else LinkDown())

    @rule(n=st.integers(0, 1), segment=st.sampled_from(SEGMENTS), fails=st.booleans())
    def tracking(self, n: int, segment: str, fails: bool) -> None:
        one, verdict = self.nodes[n][segment], FAILED if fails else WELL
        before, one.router = one.router.tracking, attrs.evolve(one.router, tracking=verdict)
        self.deliver(n, segment, TrackingChanged(verdict, before))

    @rule(n=st.integers(0, 1))
    def start(self, n: int) -> None:
        for segment, one in self.nodes[n].items():
            if isinstance(one.state, Initialize):
                self.deliver(n, segment, Started())

    @rule(n=st.integers(0, 1))
    def stop(self, n: int) -> None:
        for segment in SEGMENTS:
            self.deliver(n, segment, Stopped())

    @rule(seconds=st.floats(0, 2), data=st.data())
    def packets_are_lost_for_a_while(self, seconds: float, data: st.DataObject) -> None:
        self.lossy = data
        self.run_for(seconds)
        self.lossy = None

    @rule()
    def peace_brings_one_node_that_is_master_everywhere(self) -> None:
        self.cut = set()
        for n in range(2):
            for segment in SEGMENTS:
                self.tracking(n, segment, False)
                self.link(n, segment, True)
            self.start(n)
        self.run_for(12 * 0.3)
        assert len(self.masters()) == 1
        best = max(node["left"].router.priority for node in self.nodes)
        if self.nodes[0]["left"].router.preempt:
            assert self.nodes[self.masters()[0]]["left"].router.priority == best

    # -- what must always hold ---------------------------------------------

    @invariant()
    def only_whole_groups_are_master(self) -> None:
        for node in self.nodes:
            assert len({isinstance(one.state, Master) for one in node.values()}) == 1
            started = [one for one in node.values() if not isinstance(one.state, Initialize)]
            if any(one.router.tracking.fault or one.state == Fault() for one in node.values()):
                assert all(isinstance(one.state, Fault) for one in started)
            for one in node.values():
                assert one.gate_open == one.holds == isinstance(one.state, Master)


World.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_group_world = World.TestCase
