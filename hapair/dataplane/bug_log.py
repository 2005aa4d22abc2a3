"""Bugs of the data plane in the log, so seldom that a client who found one cannot fill it.

Pure of clocks: time is an argument.
"""

from __future__ import annotations

import logging
from math import inf

logger = logging.getLogger("hapair.dataplane")

EVERY = 10.0
"""Seconds between two tracebacks; those between them are counted."""


class BugLog:
    """What is told of exceptions that cost one connection each."""

    def __init__(self) -> None:
        self._told_at = -inf
        self._untold = 0

    def tell(self, error: Exception, now: float) -> None:
        """One more at monotonic `now`."""
        if now - self._told_at < EVERY:
            self._untold += 1
            return
        untold, self._untold, self._told_at = self._untold, 0, now
        others = f" ({untold} more since the last one told)" if untold else ""
        logger.error("bug in the data plane, one connection is closed%s", others, exc_info=error)
