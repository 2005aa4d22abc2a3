"""What a stick table can store of each key: counters, rates, tags (configuration manual, section 4.2).

A kind is some columns of whole numbers: one for a counter, three for a rate
(when its period began, events in it, events in the one before).
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from hapair.config.fields import FieldError, shown, wrong
from hapair.config.model import StickTable

TYPES: Final = ("ip", "ipv6", "integer", "string", "binary")
COUNTERS: Final = (
    "server_id conn_cnt conn_cur sess_cnt http_req_cnt http_err_cnt http_fail_cnt bytes_in_cnt bytes_out_cnt "
    "gpc0 gpc1 gpt0"
).split()
RATES: Final = (
    "conn_rate sess_rate http_req_rate http_err_rate http_fail_rate bytes_in_rate bytes_out_rate "
    "gpc0_rate gpc1_rate"
).split()
ARRAYS: Final = ("gpc", "gpt")
"""Counters and tags by number: `gpc(3)` has three."""
MOST: Final = 100
"""Of an array, as HAProxy has it."""
_UNITS: Final = {"us": 1e-3, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1}
_KIND: Final = re.compile(r"(\w+)(?:\(([0-9]+)(us|ms|s|m|h|d)?\))?")
LONGEST: Final = 86_400_000 * 24


@attrs.frozen
class Kind:
    """One thing that is stored."""

    name: str
    period: int = 0
    """Milliseconds of a rate."""
    count: int = 1
    """Numbers of an array."""

    @property
    def columns(self) -> int:
        return 3 if self.period else self.count


def kind_of(text: str) -> Kind:
    """`conn_cnt`, `conn_rate(10s)` or `gpc(3)`.

    Raises:
        ValueError: it is none of these; the message says why.
    """
    found = _KIND.fullmatch(text)
    if found is None or found[1] not in (*COUNTERS, *RATES, *ARRAYS):
        raise ValueError(f"{text!r} cannot be stored")
    name, number, unit = found[1], found[2], found[3]
    if name in COUNTERS:
        if number is not None:
            raise ValueError(f"{name} takes nothing in parentheses")
        return Kind(name)
    if number is None:
        example = f"{name}(10s)" if name in RATES else f"{name}(2)"
        raise ValueError(f"{name} needs a number: {example}")
    if name in RATES:
        period = round(int(number) * _UNITS[unit or ""])
        if not 1 <= period <= LONGEST:
            raise ValueError(f"{text}: a period is 1ms to 24d")
        return Kind(name, period)
    if unit or not 1 <= int(number) <= MOST:
        raise ValueError(f"{name} takes a whole number, 1 to {MOST}")
    return Kind(name, count=int(number))


def stored(value: object) -> str:
    """One entry of `store`."""
    if not isinstance(value, str):
        raise wrong(value, 'something to store, such as "conn_rate(10s)"')
    try:
        kind_of(value)
    except ValueError as error:
        raise FieldError(str(error)) from None
    return value


_SIZE: Final = re.compile(r"([0-9]{1,9})([kmKM]?)")
_TIMES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20}


def size(value: object) -> int:
    """A number of entries: 5000, "100k" or "1m"."""
    found = _SIZE.fullmatch(str(value)) if isinstance(value, int | str) and value is not True else None
    number = int(found[1]) * _TIMES[found[2].lower()] if found is not None else 0
    if not 1 <= number <= 1 << 28:
        raise FieldError(f'{shown(value)} is not a number of entries such as 5000, "100k" or "1m"')
    return number


def kinds(table: StickTable) -> list[Kind]:
    """What it stores."""
    return [kind_of(text) for text in table.store]


def no_kind_twice(table: StickTable) -> str:
    """What is stored twice; empty for nothing."""
    seen: set[str] = set()
    for kind in kinds(table):
        if kind.name in seen:
            return kind.name
        seen.add(kind.name)
    return ""
