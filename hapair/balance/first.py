"""HAProxy's first: the server with the lowest id that has a free slot.  Hot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.balance.balancer import NO_KEY, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class First(Balancer):
    """Picks server indexes; of a weight only matters that there is one."""

    def __init__(self, ids: Sequence[int], weights: Sequence[int]) -> None:
        self.dynamic = True
        self.counts = False
        self.defers = True
        self.insists = False
        self._order = sorted(range(len(ids)), key=lambda index: ids[index])
        self._usable = [weight > 0 for weight in weights]

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the next server, or -1."""
        del key
        avoided = -1
        for index in self._order:
            if not self._usable[index] or (full is not None and full(index)):
                continue
            if index != avoid:
                return index
            avoided = index
        return avoided

    def set_share(self, index: int, share: int) -> None:
        """Change a weight."""
        self._usable[index] = share > 0
