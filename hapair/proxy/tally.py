"""What several workers count together: each writes a row of its own, and reads the others'.

Hot.  No locks: a cell has one writer, and the kernel's shared pages carry an aligned
64-bit number whole.  Two workers that look at the same instant may both find the last
place free: a limit is overrun by at most one for each other worker.
"""

from __future__ import annotations

from typing import Final

WIDTH: Final = 32
"""Cells of an entry: 256 bytes, so that no cache line has two writers.  The first is what runs now."""
CELL: Final = 8
"""Bytes."""


class Tally:
    """One worker's place at the table; `rows` are those of all workers, in their order."""

    def __init__(self, rows: list[memoryview], own: int) -> None:
        self.own = rows[own]
        self.others = [row for index, row in enumerate(rows) if index != own]

    def part(self, limit: int) -> int:
        """This worker's part of a rate, which would be too fast for looking at the others: rounded up."""
        workers = len(self.others) + 1
        return (limit + workers - 1) // workers

    def note(self, entry: int, current: int) -> None:
        """Say what runs here now; a negative entry is nobody's any more."""
        if entry >= 0:
            self.own[entry * WIDTH] = current

    def elsewhere(self, entry: int) -> int:
        """What runs in the other workers."""
        found = 0
        if entry >= 0:
            place = entry * WIDTH
            for row in self.others:
                found += row[place]
        return found
