"""Deadlines of many endpoints in a wheel of short ticks.

Hot: nearly every event moves a deadline, and nearly no deadline is ever
reached.  So moving one later only stores it; the endpoint is looked at again
when its old place in the wheel comes round.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import Protocol

TICK = 0.01
"""Seconds; how late a time-out may be."""


class Timed(Protocol):
    """What the wheel needs of an endpoint."""

    deadline: float
    wheel_at: float
    """When the wheel looks at it next; `inf` when it is not in the wheel."""

    def on_deadline(self, now: float) -> None: ...


class Wheel:
    """Calls `on_deadline` of endpoints whose `deadline` has passed."""

    __slots__ = ("_heap", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, list[Timed]] = {}
        self._heap: list[int] = []

    def arm(self, timed: Timed, deadline: float) -> None:
        """Set `deadline`; `inf` disarms."""
        timed.deadline = deadline
        if deadline < timed.wheel_at:
            self._insert(timed, deadline)

    def _insert(self, timed: Timed, at: float) -> None:
        timed.wheel_at = at
        tick = int(at / TICK) + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [timed]
            heappush(self._heap, tick)
        else:
            slot.append(timed)

    def expire(self, now: float) -> None:
        """Deliver every deadline that has passed."""
        heap = self._heap
        current = int(now / TICK)
        while heap and heap[0] <= current:
            for timed in self._slots.pop(heappop(heap)):
                if timed.wheel_at > now:
                    # It was put in again for an earlier time and is no longer due here.
                    continue
                timed.wheel_at = inf
                if timed.deadline <= now:
                    timed.deadline = inf
                    timed.on_deadline(now)
                elif timed.deadline != inf:
                    self._insert(timed, timed.deadline)

    def next_at(self) -> float:
        """When `expire` should be called next; `inf` for never."""
        return self._heap[0] * TICK if self._heap else inf
