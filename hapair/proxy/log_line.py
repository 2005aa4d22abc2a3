"""httplog and tcplog lines, field by field as HAProxy writes them.

`-1` is a phase that was never reached.  Whatever a client wrote is escaped
(`#XX`), so that no request can forge a line.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Final

_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Dates:
    """Wall-clock stamps from monotonic times; the text of a second is made once."""

    __slots__ = ("_millisecond", "_second", "_stamp", "_text", "offset")

    def __init__(self, offset: float) -> None:
        self.offset = offset
        """Seconds to add to a monotonic time to get Unix time; the shell keeps it right."""
        self._second = -1
        self._text = b""
        self._millisecond = -1
        self._stamp = b""
        """That of `_millisecond`: many lines are written in one."""

    def stamp(self, at: float) -> bytes:
        """`23/Nov/2026:19:58:11.276`, local time."""
        wall = at + self.offset
        second = int(wall)
        millisecond = int((wall - second) * 1000)
        if second != self._second:
            local = datetime.fromtimestamp(second, UTC).astimezone()
            self._text = f"{local.day:02}/{_MONTHS[local.month - 1]}/{local.year}:{local:%H:%M:%S}".encode()
            self._second = second
        elif millisecond == self._millisecond:
            return self._stamp
        self._millisecond = millisecond
        self._stamp = b"%b.%03d" % (self._text, millisecond)
        return self._stamp


def milliseconds(start: float, end: float) -> int:
    """Rounded down; -1 when the phase did not happen (`inf`)."""
    return int((end - start) * 1000) if start != inf and end != inf else -1
