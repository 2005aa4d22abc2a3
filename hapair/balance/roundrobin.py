"""HAProxy's dynamic-weight round robin, in its exact order.  Hot.

Servers are served in turns.  A turn is as long as the total weight; each server
has a next position in it and the smallest that has come up is taken; its
successor lies total/weight further on, remainders carried.  Servers wait in
three queues: `current` by position, `fresh` (not yet seen in this turn) and
`later` (their position lies beyond this turn), both heaviest first, first come
first served among equals.  When the first two are empty, `later` becomes
`fresh` and the next turn begins.

Law: the same calls give the same order as HAProxy 2.6 gives, also when servers
go down, come up, change weight, are full or must be avoided (golden orders in
tests/balance are recorded from it).  Observed: weights 5 1 1 give aaabaac,
1 2 3 give cbcacb; plain smooth round robin does not.

Queue entries are plain integers, sort key above server index, because a
comparison of integers is the cheapest there is: `bisect` with every bit of the
index set finds the place behind all equal keys.
"""

from __future__ import annotations

from bisect import bisect
from typing import TYPE_CHECKING, Final

from hapair.balance.balancer import HEAVIEST, NO_KEY, SCALE, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INDEX_BITS: Final = 16
_INDEX: Final = (1 << _INDEX_BITS) - 1
_KEY: Final = 256 << _INDEX_BITS
"""Of one position; below it, 256 degrees of lightness decide among servers of the same position."""


class RoundRobin(Balancer):
    """Picks server indexes."""

    def __init__(self, weights: Sequence[int]) -> None:
        count = len(weights)
        self._weights = [weight * SCALE for weight in weights]
        self._next = [0] * count
        """Position at which each server is due; 0 while it has none in this turn."""
        self._last = [0] * count
        """Position at which it was served last."""
        self._remainder = [0] * count
        self._total = sum(self._weights)
        self._turn = self._total
        """Total weight when this turn began: its length."""
        self._now = self._turn
        """Position reached in this turn."""
        self._steps = [(0, 0)] * count
        """For each server: what total/weight gives, and what it leaves."""
        self._current: list[int] = []
        self._fresh: list[int] = []
        self._later: list[int] = []
        self._measure()
        for index, weight in enumerate(self._weights):
            if weight:
                self._insert_by_weight(self._fresh, index)

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the next server, or -1."""
        del key
        if avoid >= 0 or full is not None:
            return self._pick_among(avoid, full)
        index = self._pop()
        if index < 0:
            if not self._total:
                return -1
            self._begin_turn()
            index = self._pop()
        self._insert(index)
        return index

    def set_share(self, index: int, share: int) -> None:
        """Change a weight; what was owed is carried on."""
        old, new = self._weights[index], share
        if old == new:
            return
        self._weights[index] = new
        self._total += new - old
        self._measure()
        if not old:
            # Due after its share of what is left until the end of the next turn; what it owed is kept.
            left = self._total + self._turn - self._now
            self._next[index] = self._now + left // new
            self._insert(index)
            return
        tree = self._remove(index)
        if not new:
            return
        if tree is self._fresh:
            self._insert_by_weight(tree, index)
            return
        if tree is self._later:
            self._next[index] += self._turn
        step = self._total // new
        # Due earlier when it became heavier, never later than it was, never in the past.
        due = min(self._last[index] + step, self._next[index])
        if due < self._now + 2:
            due = self._now + step
        self._next[index] = due
        self._remainder[index] = 0
        self._insert(index)

    def _pick_among(self, avoid: int, full: Callable[[int], bool] | None) -> int:
        """`pick` when not every server will do: those passed over consume their place."""
        if not self._total:
            return -1
        passed: list[int] = []
        avoided = -1
        switched = False
        while True:
            index = self._pop()
            if index < 0:
                if switched:
                    index = avoided
                    break
                switched = True
                self._begin_turn()
                continue
            if full is None or not full(index):
                if index != avoid or avoided >= 0:
                    break
                avoided = index
            passed.append(index)
        if index >= 0:
            self._insert(index)
        for other in reversed(passed):
            if other == index:
                continue
            if switched:
                # Its place belongs to the turn before: only its weight counts now.
                self._insert_by_weight(self._fresh, other)
            else:
                self._insert(other)
        return index

    def _pop(self) -> int:
        """Take out the server whose position has come, else one not seen in this turn, else the nearest."""
        current = self._current
        index = -1
        if current:
            index = current[0] & _INDEX
            position = self._next[index]
            if position > self._now and self._fresh:
                index = -1
        if index >= 0:
            current.pop(0)
        elif self._fresh:
            index = self._fresh.pop(0) & _INDEX
            position = self._now
            self._remainder[index] = 0
        else:
            return -1
        step, rest = self._steps[index]
        self._last[index] = position
        self._next[index] = position + step
        rest += self._remainder[index]
        if rest:
            weight = self._weights[index]
            if rest >= weight:  # also what is left of a greater weight, one by one
                rest -= weight
                self._next[index] += 1
            self._remainder[index] = rest
        self._now += 1
        return index

    def _begin_turn(self) -> None:
        self._fresh, self._later = self._later, self._fresh
        self._turn = self._now = self._total

    def _insert(self, index: int) -> None:
        position = self._next[index]
        turn = self._turn
        if position >= 2 * turn or position >= turn + self._total:
            self._next[index] = position - turn
            self._insert_by_weight(self._later, index)
            return
        lightness = (HEAVIEST + self._remainder[index] - self._weights[index]) // SCALE
        key = position * _KEY + (lightness << _INDEX_BITS)
        current = self._current
        if not current or current[-1] <= key | _INDEX:
            current.append(key | index)
        else:
            current.insert(bisect(current, key | _INDEX), key | index)

    def _insert_by_weight(self, tree: list[int], index: int) -> None:
        key = (HEAVIEST - self._weights[index]) << _INDEX_BITS
        if not tree or tree[-1] <= key | _INDEX:
            tree.append(key | index)
        else:
            tree.insert(bisect(tree, key | _INDEX), key | index)

    def _remove(self, index: int) -> list[int]:
        """Take a server out of the queue in which it waits, and return that queue."""
        for tree in (self._current, self._fresh, self._later):
            for at, entry in enumerate(tree):
                if entry & _INDEX == index:
                    del tree[at]
                    return tree
        raise AssertionError(index)

    def _measure(self) -> None:
        total = self._total
        self._steps = [divmod(total, weight) if weight else (0, 0) for weight in self._weights]
