"""When to check what: one calendar for everything that health waits for, as values.

An entry is a server whose next check is due or whose probe runs out of time,
never both: a target that hangs costs its own slot and nobody else's.  Time and
chance are arguments.

Hot: two entries are made for each check, and most are replaced before they
come due.  So an entry is never searched for; a stale one is recognised when
its time comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from math import ceil, inf
from typing import Generic, TypeVar

TICK = 0.01
"""Seconds; how late a check or a time-out may be.  What falls into one tick costs one wake-up."""
SPREAD = 0.03
"""Part of an interval by which a check may come early, so that what once fell together drifts apart."""

_SLACK = 64

Item = TypeVar("Item")


class Calendar(Generic[Item]):
    """Items and when they are due; an item has one date at most."""

    __slots__ = ("_dates", "_heap", "_order")

    def __init__(self) -> None:
        self._dates: dict[Item, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Item]] = []
        self._order = 0

    def set(self, item: Item, at: float) -> None:
        """Make `item` due at `at`, instead of any earlier plan."""
        self._order += 1
        self._dates[item] = (at, self._order)
        heappush(self._heap, (at, self._order, item))
        if len(self._heap) > 4 * len(self._dates) + _SLACK:
            self._heap = [(*date, item) for item, date in self._dates.items()]
            heapify(self._heap)

    def at(self, item: Item) -> float:
        """When `item` is due; `inf` for never."""
        return self._dates.get(item, (inf, 0))[0]

    def drop(self, item: Item) -> None:
        """Forget `item`."""
        self._dates.pop(item, None)

    def due(self, now: float, limit: int) -> list[Item]:
        """Take out what is due, the oldest first, `limit` at most."""
        found: list[Item] = []
        heap, dates = self._heap, self._dates
        while heap and heap[0][0] <= now and len(found) < limit:
            at, order, item = heappop(heap)
            if dates.get(item) == (at, order):
                del dates[item]
                found.append(item)
        return found

    def next_at(self) -> float:
        """When `due` will find something; `inf` for never."""
        heap, dates = self._heap, self._dates
        while heap:
            at, order, item = heap[0]
            if dates.get(item) == (at, order):
                return at
            heappop(heap)
        return inf


def first_checks(intervals: Sequence[float], now: float) -> list[float]:
    """When to check for the first time: spread over the interval, so that a start is no stampede."""
    return [now + interval * index / len(intervals) for index, interval in enumerate(intervals)]


def next_check(ended: float, interval: float, chance: float, spread: float = SPREAD) -> float:
    """When to check again; `chance` is in 0..1, `spread` the part by which it may come early.

    Counted from the end of the last check, as HAProxy does: a server that answers
    slowly is asked less often, and a time-out is not followed by the next probe at once.
    """
    return ended + interval * (1 - spread * chance)


def wake_at(at: float) -> float:
    """The end of the tick in which `at` falls."""
    return at if at == inf else max(at, ceil(at / TICK) * TICK)
