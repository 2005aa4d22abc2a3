"""A log target that is a file: `file:/var/log/hapair/access.log`.

Rotated by moving it away: within a second we go on in a fresh one, so that no
signal is needed and each worker sees to its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hapair.kernel.append_file import AppendFile

LOOK: Final = 1.0
"""Seconds after which we look whether it was moved away."""


class LogFile:
    """Where a `StreamTarget` writes."""

    def __init__(self, path: str, user: str | None, clock: Callable[[], float]) -> None:
        """Open it.

        Raises:
            StartError: it cannot be opened.
        """
        self._file = AppendFile(path, user, "node.log")
        self._clock = clock
        self._looked = clock()

    def write(self, data: bytes) -> int:
        """Append; returns how much was taken.

        Raises:
            OSError: the disk is full, or worse.
        """
        now = self._clock()
        if not 0 <= now - self._looked < LOOK:
            self._looked = now
            if self._file.moved:
                with suppress(OSError):  # its directory may be full or gone: the old one still takes lines
                    self._file.reopen()
        return self._file.append(data)

    def close(self) -> None:
        """Give the descriptors back."""
        self._file.close()
