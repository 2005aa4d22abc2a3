"""Deadlines of many endpoints in a wheel of short ticks.

Hot: nearly every event moves a deadline, and nearly no deadline is ever
reached.  So moving one later only stores it; the timer is looked at again when
its old place in the wheel comes round.  That place outlives a closed endpoint,
which is why the wheel holds small timers and not the endpoints themselves.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

TICK: Final = 0.01
"""Seconds; how late a time-out may be."""


class Timed(Protocol):
    """Who is told."""

    def on_deadline(self, now: float) -> None: ...


class Timer:
    """One endpoint's deadline."""

    __slots__ = ("deadline", "owner", "wheel_at")

    def __init__(self, owner: Timed) -> None:
        self.owner: Timed | None = owner
        self.deadline = inf
        self.wheel_at = inf
        """When the wheel looks at it next; `inf` when it is not in the wheel."""

    def cancel(self) -> None:
        """The owner is gone."""
        self.owner = None
        self.deadline = inf


class Wheel:
    """Calls `on_deadline` of owners whose deadline has passed."""

    __slots__ = ("_heap", "_on_bug", "_slots")

    def __init__(self, on_bug: Callable[[Any, Exception], None]) -> None:
        self._on_bug = on_bug
        """Told of an exception in an owner: it costs that owner, not those behind it."""
        self._slots: dict[int, list[Timer]] = {}
        self._heap: list[int] = []

    def arm(self, timer: Timer, deadline: float) -> None:
        """Set the deadline; `inf` disarms."""
        timer.deadline = deadline
        if deadline < timer.wheel_at:
            self._insert(timer, deadline)

    def _insert(self, timer: Timer, at: float) -> None:
        timer.wheel_at = at
        tick = int(at / TICK) + 1
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = [timer]
            heappush(self._heap, tick)
        else:
            slot.append(timer)

    def expire(self, now: float) -> None:
        """Deliver every deadline that has passed."""
        heap = self._heap
        current = int(now / TICK)
        while heap and heap[0] <= current:
            for timer in self._slots.pop(heappop(heap)):
                if timer.wheel_at > now:
                    # It was put in again, for an earlier time that has passed, and then for a later one.
                    continue
                timer.wheel_at = inf
                if timer.deadline <= now:
                    timer.deadline = inf
                    owner = timer.owner
                    if owner is not None:
                        try:
                            owner.on_deadline(now)
                        except Exception as error:  # noqa: BLE001 - the fence around one connection
                            self._on_bug(owner, error)
                elif timer.deadline != inf:
                    self._insert(timer, timer.deadline)

    def next_at(self) -> float:
        """When `expire` should be called next; `inf` for never."""
        return self._heap[0] * TICK if self._heap else inf
