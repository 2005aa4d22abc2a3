"""What a log line begins with: HAProxy's `log ... format`.

`<134>Nov 23 19:58:11 hapair[27174]: ` is `local`, RFC 3164 without a host name.  Hot: `Header.before`,
which makes a header once a second and severity; only the forms with microseconds make one for each line.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from hapair.config.model import LogHeader

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Syslog severities; a smaller number is more severe."""
FACILITIES: Final = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()
TAG: Final = "hapair"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PRECISE: Final = (LogHeader.RFC5424, LogHeader.TIMED, LogHeader.ISO)


class Header:
    """The headers of one target."""

    def __init__(
        self, form: LogHeader, facility: int, tag: str, host: str | None, clock: Callable[[], float]
    ) -> None:
        """`host` is None when it is not told; `clock` gives Unix time."""
        self._form = form
        self._precise = form in _PRECISE
        self._structured = form is LogHeader.RFC5424
        self._facility = facility
        self._tag = tag
        self._host = host
        self._clock = clock
        self._second = -1
        """The one whose headers are in `_made`, by severity."""
        self._made: list[bytes] = []
        self._rest = b""
        """What follows the microseconds."""

    def tagged(self, tag: str) -> Header:
        """The same headers with another tag."""
        return Header(self._form, self._facility, tag, self._host, self._clock)

    def before(self, severity: int, second: int, structured: bytes) -> bytes:
        """The header of a line of this Unix second; `structured` is RFC 5424's data, empty for none."""
        if not self._precise:
            if second != self._second:
                self._make(second)
            return self._made[severity]
        wall = self._clock()
        second = int(wall)
        if second != self._second:
            self._make(second)
        begun = b"%b%06d%b" % (self._made[severity], int((wall - second) * 1e6), self._rest)
        return begun + (structured or b"-") + b" " if self._structured else begun

    def _make(self, second: int) -> None:
        self._second = second
        t = time.localtime(second)
        stamp = f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
        iso = time.strftime("%Y-%m-%dT%H:%M:%S.", t)
        zone = (
            f"{'-' if t.tm_gmtoff < 0 else '+'}{abs(t.tm_gmtoff) // 3600:02}:{abs(t.tm_gmtoff) // 60 % 60:02}"
        )
        form, pid = self._form, os.getpid()
        made = []
        for severity in range(len(LEVELS)):
            priority = f"<{self._facility * 8 + severity}>"
            if form is LogHeader.LOCAL:
                text = f"{priority}{stamp} {self._tag}[{pid}]: "
            elif form is LogHeader.RFC3164:
                text = f"{priority}{stamp} {self._host or 'localhost'} {self._tag}[{pid}]: "
            elif form is LogHeader.RFC5424:
                text = f"{priority}1 {iso}"
            elif form is LogHeader.PRIORITY:
                text = priority
            elif form is LogHeader.SHORT:
                text = f"<{severity}>"
            elif form is LogHeader.TIMED:
                text = f"<{severity}>{iso}"
            elif form is LogHeader.ISO:
                text = iso
            else:
                text = ""
            made.append(text.encode())
        self._made = made
        if form is LogHeader.RFC5424:
            self._rest = f"{zone} {self._host or '-'} {self._tag} {pid} - ".encode()
        else:
            self._rest = f"{zone} ".encode()
