"""httplog and tcplog lines, field by field as HAProxy writes them.

`-1` is a phase that was never reached.  Whatever a client wrote is escaped
(`#XX`), so that no request can forge a line.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import inf
from typing import Final

_UNSAFE: Final = re.compile(rb"[^\x21\x24-\x7e]")
_PLAIN: Final = bytes([0x20, 0x21, *range(0x24, 0x7F)])
"""What a request line is made of nearly always: nothing in it to escape."""
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Dates:
    """Wall-clock stamps from monotonic times; the text of a second is made once."""

    __slots__ = ("_second", "_stamp", "_text", "_wall", "offset")

    def __init__(self, offset: float) -> None:
        self.offset = offset
        """Seconds to add to a monotonic time to get Unix time; the shell keeps it right."""
        self._second = -1
        self._text = ""
        self._wall = -1.0
        self._stamp = ""
        """The last one: what came in one batch has one time."""

    def stamp(self, at: float) -> str:
        """`23/Nov/2026:19:58:11.276`, local time."""
        wall = at + self.offset
        if wall == self._wall:
            return self._stamp
        second = int(wall)
        if second != self._second:
            local = datetime.fromtimestamp(second, UTC).astimezone()
            self._text = f"{local.day:02}/{_MONTHS[local.month - 1]}/{local.year}:{local:%H:%M:%S}"
            self._second = second
        self._wall = wall
        self._stamp = f"{self._text}.{int((wall - second) * 1000):03}"
        return self._stamp


def escape(raw: bytes) -> str:
    """Text that is safe between double quotes in a log."""
    return _UNSAFE.sub(_hex, raw).decode("ascii")


def request_line(raw: bytes) -> str:
    """The request line as it is logged; its two separating spaces stay."""
    if not raw.translate(None, _PLAIN):
        return raw.decode("ascii")
    return " ".join(escape(part) for part in raw.split(b" "))


def milliseconds(start: float, end: float) -> int:
    """Rounded down; -1 when the phase did not happen (`inf`)."""
    return int((end - start) * 1000) if start != inf and end != inf else -1


def phases(
    begun: float, head: float, placed: float, assigned: float, connected: float, answered: float, now: float
) -> str:
    """`TR/Tw/Tc/Tr/Ta` of an httplog line."""
    if inf not in (head, placed, assigned, connected, answered):
        # As `milliseconds`, without five calls.
        return (
            f"{int((head - begun) * 1000)}/{int((assigned - placed) * 1000)}/"
            f"{int((connected - assigned) * 1000)}/{int((answered - connected) * 1000)}/"
            f"{int((now - begun) * 1000)}"
        )
    return (
        f"{milliseconds(begun, head)}/{milliseconds(placed, assigned)}/{milliseconds(assigned, connected)}/"
        f"{milliseconds(connected, answered)}/{milliseconds(begun, now)}"
    )


def _hex(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]
