"""httplog and tcplog lines, field by field as HAProxy writes them.

`-1` is a phase that was never reached.  Whatever a client wrote is escaped
(`#XX`), so that no request can forge a line.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import inf

_UNSAFE = re.compile(rb"[^\x21\x24-\x7e]")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Dates:
    """Wall-clock stamps from monotonic times; the text of a second is made once."""

    __slots__ = ("_second", "_text", "offset")

    def __init__(self, offset: float) -> None:
        self.offset = offset
        """Seconds to add to a monotonic time to get Unix time; the shell keeps it right."""
        self._second = -1
        self._text = ""

    def stamp(self, at: float) -> str:
        """`23/Nov/2026:19:58:11.276`, local time."""
        wall = at + self.offset
        second = int(wall)
        if second != self._second:
            local = datetime.fromtimestamp(second, UTC).astimezone()
            self._text = f"{local.day:02}/{_MONTHS[local.month - 1]}/{local.year}:{local:%H:%M:%S}"
            self._second = second
        return f"{self._text}.{int((wall - second) * 1000):03}"


def escape(raw: bytes) -> str:
    """Text that is safe between double quotes in a log."""
    return _UNSAFE.sub(_hex, raw).decode("ascii")


def request_line(raw: bytes) -> str:
    """The request line as it is logged; its two separating spaces stay."""
    return " ".join(escape(part) for part in raw.split(b" "))


def milliseconds(start: float, end: float) -> int:
    """Rounded down; -1 when the phase did not happen (`inf`)."""
    return int((end - start) * 1000) if start != inf and end != inf else -1


def _hex(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]
