"""Announcements one after another instead of in a burst: `garp_interval` and `gna_interval`.

Some switches drop neighbour packets that come too fast.  Law: what waits is bounded by
one burst, however often another is ordered, and every address has its turn.
"""

from __future__ import annotations

from math import inf

from hapair.config.model import Vip


class Pacing:
    """What is still to be announced, and when.  Times and intervals are seconds."""

    def __init__(self) -> None:
        self._left: dict[Vip, int] = {}
        self._free_at = -inf
        self.due = inf
        """When `take` has something; `inf` for never."""

    def order(self, vips: tuple[Vip, ...], count: int, now: float) -> None:
        """Let each of these be announced `count` times, counting what it still has to come."""
        for vip in vips:
            self._left[vip] = max(count, self._left.get(vip, 0))
        if self._left:
            self.due = max(now, self._free_at)

    def take(self, now: float, garp_interval: float, gna_interval: float) -> tuple[Vip, ...]:
        """Return what must be announced now: everything up to the next one that has to wait."""
        taken: list[Vip] = []
        while self._left and self._free_at <= now:
            vip = next(iter(self._left))
            times = self._left.pop(vip) - 1
            if times > 0:
                self._left[vip] = times  # at the end: the others first
            taken.append(vip)
            self._free_at = now + (garp_interval if vip.version == 4 else gna_interval)
        self.due = self._free_at if self._left else inf
        return tuple(taken)

    def clear(self) -> None:
        """Forget it all: we are not MASTER any more."""
        self._left.clear()
        self.due = inf
