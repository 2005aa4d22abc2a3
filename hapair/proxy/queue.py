"""Sessions that wait for a slot, in HAProxy's order.  Hot.

The lower priority class goes first, then who is due first: the moment of
joining, moved by the session's offset; then who came first.  Joining, leaving
and taking the first cost O(log n): who leaves stays in the heap as a dead
entry, until it comes up or half of the heap is dead.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SLACK: Final = 32
"""Dead entries that are not worth a clean-up."""


class Queue:
    """Those who wait; each has `waiting_in`, `ticket`, `priority_class` and `due`."""

    __slots__ = ("_heap", "_last", "count")

    def __init__(self) -> None:
        self._heap: list[tuple[int, float, int, Any]] = []
        self._last = 0
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        """Who waits, in order."""
        return iter([entry[3] for entry in sorted(self._heap) if self._lives(entry[3], entry[2])])

    def join(self, session: Any) -> None:
        """Wait for a turn."""
        self._last += 1
        session.waiting_in = self
        session.ticket = self._last
        self.count += 1
        heappush(self._heap, (session.priority_class, session.due, self._last, session))

    def leave(self, session: Any) -> None:
        """Wait no longer."""
        session.waiting_in = None
        session.ticket = 0
        self.count -= 1
        if len(self._heap) > 2 * self.count + _SLACK:
            self._heap = [entry for entry in self._heap if self._lives(entry[3], entry[2])]
            heapify(self._heap)

    def pop(self) -> Any:
        """Take out the first; only when somebody waits."""
        self._clear_top()
        session = heappop(self._heap)[3]
        session.waiting_in = None
        session.ticket = 0
        self.count -= 1
        return session

    def precedes(self, other: Queue) -> bool:
        """Must our first go before theirs?  Only when somebody waits in both."""
        self._clear_top()
        other._clear_top()
        mine, theirs = self._heap[0], other._heap[0]
        return mine[0] < theirs[0] or (mine[0] == theirs[0] and mine[1] < theirs[1])

    def _clear_top(self) -> None:
        heap = self._heap
        while not self._lives(heap[0][3], heap[0][2]):
            heappop(heap)

    def _lives(self, session: Any, ticket: int) -> bool:
        return session.waiting_in is self and session.ticket == ticket
