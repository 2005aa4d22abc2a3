"""The order in which waiting sessions are served."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hapair.proxy.queue import Queue


class Waiter:
    def __init__(self, priority_class: int = 0, due: float = 0.0) -> None:
        self.priority_class = priority_class
        self.due = due
        self.waiting_in: Queue | None = None
        self.ticket = 0


def test_class_before_time_before_arrival() -> None:
    queue = Queue()
    late, early, same, low, high = (
        Waiter(0, 2.0),
        Waiter(0, 1.0),
        Waiter(0, 1.0),
        Waiter(2047, -9.0),
        Waiter(-2047, 99.0),
    )
    for waiter in (late, early, same, low, high):
        queue.join(waiter)
    assert list(queue) == [high, early, same, late, low]
    assert [queue.pop() for _ in range(5)] == [high, early, same, late, low]
    assert not queue


def test_who_left_and_came_again_has_lost_its_place_among_equals() -> None:
    queue = Queue()
    one, two = Waiter(), Waiter()
    queue.join(one)
    queue.join(two)
    queue.leave(one)
    queue.join(one)
    assert len(queue) == 2
    assert [queue.pop(), queue.pop()] == [two, one]


def test_who_left_for_another_queue_is_not_served_here() -> None:
    here, there = Queue(), Queue()
    one, two = Waiter(), Waiter()
    here.join(one)
    here.leave(one)
    there.join(one)
    here.join(two)
    assert here.pop() is two
    assert list(there) == [one]


def test_the_first_of_two_queues() -> None:
    here, there = Queue(), Queue()
    here.join(Waiter(0, 1.0))
    there.join(Waiter(0, 1.0))
    assert not here.precedes(there)
    there.pop()
    there.join(Waiter(0, 1.5))
    assert here.precedes(there)
    there.join(Waiter(-1, 9.0))
    assert not here.precedes(there)


def test_those_who_give_up_leave_no_memory_behind() -> None:
    queue = Queue()
    stays = Waiter()
    queue.join(stays)
    for _ in range(10_000):
        passing = Waiter()
        queue.join(passing)
        queue.leave(passing)
    assert len(queue._heap) < 100
    assert queue.pop() is stays


@given(
    st.lists(
        st.tuples(st.just("join"), st.integers(-2, 2), st.integers(0, 5))
        | st.tuples(st.just("leave"), st.integers(0, 40), st.just(0))
        | st.tuples(st.just("pop"), st.just(0), st.just(0)),
        max_size=80,
    )
)
def test_it_is_a_sorted_list(steps: list[Any]) -> None:
    queue = Queue()
    known: list[Waiter] = []
    for step, first, second in steps:
        if step == "join":
            waiter = Waiter(first, float(second))
            queue.join(waiter)
            known.append(waiter)
            known.sort(key=lambda one: (one.priority_class, one.due))
        elif step == "leave" and known:
            waiter = known.pop(first % len(known))
            queue.leave(waiter)
            assert waiter.waiting_in is None
        elif step == "pop" and known:
            assert queue.pop() is known.pop(0)
        assert len(queue) == len(known)
        assert list(queue) == known
