"""HAProxy's random(n): n servers by lot over the ring, the least loaded for its weight of them.  Hot.

When that one is full the request waits for whoever is free first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.balance.balancer import NO_KEY
from hapair.balance.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_KEYS: Final = 1 << 32


class Draws(Ring):
    """Picks server indexes; `chance` gives a number below its argument."""

    def __init__(
        self,
        ids: Sequence[int],
        weights: Sequence[int],
        factor: int,
        draws: int,
        chance: Callable[[int], int],
    ) -> None:
        super().__init__(ids, weights, factor)
        self.counts = True
        self.insists = False
        self._draws = draws
        self._chance = chance

    def pick(self, avoid: int = -1, full: Callable[[int], bool] | None = None, key: int = NO_KEY) -> int:
        """Return the next server, or -1."""
        del key
        if not self._nodes:
            return -1
        served, weights = self._served, self._weights
        best = self.belongs(self._chance(_KEYS), avoid)
        for _ in range(1, self._draws):
            other = self.belongs(self._chance(_KEYS), avoid)
            if other != best and served[other] * weights[best] <= served[best] * weights[other]:
                best = other
        return -1 if full is not None and full(best) else best
