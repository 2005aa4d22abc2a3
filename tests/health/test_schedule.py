"""Dates are kept, replaced and forgotten; first checks are spread; a tick bounds every delay."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hapair.health.schedule import SPREAD, TICK, Calendar, first_checks, next_check, wake_at


class CalendarBesideADict(RuleBasedStateMachine):
    """Whatever is done to it, a calendar is a dictionary that can be asked for what is due."""

    def __init__(self) -> None:
        super().__init__()
        self.calendar: Calendar[int] = Calendar()
        self.model: dict[int, float] = {}
        self.now = 0.0

    @rule(item=st.integers(0, 9), ahead=st.floats(0, 5))
    def set(self, item, ahead):
        self.calendar.set(item, self.now + ahead)
        self.model[item] = self.now + ahead

    @rule(item=st.integers(0, 9))
    def drop(self, item):
        self.calendar.drop(item)
        self.model.pop(item, None)

    @rule(step=st.floats(0, 3), limit=st.integers(0, 4))
    def pass_time(self, step, limit):
        self.now += step
        due = self.calendar.due(self.now, limit)
        expected = sorted(at for at in self.model.values() if at <= self.now)[:limit]
        assert [self.model.pop(item) for item in due] == expected

    @precondition(lambda self: self.model)
    @rule(times=st.integers(1, 400))
    def replace_one_date_over_and_over(self, times):
        item = next(iter(self.model))
        for _ in range(times):
            self.calendar.set(item, self.model[item])

    @invariant()
    def the_next_date_is_the_earliest(self):
        assert self.calendar.next_at() == min(self.model.values(), default=inf)

    @invariant()
    def stale_entries_do_not_pile_up(self):
        assert len(self.calendar._heap) <= 4 * 10 + 65


TestCalendarBesideADict = CalendarBesideADict.TestCase


def test_the_oldest_date_comes_first_and_equal_ones_in_the_order_they_were_set():
    calendar: Calendar[str] = Calendar()
    for item, at in (("late", 3.0), ("b", 1.0), ("a", 1.0), ("early", 0.5)):
        calendar.set(item, at)
    assert calendar.due(2.0, 10) == ["early", "b", "a"]
    assert calendar.due(2.0, 10) == []


@given(st.lists(st.floats(0.01, 100), max_size=50), st.floats(0, 1e6))
def test_first_checks_are_spread_over_each_ones_interval(intervals, now):
    dates = first_checks(intervals, now)
    assert len(dates) == len(intervals)
    assert all(now <= at <= now + interval for at, interval in zip(dates, intervals, strict=True))


def test_two_thousand_servers_start_one_by_one():
    dates = first_checks([2.0] * 2000, 10.0)
    assert dates[0] == 10.0
    assert all(b - a == pytest.approx(0.001) for a, b in pairwise(dates))
    assert dates[-1] < 12.0


@given(st.floats(0, 1e6), st.floats(0.01, 100), st.floats(0, 1))
def test_the_next_check_is_an_interval_after_the_end_of_the_last_or_a_little_earlier(ended, interval, chance):
    at = next_check(ended, interval, chance)
    assert ended + interval * (1 - SPREAD) <= at + 1e-6
    assert at <= ended + interval


@given(st.floats(0, 1e6))
def test_waking_is_never_early_and_at_most_a_tick_late(at):
    assert at <= wake_at(at) <= at + TICK + 1e-6


def test_nothing_due_is_nothing_to_wake_for():
    assert wake_at(inf) == inf
