"""What the balancing algorithms share.  Hot.

A balancer knows servers by index.  It is told their weights, and, where
`counts` says that it wants to know, what they carry; it never asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SCALE: Final = 16
"""Weights are kept in sixteenths, so that a slow start can use fractions of a small weight."""
HEAVIEST: Final = 256 * SCALE
NO_KEY: Final = -1
"""The request has nothing to hash."""


class Balancer:
    """Picks server indexes; each algorithm is a class of its own."""

    dynamic: bool = True
    """Weights may change at run time; otherwise a server has its whole weight or none."""
    counts: bool = False
    """It must be told what each server carries (`set_load`)."""
    defers: bool = True
    """It is not asked while requests wait in the backend: all servers are full then."""
    insists: bool = False
    """A full server may be picked: the request waits for that one."""

    def pick(
        self,
        avoid: int = -1,
        full: Callable[[int], bool] | None = None,
        key: int = NO_KEY,
    ) -> int:
        """Return the next server, or -1.

        `full` says which servers cannot take one more; `avoid` is taken only when
        there is no other; `key` is the 32-bit hash of what decides, or NO_KEY.
        """
        raise NotImplementedError

    def set_share(self, index: int, share: int) -> None:
        """Change a weight, in sixteenths; 0 takes the server out until it is given one again."""
        raise NotImplementedError

    def set_load(self, index: int, served: int, queued: int) -> None:
        """What a server carries now."""

    def set_weight(self, index: int, weight: int) -> None:
        """Change a weight, 0..256."""
        self.set_share(index, weight * SCALE)
