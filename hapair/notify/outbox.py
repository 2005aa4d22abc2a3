"""What waits to be told: bounded, in order, one at a time.

Law: `put` never waits.  When too much waits the oldest is left out, so that the
newest, which says how things are now, is always told.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, NoReturn, TypeVar

import trio

T = TypeVar("T")

logger = logging.getLogger("hapair.notify")


class Outbox(Generic[T]):
    """A queue before something slow; `name` is for the log."""

    def __init__(self, name: str, limit: int, deliver: Callable[[T], Awaitable[None]]) -> None:
        self._name = name
        self._limit = limit
        self._deliver = deliver
        self._waiting: deque[T] = deque()
        self._busy = False
        self._changed = trio.lowlevel.ParkingLot()
        self.lost = 0
        """Left out so far."""

    def put(self, item: T) -> None:
        """Have `item` told after all that waits."""
        if len(self._waiting) == self._limit:
            self._waiting.popleft()
            self.lost += 1
            logger.warning("%s: too many wait, the oldest is left out (%d so far)", self._name, self.lost)
        self._waiting.append(item)
        self._changed.unpark_all()

    async def run(self) -> NoReturn:
        """Tell one after the other until cancelled."""
        while True:
            while not self._waiting:
                self._changed.unpark_all()
                await self._changed.park()
            self._busy = True
            try:
                await self._deliver(self._waiting.popleft())
            finally:
                self._busy = False

    async def idle(self) -> None:
        """Wait until everything is told."""
        while self._waiting or self._busy:
            await self._changed.park()
