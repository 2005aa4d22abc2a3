"""HAProxy's dynamic-weight round robin, in its exact order.

Weights are served in turns.  Within a turn every server has a next position;
the smallest that has come up is taken, its successor lies a turn's total weight
divided by its own weight further on, remainders carried.  Servers wait in three
sorted queues: `current` by position, `fresh` (not yet seen in this turn) and
`later` (their position lies in the next turn) by weight, heaviest first.  Servers
that are found saturated or to be avoided go back to their place.

Observed order (2.6 and 3.5): weights 5 1 1 give aaabaac, 1 2 3 give cbcacb.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence

_SCALE = 16
"""Weights are kept in sixteenths, so that a slow start can use fractions of a small weight."""
_HEAVIEST = 256 * _SCALE
_RANGE = 257

_Entry = tuple[int, int, int]
"""(sort key, order of arrival, server index)."""


class RoundRobin:
    """Picks server indexes; hot."""

    def __init__(self, weights: Sequence[int]) -> None:
        count = len(weights)
        self._weights = [0] * count
        self._position = [0] * count
        self._remainder = [0] * count
        self._tree: list[list[_Entry] | None] = [None] * count
        """The queue in which each server waits."""
        self._entry: list[_Entry] = [(0, 0, 0)] * count
        self._arrivals = 0
        self._current: list[_Entry] = []
        self._fresh: list[_Entry] = []
        self._later: list[_Entry] = []
        self._turn = 0
        """Total weight of the running turn."""
        self._total = 0
        """Total weight of the next one."""
        self._now = 0
        """Position reached in this turn."""
        for index, weight in enumerate(weights):
            self._weights[index] = weight * _SCALE
            self._total += weight * _SCALE
        self._turn = self._total
        for index in range(count):
            if self._weights[index]:
                self._enqueue_by_weight(self._fresh, index)

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None) -> int:
        """Return the next server, or -1.

        `full` says which servers cannot take one more; `avoid` is taken only when there is no other.
        """
        put_back: list[int] = []
        avoided = -1
        switched = False
        found = -1
        while True:
            index = self._first()
            if index < 0:
                if switched or not self._total:
                    found = avoided
                    break
                switched = True
                self._fresh, self._later = self._later, self._fresh
                self._turn = self._total
                self._now = self._turn
                continue
            self._advance(index)
            if full is None or not full(index):
                if index != avoid or avoided >= 0:
                    found = index
                    break
                avoided = index
            put_back.append(index)
        if found >= 0:
            self._enqueue(found)
        for index in reversed(put_back):
            if index != found:
                if switched:
                    self._enqueue_by_weight(self._fresh, index)
                else:
                    self._enqueue(index)
        return found

    def set_weight(self, index: int, weight: int) -> None:
        """Change a weight, 0..256; 0 takes the server out until it is given one again."""
        old, new = self._weights[index], weight * _SCALE
        if old == new:
            return
        tree = self._tree[index]
        self._weights[index] = new
        self._total += new - old
        if not old:
            self._remainder[index] = 0
            if self._total == new:
                self._turn, self._now = new, 0
                self._enqueue_by_weight(self._fresh, index)
            else:
                self._enqueue_by_weight(self._later, index)
            return
        if tree is not None:
            tree.remove(self._entry[index])
            self._tree[index] = None
        if not new:
            return
        if tree is self._current:
            self._enqueue(index)
        else:
            self._enqueue_by_weight(tree if tree is not None else self._fresh, index)

    def _first(self) -> int:
        """Take the server whose position has come, else one not seen in this turn, else the nearest."""
        current = self._current
        if current and self._position[current[0][2]] <= self._now:
            return self._take(current)
        if self._fresh:
            index = self._take(self._fresh)
            self._position[index] = self._remainder[index] = 0
            return index
        return self._take(current) if current else -1

    def _take(self, tree: list[_Entry]) -> int:
        index = tree.pop(0)[2]
        self._tree[index] = None
        return index

    def _advance(self, index: int) -> None:
        weight = self._weights[index]
        steps, self._remainder[index] = divmod(self._turn + self._remainder[index], weight)
        self._position[index] = (self._position[index] or self._now) + steps
        self._now += 1

    def _enqueue(self, index: int) -> None:
        position = self._position[index]
        if position >= 2 * self._turn or position >= self._turn + self._total:
            self._position[index] = position - self._turn
            self._enqueue_by_weight(self._later, index)
        else:
            lightness = (_HEAVIEST + self._remainder[index] - self._weights[index]) // _SCALE
            self._insert(self._current, _RANGE * position + lightness, index)

    def _enqueue_by_weight(self, tree: list[_Entry], index: int) -> None:
        self._insert(tree, _HEAVIEST - self._weights[index], index)

    def _insert(self, tree: list[_Entry], key: int, index: int) -> None:
        self._arrivals += 1
        entry = (key, self._arrivals, index)
        self._entry[index] = entry
        self._tree[index] = tree
        insort(tree, entry)
