"""What a syslog line begins with: RFC 3164 as HAProxy writes it, without a host name.

`<134>Nov 23 19:58:11 hapair[27174]: ...`
"""

from __future__ import annotations

import os
import time
from typing import Final

LEVELS: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Syslog severities; a smaller number is more severe."""
FACILITIES: Final = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def headers(facility: int, second: int) -> list[bytes]:
    """The headers of this Unix second, by severity."""
    t = time.localtime(second)
    stamp = f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return [
        f"<{facility * 8 + severity}>{stamp} hapair[{os.getpid()}]: ".encode()
        for severity in range(len(LEVELS))
    ]
