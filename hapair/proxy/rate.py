"""How often something happens, estimated as HAProxy's frequency counters do.

What happened in this second counts whole, what happened in the one before as
far as it is less than a second ago, taken as evenly spread.
"""

from __future__ import annotations


class Rate:
    """Events, or bytes, each second."""

    __slots__ = ("_before", "_count", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._before = 0

    def add(self, now: float, count: int = 1) -> None:
        """So many more happened."""
        self._turn(now)
        self._count += count

    def over(self, limit: int, now: float) -> bool:
        """Are there more than `limit` a second now?"""
        self._turn(now)
        return self._count + self._before * (self._second + 1 - now) > limit

    def wait(self, limit: int, now: float) -> float:
        """Seconds until one more keeps within `limit` (at least 1) a second; 0 for at once."""
        self._turn(now)
        second_left = self._second + 1 - now
        room = limit - 1 - self._count
        if room < 0:
            return second_left
        if self._before * second_left <= room:
            return 0.0
        return second_left - room / self._before

    def _turn(self, now: float) -> None:
        second = int(now)
        if second != self._second:
            self._before = self._count if second == self._second + 1 else 0
            self._count = 0
            self._second = second
