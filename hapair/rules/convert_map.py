"""Maps: `map_beg_int(file,default)` looks a sample up in a file (configuration manual, section 7.3.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Final

from hapair.rules.converter import Converter
from hapair.rules.lexer import RuleError, Word
from hapair.rules.matching import text_test
from hapair.rules.networks import MAPPED, network
from hapair.rules.patience import regular
from hapair.rules.values import address, leading_number

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.converter import Convert
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Address, Kind, Value

Lookup = Callable[[Any], "str | None"]
Entries = list[tuple[str, str]]
METHODS: Final = ("str", "beg", "sub", "dir", "dom", "end", "reg", "regm", "int", "ip")
_RANGE: Final = re.compile(r"(-?[0-9]{1,18})?(:)?(-?[0-9]{1,18})?")


def _exact(entries: Entries, _offset: int) -> Lookup:
    table: dict[bytes, str] = {}
    for key, value in entries:
        table.setdefault(key.encode("utf-8", "surrogateescape"), value)
    return table.get


def _longest(entries: Entries, _offset: int) -> Lookup:
    """The longest key that the sample begins with."""
    table: dict[bytes, str] = {}
    for key, value in entries:
        table.setdefault(key.encode("utf-8", "surrogateescape"), value)
    sizes = sorted({len(key) for key in table}, reverse=True)

    def lookup(sample: bytes) -> str | None:
        for size in sizes:
            if size <= len(sample):
                found = table.get(sample[:size])
                if found is not None:
                    return found
        return None

    return lookup


def _first(method: str) -> Callable[[Entries, int], Lookup]:
    def build(entries: Entries, offset: int) -> Lookup:
        tests = [(text_test(method, [Word(key, offset)], ignore_case=False), value) for key, value in entries]
        return lambda sample: next((value for test, value in tests if test(sample)), None)

    return build


def _numbers(entries: Entries, offset: int) -> Lookup:
    ranges = []
    for key, value in entries:
        found = _RANGE.fullmatch(key)
        if found is None or not (found[1] or found[3]):
            raise RuleError(offset, f"{key!r} is not a number or a range such as 2:5")
        low = int(found[1]) if found[1] else -(1 << 63)
        high = int(found[3]) if found[3] else (1 << 63) - 1 if found[2] else low
        ranges.append((low, high, value))
    return lambda sample: next((value for low, high, value in ranges if low <= sample <= high), None)


def _networks(entries: Entries, offset: int) -> Lookup:
    """The smallest network that the address is in."""
    tables: dict[tuple[int, int], dict[int, str]] = {}
    for key, value in entries:
        found: IPv4Network | IPv6Network = network(Word(key, offset))
        table = tables.setdefault((found.version, int(found.netmask)), {})
        table.setdefault(int(found.network_address), value)
    order = sorted(tables, key=lambda key: key[1].bit_count(), reverse=True)

    def lookup(sample: Address) -> str | None:
        mapped = sample.ipv4_mapped if sample.version == 6 else None
        faces = {sample.version: int(sample)}
        if sample.version == 4:
            faces[6] = MAPPED | int(sample)
        elif mapped is not None:
            faces[4] = int(mapped)
        for version, mask in order:
            if version in faces:
                found = tables[version, mask].get(faces[version] & mask)
                if found is not None:
                    return found
        return None

    return lookup


_BUILDERS: Final[dict[str, Callable[[Entries, int], Lookup]]] = {
    "str": _exact,
    "beg": _longest,
    **{method: _first(method) for method in ("sub", "dir", "dom", "end")},
    "int": _numbers,
    "ip": _networks,
}


def _expressions(entries: Entries, offset: int, *, groups: bool) -> Callable[[bytes], str | None]:
    """The first that finds something; with `groups` its value may have `\\1`."""
    expressions = [(regular(key, offset, ignore_case=False, where=groups), value) for key, value in entries]

    def lookup(sample: bytes) -> str | None:
        for expression, value in expressions:
            found = expression.search(sample)
            if found is not None:
                return _filled(value, found) if groups else value
        return None

    return lookup


def _filled(value: str, found: re.Match[bytes]) -> str:
    """A value with what the groups found in place of `\\1`."""

    def group(reference: re.Match[str]) -> str:
        number = int(reference[1])
        known = found[number] if number <= found.re.groups else None
        return (known or b"").decode("utf-8", "surrogateescape")

    return re.sub(r"\\([0-9])", group, value)


def _result(out: str, text: str) -> Value | None:
    if out == "int":
        return leading_number(text.encode("utf-8", "surrogateescape"))
    raw = text.encode("utf-8", "surrogateescape")
    return address(raw) if out == "ip" else raw


def _map(method: str, out: str) -> Converter:
    def make(call: Call, files: Files) -> Convert:
        path = call.given(0)
        if path is None:
            raise call.mistake("needs a file")
        default = None if call.given(1) is None else _result(out, call.given(1) or "")
        where = call.where(0)

        def build(entries: Entries) -> Lookup:
            if method in ("reg", "regm"):
                return _expressions(entries, where, groups=method == "regm")
            return _BUILDERS[method](entries, where)

        lookup: Lookup = files.table(path, method, where, build)

        def convert(value: Any, _facts: object) -> Value | None:
            found = lookup(value)
            return default if found is None else _result(out, found)

        return convert

    takes: Kind = "int" if method == "int" else "ip" if method == "ip" else "str"
    gives: Kind = "int" if out == "int" else "ip" if out == "ip" else "str"
    meaning = f"the {out} of the line of a file that matches ({method}), else the default"
    return Converter(takes, gives, make, meaning, most=2)


CONVERTERS: Final[dict[str, Converter]] = {"map": _map("str", "str")}
CONVERTERS.update({f"map_{method}": _map(method, "str") for method in METHODS})
CONVERTERS.update(
    {
        f"map_{method}_{out}": _map(method, out)
        for method in METHODS
        if method != "regm"
        for out in ("str", "int", "ip")
    }
)
