"""What heads say to a shared cache, read as HAProxy reads it (RFC 9111).

Header lines are `Name: value`; times are Unix seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 2**31
"""Seconds: an age or a lifetime beyond it is no different (RFC 9111 section 1.2.2)."""
_FORMS: Final = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_FRESHER: Final = frozenset({b"no-cache", b"no-store", b"max-age", b"max-stale", b"min-fresh"})
_FORBIDDING: Final = frozenset({b"private", b"no-cache", b"no-store"})


def fields(lines: Iterable[bytes], name: bytes) -> list[bytes]:
    """The values of the lines called `name` (small letters)."""
    found = []
    for line in lines:
        said, _, value = line.partition(b":")
        if said.lower() == name:
            found.append(value.strip(b" \t"))
    return found


def directives(lines: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """Name and argument of each word of Cache-Control."""
    found = []
    for value in fields(lines, b"cache-control"):
        for word in value.split(b","):
            name, _, argument = word.strip(b" \t").partition(b"=")
            found.append((name.lower(), argument.strip(b'"')))
    return found


def http_date(text: bytes) -> int | None:
    """The time that a date of RFC 9110 section 5.6.7 names, in any of its three forms."""
    for form in _FORMS:
        try:
            return int(datetime.strptime(text.decode("latin-1"), form).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def number(text: bytes) -> int | None:
    """Seconds as a head writes them."""
    return min(int(text), LONGEST) if text.isdigit() and len(text) < 20 else None


def is_private(lines: Iterable[bytes]) -> bool:
    """Is the answer to a request for its client alone?  (It has credentials, or says no-store.)"""
    lines = list(lines)
    return bool(fields(lines, b"authorization")) or any(name == b"no-store" for name, _ in directives(lines))


def wants_fresh(lines: Iterable[bytes]) -> bool:
    """Does a request want its answer from the server?

    As in HAProxy it does with any word about ages: `max-age=5` is not looked at further.
    """
    lines = list(lines)
    words = directives(lines)
    if any(name in _FRESHER for name, _ in words):
        return True
    return not words and any(value.lower() == b"no-cache" for value in fields(lines, b"pragma"))


def may_be_kept(lines: Iterable[bytes]) -> bool:
    """Does a response allow it, and say for how long or how to ask about it?

    One that sets a cookie is for one client, whatever else it says: here we are stricter than HAProxy.
    """
    lines = list(lines)
    words = directives(lines)
    lifetimes = [at for name, at in words if name in (b"max-age", b"s-maxage")]
    if any(name in _FORBIDDING for name, _ in words) or b"0" in lifetimes or fields(lines, b"set-cookie"):
        return False
    if any(value.lower() == b"no-cache" for value in fields(lines, b"pragma")):
        return False
    return bool(lifetimes) or any(fields(lines, name) for name in (b"expires", b"etag", b"last-modified"))


def says_age(lines: Iterable[bytes]) -> bool:
    """Does a response name the age that it may reach?"""
    return any(name in (b"max-age", b"s-maxage") for name, _ in directives(lines))


def lifetime(lines: Iterable[bytes], now: int) -> int | None:
    """Seconds that a response is good, by `s-maxage`, `max-age`, Expires; None where it does not say."""
    lines = list(lines)
    words = directives(lines)
    for wanted in (b"s-maxage", b"max-age"):
        for name, argument in words:
            if name == wanted:
                return number(argument) or 0
    for value in fields(lines, b"expires"):
        until = http_date(value)
        return max(0, until - now) if until is not None else 0
    return None


def last_modified(lines: Iterable[bytes], now: int) -> int:
    """Since when a response is what it is, as far as it tells: else when it was sent, or came."""
    lines = list(lines)
    for name in (b"last-modified", b"date"):
        for value in fields(lines, name):
            at = http_date(value)
            if at is not None:
                return at
    return now


def is_known(request: Iterable[bytes], etag: bytes, modified: int) -> bool:
    """Does the client of a conditional request have this already?  (304; RFC 9110 section 13.2.2.)"""
    request = list(request)
    tags = fields(request, b"if-none-match")
    if tags:
        return any(
            tag == b"*" or (etag != b"" and tag.removeprefix(b"W/") == etag.removeprefix(b"W/"))
            for value in tags
            for tag in (one.strip(b" \t") for one in value.split(b","))
        )
    since = [http_date(value) for value in fields(request, b"if-modified-since")]
    return bool(since) and since[0] is not None and modified <= since[0]
