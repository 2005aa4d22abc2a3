"""How single values of node.toml are spelled and what range they may have.

Each function takes what TOML gave and returns the value, or raises FieldError
with what is wrong and what was expected.  Patterns match in full: Python's own
`int()`, `strip()` and `ip_interface()` accept far more than an operator means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from enum import Enum
from fractions import Fraction
from typing import TypeVar

from hapair.config.problems import quoted

E = TypeVar("E", bound=Enum)

LONGEST = 24 * 86400
"""Seconds; HAProxy's longest timeout is 2^31 ms, a little more."""

_MANY = 2**31 - 1

_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(us|ms|s|m|h|d)?")
_UNITS = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_SPELLING = 'a duration, such as "2s", "100ms" or 500 (milliseconds)'


class FieldError(ValueError):
    """A value that cannot be used; `offset` is where in a string, when that is known."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class Expanded(str):
    """A string that an environment variable went into: `priority = "${PRIORITY-100}"` is a number."""

    __slots__ = ()


def shown(value: object) -> str:
    """A TOML value as an error message names it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return quoted(value)
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def wrong(value: object, expected: str) -> FieldError:
    """`value` is of the wrong kind altogether."""
    return FieldError(f"expected {expected}, got {shown(value)}")


def string(value: object, expected: str = "a string") -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise wrong(value, expected)
    if not value:
        raise FieldError(f"expected {expected}, got nothing")
    return str(value)


def boolean(value: object) -> bool:
    """`true` or `false`."""
    if isinstance(value, Expanded) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, bool):
        raise wrong(value, "true or false")
    return value


def integer(low: int, high: int, why: str = "") -> Callable[[object], int]:
    """A whole number in a closed range; `why` is added to the message about the range."""
    note = f" ({why})" if why else ""
    expected = f"{low} or more" if high == _MANY else f"{low}..{high}"
    beyond = "not" if high == _MANY else "outside"

    def parse(value: object) -> int:
        if isinstance(value, Expanded) and re.fullmatch(r"[0-9]{1,10}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(value, f"a whole number, {expected}")
        if not low <= value <= high:
            raise FieldError(f"{value} is {beyond} {expected}{note}")
        return value

    return parse


def duration(
    low: Fraction, high: Fraction | int = LONGEST, *, step: Fraction = _UNITS["us"], why: str = ""
) -> Callable[[object], float]:
    """Seconds in a closed range; a bare number counts milliseconds, as HAProxy's do."""
    note = f" ({why})" if why else ""

    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise wrong(value, _SPELLING)
        found = _DURATION.fullmatch(str(value))
        if found is None:
            raise FieldError(f"{shown(value)} is not {_SPELLING}; the units are us ms s m h d")
        seconds = Fraction(found[1]) * _UNITS[found[2] or "ms"]
        if not low <= seconds <= high:
            raise FieldError(f"{shown(value)} is outside {spell(low)}..{spell(Fraction(high))}{note}")
        if seconds % step:
            raise FieldError(f"{shown(value)} is not a multiple of {spell(step)}{note}")
        return float(seconds)

    return parse


def spell(seconds: Fraction | float) -> str:
    """A duration in the largest unit that needs no fraction."""
    micros = round(Fraction(seconds) * 1_000_000)
    for unit, size in reversed(_UNITS.items()):
        count, rest = divmod(micros, size * 1_000_000)
        if count and not rest:
            return f"{count}{unit}"
    return "0s"


def closest(text: str, known: Collection[str]) -> str:
    """The known word that was probably meant; empty when there is none."""
    return next(iter(get_close_matches(text, list(known), n=1)), "")


def suggestion(text: str, known: Collection[str]) -> str:
    """`; did you mean "web"?`, or nothing."""
    close = closest(text, known)
    return f"; did you mean {quoted(close)}?" if close else ""


def choice(*words: str) -> Callable[[object], str]:
    """One of a few words."""
    listed = ", ".join(quoted(word) for word in words)

    def parse(value: object) -> str:
        text = string(value, f"one of {listed}" if len(words) > 1 else listed)
        if text not in words:
            hint = suggestion(text, words) or f"; expected {'one of ' * (len(words) > 1)}{listed}"
            raise FieldError(f"{shown(text)} is not known here{hint}")
        return text

    return parse


def member(kind: type[E]) -> Callable[[object], E]:
    """The member of an Enum whose value is written."""
    word = choice(*(str(one.value) for one in kind))
    return lambda value: kind(word(value))


def matching(pattern: str, expected: str, longest: int = 4096) -> Callable[[object], str]:
    """A string that is `pattern` from end to end."""
    compiled = re.compile(pattern)

    def parse(value: object) -> str:
        text = string(value, expected)
        if compiled.fullmatch(text) is None:
            raise FieldError(f"{shown(text)} is not {expected}")
        if len(text.encode()) > longest:
            raise FieldError(f"{shown(text)} is longer than {longest} bytes")
        return text

    return parse


positive = integer(1, _MANY)
natural = integer(0, _MANY)
port = integer(1, 65535)
weight = integer(0, 256)
workers = integer(0, 64)
vrid = integer(1, 255, "RFC 9568 section 5.2.3")
priority = integer(1, 255, "RFC 9568 section 5.2.4; 0 means resigning and is never configured")

timeout = duration(_UNITS["ms"])
delay = duration(Fraction(0))
whole_seconds = duration(Fraction(0), step=Fraction(1))
interval = duration(_UNITS["ms"])
advert_interval = duration(
    Fraction(1, 100), Fraction(4095, 100), step=Fraction(1, 100), why="adverts carry 12 bits of centiseconds"
)

name = matching(r"[A-Za-z0-9_.:-]+", "a name: letters, digits and _ . : -", 64)
account = matching(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", "the name of an account", 32)
interface = matching(r"(?!\.{1,2}$)[!-.0-~]{1,15}", "an interface: up to 15 characters, no blank, no slash")
file_path = matching(r"/[^\x00]*", "an absolute path", 4095)
socket_path = matching(r"/[^\x00]*", "an absolute path", 107)  # sun_path
uri_path = matching(r"/[!-~]*", "a path that starts with /")
http_token = matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "an HTTP token: letters, digits and !#$%&'*+-.^_`|~")
cookie_value = matching(
    r"[!#-+\--:<-\[\]-~]+", "a cookie value: printable, without blanks, quotes, commas or ;"
)
domain = matching(r"\.?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", "a domain")
header_value = matching(r"[!-~](?:[ -~]*[!-~])?", "a header value: printable ASCII")

facility = choice(
    *"kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2".split(),
    *(f"local{i}" for i in range(8)),
)
level = choice(*"emerg alert crit err warning notice info debug".split())
