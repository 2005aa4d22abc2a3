"""HAProxy's static map of servers: static-rr walks through it, map-based hashing looks into it.  Hot.

The map has a place for each unit of weight (weights divided by what they have
in common).  Places are given out one by one: every server's score grows by its
weight; the highest `(score + total) / total`, a whole number, gets the place
and pays the total; the first server wins ties.

Law: a change of the map is a change of most placements; nobody is avoided by a
hash, and a full server keeps its clients waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.balance.balancer import NO_KEY, SCALE, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class ServerMap(Balancer):
    """Picks server indexes."""

    def __init__(self, weights: Sequence[int], unit: int, *, hashes: bool, turns_alone: bool = True) -> None:
        """`unit` is what all weights, also of servers that are out, have in common.

        `turns_alone`: the turn moves on even while there is just one server, as HAProxy has it.
        """
        self.dynamic = False
        self.counts = False
        self.defers = not hashes
        self.insists = hashes
        self._unit = SCALE * (unit or 1)
        self._weights = [weight * SCALE for weight in weights]
        self._places: list[int] = []
        self._turns_alone = turns_alone
        self._only = -1
        """The server that is left when there is just one; nobody's turn moves then."""
        self._next = 0
        """The place whose turn it is."""
        self._stale = True
        """A weight has changed since the map was made."""

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the next server, or -1."""
        if self._stale:
            self._make()
        places = self._places
        count = len(places)
        if not count:
            return -1
        if key >= 0:
            return places[key % count]
        if self._only >= 0 and not self._turns_alone:
            return self._only
        start = self._next if self._next < count else 0
        avoided = avoided_next = -1
        at = start
        while True:
            index = places[at]
            at += 1
            if full is None or not full(index):
                if index != avoid:
                    # Perhaps behind the last place: a map that is longer by then goes on there.
                    self._next = at
                    return index
                avoided, avoided_next = index, at
            if at == count:
                at = 0
            if at == start:
                break
        if avoided >= 0:
            self._next = avoided_next
        return avoided

    def set_share(self, index: int, share: int) -> None:
        """Change a weight."""
        if self._weights[index] != share:
            self._weights[index] = share
            self._stale = True

    def _make(self) -> None:
        self._stale = False
        unit = self._unit
        weights = [(weight + unit - 1) // unit for weight in self._weights]
        present = [index for index, weight in enumerate(weights) if weight]
        self._only = present[0] if len(present) == 1 else -1
        total = sum(weights)
        scores = [0] * len(weights)
        places = []
        for _ in range(total):
            best, most = -1, -1
            for index in present:
                score = scores[index] + weights[index]
                scores[index] = score
                rank = (score + total) // total
                if rank > most:
                    best, most = index, rank
            scores[best] -= total
            places.append(best)
        self._places = places
