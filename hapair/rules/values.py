"""The types of samples, and what HAProxy's casts make of one as another.

bool, int (64 bits, signed), address, text (`bytes`), Binary.  A sample that is
not there is None, and so is one that cannot become what is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final, Literal

Address = IPv4Address | IPv6Address
Value = bool | int | bytes | IPv4Address | IPv6Address
Kind = Literal["bool", "int", "ip", "str", "bin", "meth", "any"]
"""`meth` is text that is compared as a method; `any` is known only when it is there (a variable)."""

_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 63) - 1
_MAPPED: Final = 0xFFFF << 32
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS: Final = frozenset(b"0123456789")
_ENOUGH: Final = 19
"""Digits of a number within 64 bits; `int` raises ValueError for more than 4300."""


class Binary(bytes):
    """Bytes that are no text; as a text they end at the first NUL."""

    __slots__ = ()


def wrapped(number: int) -> int:
    """A number within 64 bits, as an overflow leaves it."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def saturated(number: int) -> int:
    """The nearest number within 64 bits."""
    return _LEAST if number < _LEAST else min(number, _MOST)


def leading_number(text: bytes) -> int:
    """The number that a text begins with; 0 for none."""
    at = 1 if text[:1] in (b"-", b"+") else 0
    end = at
    while end < len(text) and text[end] in _DIGITS:
        end += 1
    if end == at:
        return 0
    digits = text[at:end].lstrip(b"0")
    if len(digits) > _ENOUGH:
        return _LEAST if text[:1] == b"-" else _MOST
    number = int(digits or b"0")
    return saturated(-number if text[:1] == b"-" else number)


def to_text(value: Value) -> bytes | None:
    """The text of any value."""
    if isinstance(value, Binary):
        return bytes(value.partition(b"\0")[0])
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return str(value).encode()


def to_binary(value: Value) -> bytes | None:
    """The bytes of a text or of an address, or the eight of a number in network order."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return int(value).to_bytes(8, "big", signed=True)
    return value.packed


def to_number(value: Value) -> int | None:
    """A number; the one that a text begins with."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Binary):
        return None
    if isinstance(value, bytes):
        return leading_number(value) if value else None
    return int(value) if isinstance(value, IPv4Address) else None


def to_truth(value: Value) -> bool | None:
    """Anything but 0."""
    number = to_number(value)
    return None if number is None else number != 0


def to_address(value: Value) -> Address | None:
    """An address; a number is an IPv4 one."""
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    if isinstance(value, bool | Binary):
        return None
    if isinstance(value, int):
        return IPv4Address(value & 0xFFFFFFFF)
    return address(value)


def address(text: bytes) -> Address | None:
    """The address that a text is."""
    try:
        name = text.decode("ascii")
        return IPv6Address(name) if ":" in name and "%" not in name else IPv4Address(name)
    except ValueError:
        return None


def as_text(value: Value | None) -> bytes:
    """As HAProxy prints it in a log format: control characters become %XX; nothing for what is not there."""
    if value is None:
        return b""
    text = to_text(value) or b""
    return _CONTROL.sub(_escaped, text) if _CONTROL.search(text) else text


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


CASTS: Final[dict[str, Callable[[Value], Any]]] = {
    "bool": to_truth,
    "int": to_number,
    "ip": to_address,
    "str": to_text,
    "bin": to_binary,
    "meth": to_text,
}

_POSSIBLE: Final[dict[str, frozenset[str]]] = {
    "any": frozenset({"bool", "int", "ip", "str", "bin", "meth"}),
    "bool": frozenset({"int", "str", "bin"}),
    "int": frozenset({"bool", "ip", "str", "bin"}),
    "ip": frozenset({"bool", "int", "str", "bin"}),
    "str": frozenset({"bool", "int", "ip", "bin", "meth"}),
    "bin": frozenset({"str", "meth"}),
    "meth": frozenset({"str", "bin"}),
}


def castable(kind: Kind, wanted: Kind) -> bool:
    """May a sample of one kind ever be taken as another?"""
    return kind == wanted or wanted == "any" or wanted in _POSSIBLE[kind]
