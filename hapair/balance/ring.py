"""HAProxy's consistent hashing, with bounded loads.  Hot.

Each server has a node on a ring of 32 bits for each sixteenth of its weight, at
`full_hash(id * 4096 + n)`.  A key belongs to the nearest node, the one before it
wins ties.  Law: placement depends on the servers' ids and weights alone, so two
balancers, of whatever make, agree; who comes or goes moves only its own keys.

Requests without a key walk along the ring; where only one server is left most do not.

Bounded (`hash-balance-factor`, percent): a server that has its share of the
load, rounded up, passes the key on along the ring.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from hapair.balance.balancer import HEAVIEST, NO_KEY, SCALE, Balancer
from hapair.hashes import avalanche

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INDEX_BITS: Final = 16
_INDEX: Final = (1 << _INDEX_BITS) - 1


class Ring(Balancer):
    """Picks server indexes."""

    def __init__(
        self, ids: Sequence[int], weights: Sequence[int], factor: int = 0, *, turns_alone: bool = False
    ) -> None:
        """`turns_alone`: the walk goes on even while there is just one server (HAProxy's url_param)."""
        self.dynamic = True
        self.counts = factor > 0
        self.defers = False
        self.insists = True
        self._ids = list(ids)
        self._factor = factor
        self._weights = [0] * len(weights)
        self._total = 0
        self._served = [0] * len(weights)
        self._all_served = 0
        self._places: list[list[int]] = [[] for _ in weights]
        """For each server its nodes, as many as it ever had; a place above an index."""
        self._nodes: list[int] = []
        """Those that count now, in order around the ring."""
        self._before = [0] * len(weights)
        """The weight of all servers before each."""
        self._turns_alone = turns_alone
        self._only = -1
        """The server that is left when there is just one."""
        self._last = -1
        """The node that the round robin for requests without a key has reached."""
        for index, weight in enumerate(weights):
            self._weights[index] = weight * SCALE
        self._lay_out()

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the server that the key belongs to, or -1; without a key the next on the ring that can."""
        if not self._nodes:
            return -1
        if self._only >= 0 and not self._turns_alone:
            return self._only
        if key < 0:
            return self._walk(avoid, full)
        return self.belongs(key, avoid)

    def belongs(self, key: int, avoid: int) -> int:
        """The server of the nearest node, or who follows when that is to be avoided or has its share."""
        nodes = self._nodes
        count = len(nodes)
        at = bisect_left(nodes, key << _INDEX_BITS)
        following = at if at < count else 0
        before = following - 1 if following else count - 1
        # Around the ring: what counts is the difference in 32 bits.
        back = (key - (nodes[before] >> _INDEX_BITS)) & 0xFFFFFFFF
        ahead = ((nodes[following] >> _INDEX_BITS) - key) & 0xFFFFFFFF
        at = before if back <= ahead else following
        index = nodes[at] & _INDEX
        if index != avoid and not self._factor:
            return index
        for _ in range(count):
            if index != avoid and (not self._factor or self._has_room(index)):
                return index
            at = at + 1 if at + 1 < count else 0
            index = nodes[at] & _INDEX
        return index

    def _walk(self, avoid: int, full: Callable[[int], bool] | None) -> int:
        nodes = self._nodes
        count = len(nodes)
        at = bisect_right(nodes, self._last)
        avoided, avoided_node = -1, -1
        for _ in range(count):
            if at >= count:
                at = 0
            node = nodes[at]
            at += 1
            index = node & _INDEX
            if full is not None and full(index):
                continue
            if index != avoid:
                self._last = node
                return index
            avoided, avoided_node = index, node
        if avoided >= 0:
            self._last = avoided_node
        return avoided

    def _has_room(self, index: int) -> bool:
        """May it take one more within its share of the load, this request included?"""
        total, weight = self._total, self._weights[index]
        slots = ((self._all_served + 1) * self._factor + 99) // 100
        each, rest = divmod(slots, total)
        before = self._before[index]
        own = weight * each + (before + weight) * rest // total - before * rest // total
        return self._served[index] < max(1, own)

    def set_share(self, index: int, share: int) -> None:
        """Change a weight."""
        if self._weights[index] == share:
            return
        gone = self._last in self._places[index][share:]
        self._weights[index] = share
        self._lay_out()
        if gone:
            # HAProxy steps on, so that the node which would have been next is left out.
            after = bisect_left(self._nodes, self._last)
            self._last = self._nodes[after] if after < len(self._nodes) else -1

    def set_load(self, index: int, served: int, queued: int) -> None:
        """What a server carries now."""
        del queued
        self._all_served += served - self._served[index]
        self._served[index] = served

    def _lay_out(self) -> None:
        nodes: list[int] = []
        total = 0
        for index, weight in enumerate(self._weights):
            self._before[index] = total
            total += weight
            places = self._places[index]
            first = self._ids[index] * HEAVIEST
            for node in range(len(places), weight):
                places.append(avalanche((first + node) & 0xFFFFFFFF) << _INDEX_BITS | index)
            nodes += places[:weight]
        nodes.sort()
        usable = [index for index, weight in enumerate(self._weights) if weight]
        self._only = usable[0] if len(usable) == 1 else -1
        self._nodes = nodes
        self._total = total
