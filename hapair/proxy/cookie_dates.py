"""Dates in a persistence cookie: `A|last|first`, five base64 digits each of Unix time over 4 (HAProxy's)."""

from __future__ import annotations

from typing import Final

_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LENGTH: Final = 5


def dates(value: bytes) -> tuple[bytes, int, int]:
    """The server's value, when the client was seen last, and when first; Unix time, 0 for unknown."""
    name, _, rest = value.partition(b"|")
    last = _seconds(rest)
    _, bar, second = rest.partition(b"|")
    return name, last, _seconds(second) if bar else 0


def stamp(today: int) -> bytes:
    """A date as it stands in a cookie."""
    number = today >> 2
    return bytes(_DIGITS[number >> 6 * at & 63] for at in range(_LENGTH - 1, -1, -1))


def _seconds(text: bytes) -> int:
    if len(text) < _LENGTH:
        return 0
    number = 0
    for digit in text[:_LENGTH]:
        place = _DIGITS.find(digit)
        if place < 0:
            return 0
        number = number << 6 | place
    return number << 2
