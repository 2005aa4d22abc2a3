"""Unix times as log formats write them: `25/Nov/2026:21:51:45.626`, `25/Nov/2026:21:51:45 +0000`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def precise(at: float) -> bytes:
    """Local time with milliseconds."""
    return b"%b.%03d" % (_texts(int(at))[0], int(at % 1 * 1000))


def local(at: float) -> bytes:
    """Local time and its zone."""
    return _texts(int(at))[1]


def gmt(at: float) -> bytes:
    """The same in Greenwich."""
    return _texts(int(at))[2]


def rfc3339(at: float) -> bytes:
    """`2026-11-25T21:51:45.626Z`."""
    return b"%b.%03dZ" % (_texts(int(at))[3], int(at % 1 * 1000))


@lru_cache(64)
def _texts(second: int) -> tuple[bytes, bytes, bytes, bytes]:
    there = datetime.fromtimestamp(second, UTC)
    here = there.astimezone()
    return (
        _date(here).encode(),
        f"{_date(here)} {here:%z}".encode(),
        f"{_date(there)} +0000".encode(),
        f"{there:%Y-%m-%dT%H:%M:%S}".encode(),
    )


def _date(moment: datetime) -> str:
    return f"{moment.day:02}/{_MONTHS[moment.month - 1]}/{moment.year}:{moment:%H:%M:%S}"
