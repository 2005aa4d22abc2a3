"""Log sampling: of each `size` lines those whose places are in the ranges (HAProxy's `sample 1-3,7:10`)."""

from __future__ import annotations

import re

_RANGES = re.compile(r"([0-9-]+(?:,[0-9-]+)*):([0-9]+)")


class Sample:
    """Which lines a target gets."""

    def __init__(self, text: str) -> None:
        """`text` was checked when the configuration was read."""
        found = _RANGES.fullmatch(text)
        assert found is not None
        self._size = int(found[2])
        self._chosen: set[int] = set()
        for one in found[1].split(","):
            low, _, high = one.partition("-")
            self._chosen.update(range(int(low), int(high or low) + 1))
        self._count = 0

    def picks(self) -> bool:
        """Is the next line one of them?"""
        self._count = self._count % self._size + 1
        return self._count in self._chosen
