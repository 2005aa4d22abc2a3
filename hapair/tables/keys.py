"""What a key of a table is made of, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

TYPES: Final = ("ip", "ipv6", "integer", "string", "binary")
LENGTH: Final = 32
"""Bytes of a text or of binary data unless something else is said."""
_MAPPED: Final = 0xFFFF << 32


def key_maker(kind: str, length: int) -> Callable[[Any], int | bytes | None]:
    """From an address, a number or bytes to a key; None for what cannot be one."""
    if kind == "ip":
        return _ipv4
    if kind == "ipv6":
        return _ipv6
    if kind == "integer":
        return lambda value: value & 0xFFFFFFFF if isinstance(value, int) else None
    if kind == "string":
        # One byte is for the end, as in HAProxy.
        return lambda value: bytes(value)[: length - 1] if isinstance(value, bytes) else None
    return lambda value: bytes(value)[:length].ljust(length, b"\0") if isinstance(value, bytes) else None


def _ipv4(value: object) -> int | None:
    if isinstance(value, IPv4Address):
        return int(value)
    if isinstance(value, IPv6Address) and value.ipv4_mapped is not None:
        return int(value.ipv4_mapped)
    return None


def _ipv6(value: object) -> bytes | None:
    if isinstance(value, IPv4Address):
        return (_MAPPED | int(value)).to_bytes(16, "big")
    return value.packed if isinstance(value, IPv6Address) else None


def spelt(key: int | bytes, kind: str) -> str:
    """A key as `show table` writes it."""
    if kind == "ip":
        return str(IPv4Address(key))
    if kind == "ipv6":
        return str(IPv6Address(key))
    if isinstance(key, int):
        return str(key)
    return key.hex().upper() if kind == "binary" else key.decode("latin-1")
