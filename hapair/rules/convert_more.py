"""Converters of addresses, dates and digests, and those that use variables (section 7.3.1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from hapair import hashes
from hapair.rules import arguments, variables
from hapair.rules.converter import Converter, plain
from hapair.rules.values import Binary, as_text, to_binary, to_text, wrapped

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.converter import Convert
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Address, Value

_DAYS: Final = "Mon Tue Wed Thu Fri Sat Sun".split()
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_UNITS: Final = {"s": 1, "ms": 1000, "us": 1000000}


def _hash(function: Callable[[bytes], int], meaning: str) -> Converter:
    def make(call: Call, _files: Files) -> Convert:
        spread = call.take(0, arguments.number, "0 or 1") if call.given(0) else 0
        if spread:
            return lambda value, _facts: hashes.avalanche(function(value))
        return lambda value, _facts: function(value)

    return Converter("bin", "int", make, f"{meaning}; 1: with its bits spread", most=1)


def _seeded(function: Callable[[bytes, int], int], meaning: str) -> Converter:
    def make(call: Call, _files: Files) -> Convert:
        seed = call.take(0, arguments.number, "a number") if call.given(0) else 0
        return lambda value, _facts: wrapped(function(value, seed))

    return Converter("bin", "int", make, meaning, most=1)


def _algorithm(text: str) -> str:
    name = text.lower()
    if name not in hashlib.algorithms_available or name.startswith("shake"):
        raise ValueError(text)
    return name


def _digest(call: Call, _files: Files) -> Convert:
    name = call.take(0, _algorithm, "a digest such as sha256")
    return lambda value, _facts: Binary(hashlib.new(name, value).digest())


def _hmac(call: Call, _files: Files) -> Convert:
    name = call.take(0, _algorithm, "a digest such as sha256")
    text = call.take(1, str, "a key in base64, or a variable that has one")
    if text.startswith(tuple(f"{scope}." for scope in variables.SCOPES)):
        variable = call.take(1, variables.variable, "a variable")

        def convert(value: bytes, facts: Facts) -> Binary | None:
            key = variables.read(facts, variable)
            try:
                secret = base64.b64decode(as_text(key), validate=True)
            except ValueError:
                return None
            return Binary(hmac.digest(secret, value, name))

        return convert
    key = call.take(1, lambda t: base64.b64decode(t, validate=True), "a key in base64")
    return lambda value, _facts: Binary(hmac.digest(key, value, name))


def _sha2(call: Call, _files: Files) -> Convert:
    bits = call.take(0, arguments.number, "a number") if call.given(0) else 256
    if bits not in (224, 256, 384, 512):
        raise call.mistake("has 224, 256, 384 or 512 bits")
    return lambda value, _facts: Binary(hashlib.new(f"sha{bits}", value).digest())


def _sha1(value: bytes) -> Binary:
    return Binary(hashlib.sha1(value, usedforsecurity=False).digest())


def _ipmask(call: Call, _files: Files) -> Convert:
    four = int(call.take(0, _mask4, "a mask, or a number from 0 to 32"))
    six = int(call.take(1, _mask6, "a mask, or a number from 0 to 128")) if call.given(1) else None

    def convert(value: Address, _facts: object) -> Value | None:
        if isinstance(value, IPv4Address):
            return IPv4Address(int(value) & four)
        return None if six is None else IPv6Address(int(value) & six)

    return convert


def _mask4(text: str) -> int:
    if "." in text:
        return int(IPv4Address(text))
    bits = int(text)
    if not 0 <= bits <= 32:
        raise ValueError(text)
    return 0xFFFFFFFF << 32 - bits & 0xFFFFFFFF


def _mask6(text: str) -> int:
    return int(IPv6Address(text)) if ":" in text else int(IPv6Network(f"::/{int(text)}").netmask)


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _format(*, local: bool) -> Callable[[Call, Files], Convert]:
    def make(call: Call, _files: Files) -> Convert:
        pattern = call.take(0, str, "a format such as %Y-%m-%d")
        offset = call.take(1, arguments.number, "a number") if call.given(1) else 0

        def convert(value: int, _facts: object) -> bytes | None:
            at = _moment(value + offset)
            if at is None:
                return None
            return (at.astimezone() if local else at).strftime(pattern).encode()

        return convert

    return make


def _http_date(call: Call, _files: Files) -> Convert:
    offset = call.take(0, arguments.number, "a number") if call.given(0) else 0
    unit = call.take(1, _UNITS.__getitem__, "s, ms or us") if call.given(1) in _UNITS else 1
    if call.given(1) not in (None, *_UNITS):
        raise call.mistake("the unit is s, ms or us")

    def convert(value: int, _facts: object) -> bytes | None:
        at = _moment((value + offset) // unit)
        if at is None:
            return None
        text = (
            f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} "
            f"{at.hour:02}:{at.minute:02}:{at.second:02} GMT"
        )
        return text.encode()

    return convert


def _concat(call: Call, _files: Files) -> Convert:
    before, after = (call.given(0) or "").encode(), (call.given(2) or "").encode()
    name = variables.variable_of(call, 1) if call.given(1) else None

    def convert(value: bytes, facts: Facts) -> bytes:
        return value + before + (as_text(variables.read(facts, name)) if name else b"") + after

    return convert


def _add_item(call: Call, _files: Files) -> Convert:
    delimiter, suffix = (call.given(0) or "").encode(), (call.given(2) or "").encode()
    name = variables.variable_of(call, 1) if call.given(1) else None

    def convert(value: bytes, facts: Facts) -> bytes:
        item = (as_text(variables.read(facts, name)) if name else b"") + suffix
        return value + (delimiter if value and item else b"") + item

    return convert


def _strcmp(call: Call, _files: Files) -> Convert:
    name = variables.variable_of(call)

    def convert(value: bytes, facts: Facts) -> int | None:
        known = variables.read(facts, name)
        other = None if known is None else to_text(known)
        return None if other is None else _difference(value, other)

    return convert


def _difference(one: bytes, other: bytes) -> int:
    """As C's memcmp has it on most machines: of the first bytes that differ, else 1 for the longer."""
    longer = (len(one) > len(other)) - (len(one) < len(other))
    return next((a - b for a, b in zip(one, other, strict=False) if a != b), longer)


def _secure_memcmp(call: Call, _files: Files) -> Convert:
    name = variables.variable_of(call)

    def convert(value: bytes, facts: Facts) -> bool | None:
        known = variables.read(facts, name)
        other = None if known is None else to_binary(known)
        return None if other is None else hmac.compare_digest(value, other)

    return convert


def _set_var(call: Call, _files: Files) -> Convert:
    name = variables.variable_of(call)
    only = variables.conditions((call.arguments or ())[1:])

    def convert(value: Value, facts: Facts) -> Value | None:
        set_it = variables.write(facts, name, value, only)
        return value if set_it or not only else None  # HAProxy's law: conditions decide about both

    return convert


def _unset_var(call: Call, _files: Files) -> Convert:
    name = variables.variable_of(call)

    def convert(value: Value, facts: Facts) -> Value:
        variables.write(facts, name, None)
        return value

    return convert


def _nbsrv(value: bytes, facts: Facts) -> int | None:
    backend = facts.about.find_backend(value.decode("latin-1")) if facts.about is not None else None
    return None if backend is None else sum(server.up for server in backend.servers)


def _srv_queue(value: bytes, facts: Facts) -> int | None:
    before, slash, after = value.decode("latin-1").partition("/")
    about = facts.about
    backend = None if about is None else about.find_backend(before) if slash else about.backend
    if backend is None:
        return None
    name = after if slash else before
    return next((server.queued for server in backend.servers if server.name == name), None)


CONVERTERS: Final[dict[str, Converter]] = {
    "ipmask": Converter("ip", "ip", _ipmask, "the network of an address, by masks for IPv4 and IPv6", most=2),
    "sdbm": _hash(hashes.sdbm, "SDBM hash"),
    "djb2": _hash(hashes.djb2, "DJB2 hash"),
    "wt6": _hash(hashes.wt6, "WT6 hash"),
    "crc32": _hash(zlib.crc32, "CRC-32"),
    "crc32c": _hash(hashes.crc32c, "CRC-32C"),
    "xxh32": _seeded(hashes.xxh32, "XXH32, with a seed"),
    "xxh64": _seeded(hashes.xxh64, "XXH64, with a seed"),
    "sha1": plain("bin", "bin", _sha1, "SHA-1"),
    "sha2": Converter("bin", "bin", _sha2, "SHA-2 of so many bits, 256 without", most=1),
    "digest": Converter("bin", "bin", _digest, "a message digest by name", most=1),
    "hmac": Converter("bin", "bin", _hmac, "an HMAC by a digest's name and a key in base64", most=2),
    "ltime": Converter(
        "int", "str", _format(local=True), "Unix time in a format, local; plus an offset", most=2
    ),
    "utime": Converter(
        "int", "str", _format(local=False), "Unix time in a format, UTC; plus an offset", most=2
    ),
    "http_date": Converter(
        "int", "str", _http_date, "Unix time as HTTP writes it; offset, unit s, ms, us", most=2
    ),
    "concat": Converter("str", "str", _concat, "followed by a text, a variable and a text", most=3),
    "add_item": Converter(
        "str", "str", _add_item, "followed by a delimiter, a variable and a suffix", most=3
    ),
    "strcmp": Converter("str", "int", _strcmp, "less than 0, 0, more than 0 beside a variable", most=1),
    "secure_memcmp": Converter(
        "bin", "bool", _secure_memcmp, "equal to a variable? in constant time", most=1
    ),
    "set-var": Converter("any", "any", _set_var, "stored in a variable as well, on conditions", most=5),
    "unset-var": Converter("any", "any", _unset_var, "with a variable forgotten", most=1),
    "nbsrv": Converter(
        "str", "int", lambda _call, _files: _nbsrv, "servers that are up in the backend of that name"
    ),
    "srv_queue": Converter(
        "str",
        "int",
        lambda _call, _files: _srv_queue,
        "requests that wait for the server (or backend/server)",
    ),
}
