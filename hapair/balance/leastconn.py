"""HAProxy's leastconn: who carries least for its weight is next, round robin among equals.  Hot.

A server's key is 0 while it is idle, else `(requests + 1) * 4096 / weight` with the
weight in sixteenths; what waits at the server counts, too.  Servers of the same
key stand in the order in which they came to it.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from typing import TYPE_CHECKING

from hapair.balance.balancer import HEAVIEST, NO_KEY, SCALE, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class LeastConn(Balancer):
    """Picks server indexes."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.dynamic = True
        self.counts = True
        self.defers = False
        self.insists = True
        self._weights = [weight * SCALE for weight in weights]
        self._carried = [0] * len(weights)
        self._arrivals = 0
        """Numbers the moves, to tell who came first to a key."""
        self._standing: list[tuple[int, int, int]] = []
        """(key, arrival, index) of servers with weight, in order."""
        self._entries: list[tuple[int, int, int] | None] = [None] * len(weights)
        for index in range(len(weights)):
            self._stand(index)

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the next server, or -1."""
        del key
        avoided = -1
        for entry in self._standing:
            index = entry[2]
            if full is not None and full(index):
                continue
            if index != avoid:
                return index
            avoided = index
        return avoided

    def set_share(self, index: int, share: int) -> None:
        """Change a weight."""
        if self._weights[index] == share:
            return
        self._weights[index] = share
        self._leave(index)
        self._stand(index)

    def set_load(self, index: int, served: int, queued: int) -> None:
        """What a server carries now; it moves behind those that carried as much before."""
        carried = served + queued
        if self._carried[index] == carried:
            return
        self._carried[index] = carried
        entry = self._entries[index]
        if entry is not None and entry[0] != self._key(index):
            self._leave(index)
            self._stand(index)

    def _key(self, index: int) -> int:
        carried = self._carried[index]
        return (carried + 1) * HEAVIEST // self._weights[index] if carried else 0

    def _leave(self, index: int) -> None:
        entry = self._entries[index]
        if entry is not None:
            del self._standing[bisect_left(self._standing, entry)]
            self._entries[index] = None

    def _stand(self, index: int) -> None:
        if not self._weights[index]:
            return
        self._arrivals += 1
        entry = (self._key(index), self._arrivals, index)
        self._entries[index] = entry
        self._standing.insert(bisect(self._standing, entry), entry)
