"""The backend as a world: slots, queues and servers that come and go, in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hapair.config import model
from hapair.proxy.backend import Backend
from hapair.proxy.queue import Queue
from hapair.proxy.server import Server


class Waiter:
    """The least of a session that a backend needs."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting_in: Queue | None = None
        self.ticket = 0
        self.priority_class = 0
        self.due = 0.0
        self.granted: Server | None = None
        self.holds: Server | None = None
        self.server_queue = 0
        self.backend_queue = 0
        self.balance_key = -1
        self.wanted: Server | None = None

    def __repr__(self) -> str:
        return f"#{self.number}"


def backend(*servers: model.Server) -> Backend:
    return Backend(model.Backend(name="be", servers=servers), {s.name: None for s in servers}, [])


def server(name: str, **options: Any) -> model.Server:
    return model.Server(name=name, id=1, host="h", port=1, **options)


def order(session: Waiter) -> tuple[int, float]:
    return session.priority_class, session.due


class Slots(RuleBasedStateMachine):
    """Law: a slot has one holder, nobody waits while there is room for him, the order is priority's."""

    @initialize(
        limits=st.lists(st.integers(min_value=1, max_value=2), min_size=1, max_size=3),
        backup=st.booleans(),
        maxqueue=st.integers(min_value=0, max_value=2),
    )
    def start(self, limits: list[int], backup: bool, maxqueue: int) -> None:
        names = [f"s{i}" for i in range(len(limits))]
        configs = [
            server(name, maxconn=limit, maxqueue=maxqueue, cookie=name)
            for name, limit in zip(names, limits, strict=True)
        ]
        if backup:
            configs.append(server("backup", maxconn=1, backup=True, cookie="backup"))
        self.backend = backend(*configs)
        self.sessions: list[Waiter] = []
        self.count = 0

    def _place(self, session: Waiter, wanted: Server | None) -> None:
        placed = self.backend.place(session, wanted)
        if placed is not None:
            assert session.waiting_in is None
            session.holds = placed
        elif session.waiting_in is None:
            self.sessions.remove(session)  # a 503

    def _wake(self) -> None:
        woken = self.backend.woken
        while woken:
            session = woken.pop(0)
            granted, session.granted = session.granted, None
            if granted is not None:
                session.holds = granted
            elif session in self.sessions and session.waiting_in is None and session.holds is None:
                self._place(session, None)

    @rule(
        cookie=st.none() | st.integers(min_value=0, max_value=3),
        priority=st.sampled_from([0, 0, -1, 5]),
        offset=st.sampled_from([0.0, 0.0, -3.0, 2.5]),
    )
    def arrive(self, cookie: int | None, priority: int, offset: float) -> None:
        wanted = None if cookie is None else self.backend.servers[cookie % len(self.backend.servers)]
        session = Waiter(self.count)
        session.wanted = wanted
        session.priority_class, session.due = priority, self.count + offset
        self.count += 1
        self.sessions.append(session)
        waiting = list(self.backend.queue)
        self._place(session, wanted)
        if session.holds is not None and session.holds is not wanted:
            assert not waiting, "somebody was before"

    @precondition(lambda self: any(s.holds for s in self.sessions))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from([s for s in self.sessions if s.holds]))
        self.sessions.remove(session)
        held = session.holds
        assert held is not None
        queues = [queue for queue in (held.queue, self.backend.queue) if queue]
        first = min((next(iter(queue)) for queue in queues), key=order) if queues else None
        could = held.usable and held in self.backend.rotation
        self.backend.release(held)
        self._wake()
        if first is not None and could and held.current <= held.maxconn:
            assert first.holds is held, "the first in order is served"

    @precondition(lambda self: any(s.waiting_in is not None for s in self.sessions))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from([s for s in self.sessions if s.waiting_in is not None]))
        self.sessions.remove(session)
        self.backend.leave_queue(session)

    @precondition(lambda self: any(s.holds and self.backend.queued for s in self.sessions))
    @rule(data=st.data())
    def give_up_what_was_just_granted(self, data: st.DataObject) -> None:
        """The slot is passed on before its new owner has noticed."""
        session = data.draw(st.sampled_from([s for s in self.sessions if s.holds]))
        self.sessions.remove(session)
        assert session.holds is not None
        self.backend.release(session.holds)
        if self.backend.woken:
            lucky = self.backend.woken[0]
            self.sessions.remove(lucky)
            self.backend.leave_queue(lucky)
        self._wake()

    @rule(number=st.integers(min_value=0, max_value=3), up=st.booleans())
    def check_result(self, number: int, up: bool) -> None:
        self.backend.set_up(self.backend.servers[number % len(self.backend.servers)], up, 0.0)
        self._wake()

    @rule(number=st.integers(min_value=0, max_value=3), state=st.sampled_from(["ready", "drain", "maint"]))
    def administer(self, number: int, state: str) -> None:
        self.backend.set_administrative(self.backend.servers[number % len(self.backend.servers)], state, 0.0)
        self._wake()

    @rule(number=st.integers(min_value=0, max_value=3), weight=st.sampled_from([0, 1, 3]))
    def reweigh(self, number: int, weight: int) -> None:
        self.backend.set_weight(self.backend.servers[number % len(self.backend.servers)], weight)
        self._wake()

    @invariant()
    def slots_have_their_holders(self) -> None:
        if not hasattr(self, "backend"):
            return
        for one in self.backend.servers:
            assert one.current == sum(s.holds is one for s in self.sessions)
            assert one.current <= one.maxconn

    @invariant()
    def queues_hold_those_who_wait(self) -> None:
        if not hasattr(self, "backend"):
            return
        waiting = [s for s in self.sessions if s.waiting_in is not None]
        queues = [self.backend.queue, *(one.queue for one in self.backend.servers)]
        assert sorted(s.number for queue in queues for s in queue) == sorted(s.number for s in waiting)
        assert self.backend.queued == len(waiting)
        assert all(s.holds is None and s.granted is None for s in waiting)
        for one in self.backend.servers:
            assert len(one.queue) <= one.maxqueue

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        if not hasattr(self, "backend"):
            return
        for one in self.backend.servers:
            if one.usable and one.current < one.maxconn:
                assert not one.queue, f"{one.name} has room"
                assert not (self.backend.queue and one in self.backend.rotation), f"{one.name} has room"
            if not one.usable:
                assert not one.queue
        if not any(one.eligible for one in self.backend.servers):
            assert not self.backend.queue, "nobody will ever serve them"


class TestSlots(Slots.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_first_backup_serves_only_without_any_active() -> None:
    pool = backend(server("a"), server("b1", backup=True), server("b2", backup=True))
    active, first, second = pool.servers
    for up, expected in ((True, active), (False, first), (True, active)):
        pool.set_up(active, up, 0.0)
        assert {pool.place(Waiter(i), None) for i in range(4)} == {expected}
    pool.set_up(active, False, 0.0)
    pool.set_up(first, False, 0.0)
    assert pool.place(Waiter(0), None) is second
    assert pool.counts() == (0, 1)
    assert pool.usable_names() == {"b2"}


def test_a_cookie_reaches_a_backup_and_a_draining_server_but_not_one_in_maintenance() -> None:
    pool = backend(server("a"), server("b", backup=True), server("c"))
    a, b, c = pool.servers
    pool.set_administrative(c, "drain", 0.0)
    assert pool.place(Waiter(0), b) is b
    assert pool.place(Waiter(1), c) is c
    pool.set_administrative(c, "maint", 0.0)
    assert pool.place(Waiter(2), c) is a


def test_weights_decide_in_haproxys_order() -> None:
    pool = backend(server("a", weight=5), server("b"), server("c"))
    placed = [pool.place(Waiter(i), None) for i in range(7)]
    assert "".join(one.name for one in placed if one is not None) == "aaabaac"


@pytest.mark.parametrize("state", ["maint", "drain"])
def test_a_reload_keeps_what_is_known_about_a_server(state: str) -> None:
    check = model.Check()
    old = backend(server("a", check=check), server("b"), server("c"))
    old.set_up(old.servers[0], False, 0.0)
    old.set_administrative(old.servers[1], state, 0.0)
    new = backend(server("c"), server("a", weight=7, check=check), server("b", disabled=True))
    new.inherit(old.servers)
    known = {one.name: (one.up, one.administrative) for one in new.servers}
    assert known == {"a": (False, "ready"), "b": (True, "maint"), "c": (True, "ready")}
    assert new.usable_names() == {"c"}


def test_counters_of_sessions() -> None:
    pool = backend(server("a"))
    pool.enter()
    pool.enter()
    pool.leave()
    assert (pool.current, pool.highest, pool.total) == (1, 2, 2)
    one = pool.place(Waiter(0), None)
    assert one is not None
    pool.place(Waiter(1), None)
    pool.release(one)
    assert (one.current, one.highest, one.total) == (1, 2, 2)


def test_limits_grow_from_minconn_to_maxconn_as_the_backend_fills() -> None:
    """HAProxy's srv_dynamic_maxconn: requests * maxconn / fullconn, within minconn and maxconn."""
    config = model.Backend(name="be", servers=(server("a", minconn=2, maxconn=10),), fullconn=20)
    pool = Backend(config, {"a": None}, [])
    limits = []
    for _ in range(22):
        limits.append(int(pool.servers[0].limit()))
        pool.enter()
    assert limits == [2, 2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]


def test_minconn_alone_is_a_fixed_limit() -> None:
    assert backend(server("a", minconn=7)).servers[0].limit() == 7


def test_a_limit_that_grows_lets_the_first_of_the_queue_in() -> None:
    config = model.Backend(name="be", servers=(server("a", minconn=1, maxconn=4),), fullconn=8)
    pool = Backend(config, {"a": None}, [])
    (one,) = pool.servers
    waiters = [Waiter(i) for i in range(6)]
    placed = []
    for waiter in waiters:
        pool.enter()
        placed.append(pool.place(waiter, None))
    # The limit is 1 for up to three requests, 2 from four, 3 from six.
    assert placed == [one, None, None, None, None, None]
    assert pool.woken == [waiters[1], waiters[2]]
    assert [waiter.granted for waiter in waiters] == [None, one, one, None, None, None]
    assert list(pool.queue) == waiters[3:]
    assert one.current == 3


def test_who_makes_the_limit_grow_may_be_the_one_who_is_let_in() -> None:
    config = model.Backend(name="be", servers=(server("a", minconn=1, maxconn=2, cookie="a"),), fullconn=2)
    pool = Backend(config, {"a": None}, [])
    (one,) = pool.servers
    pool.enter()
    assert pool.place(Waiter(0), one) is one
    pool.enter()
    assert pool.place(Waiter(1), one) is one
    assert not pool.woken


def test_the_server_and_the_backend_queue_are_one_order() -> None:
    pool = backend(server("a", maxconn=1, cookie="a"))
    (one,) = pool.servers
    pool.place(Waiter(0), None)
    common, own, urgent = Waiter(1), Waiter(2), Waiter(3)
    common.due, own.due, urgent.due = 1.0, 2.0, 3.0
    urgent.priority_class = -1
    for waiter, wanted in ((own, one), (common, None), (urgent, None)):
        assert pool.place(waiter, wanted) is None
    for _ in range(3):
        pool.release(one)
    assert pool.woken == [urgent, common, own]
