"""`show table`, `set table` and `clear table` of the runtime socket (management manual, section 9.3)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hapair.rules.values import CASTS
from hapair.tables.keys import spelt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hapair.tables.directory import Named
    from hapair.tables.table import Key, Table

AT_ONCE = 500
"""Entries that are looked at before clients are served again: a few milliseconds."""
_NO_TABLE = "No such table\n"
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


class StickCommands:
    """Answers as HAProxy does; `tables` gives those that there are now."""

    def __init__(self, tables: Callable[[], Mapping[str, Named]]) -> None:
        self._tables = tables

    def show(self, words: list[str]) -> Iterator[str]:
        """All tables, or one with its entries: `show table NAME [data.X OP N | key K]`."""
        if not words:
            yield "".join(_headline(name, named) for name, named in self._tables().items())
            return
        named = self._tables().get(words[0])
        if named is None:
            yield _NO_TABLE
            return
        chosen = _chosen(named, words[1:])
        if isinstance(chosen, str):
            yield chosen
            return
        yield _headline(words[0], named)
        for found in chosen:
            now = _now()
            yield "".join(_entry(named, named.table.key_of(row), row, now) for row in found)

    def clear(self, words: list[str]) -> Iterator[str]:
        """Forget entries: all, those with `data.X OP N`, or that of `key K`."""
        named = self._tables().get(words[0]) if words else None
        if named is None:
            yield _NO_TABLE
            return
        chosen = _chosen(named, words[1:])
        if isinstance(chosen, str):
            yield chosen
            return
        kept = 0
        for found in chosen:
            kept += sum(not named.table.drop(row) for row in found)
            yield ""
        if kept and words[1:2] == ["key"]:
            yield "Entry currently in use, cannot remove\n"

    def set(self, words: list[str]) -> str:
        """`set table NAME key K [data.X N]...`: make an entry, or change it."""
        named = self._tables().get(words[0]) if words else None
        if named is None:
            return _NO_TABLE
        if len(words) < 3 or words[1] != "key":
            return "Required arguments: <table> key <key>\n"
        key = _key(named, words[2])
        if key is None:
            return "Invalid key\n"
        pairs = words[3:]
        changes: list[tuple[str, int]] = []
        for what, number in zip(pairs[::2], pairs[1::2], strict=False):
            name = what.removeprefix("data.")
            if name == what or name not in named.table.starts:
                return f'"{what}" is not stored in this table\n'
            if not number.isdecimal() or int(number) >= 1 << 63:
                return "Require a valid integer value to store\n"
            changes.append((name, int(number)))
        if len(pairs) % 2:
            return '"data.<type>" followed by a value expected\n'
        now = _now()
        row = named.table.touch(key, now)
        if row < 0:
            return "Unable to allocate a new entry\n"
        for name, value in changes:
            if named.table.periods[name]:
                named.table.set_rate(row, name, value, now)
            else:
                named.table.set_value(row, name, value)
        return ""


def _now() -> int:
    return int(time.monotonic() * 1000)


def _headline(name: str, named: Named) -> str:
    table = named.table
    return f"# table: {name}, type: {named.config.type}, size:{table.size}, used:{len(table)}\n"


def _entry(named: Named, key: Key, row: int, now: int) -> str:
    table = named.table
    words = [f"key={spelt(key, named.config.type)}", f"use={table.uses(row)}", f"exp={table.left(row, now)}"]
    for kind in table.kinds:
        if kind.period:
            words.append(f"{kind.name}({kind.period})={table.value(row, kind.name, now)}")
        elif kind.name in ("gpc", "gpt"):
            words += [f"{kind.name}{i}={table.value(row, kind.name, now, i)}" for i in range(kind.count)]
        else:
            words.append(f"{kind.name}={table.value(row, kind.name, now)}")
    return f"0x{row + 1:x}: {' '.join(words)}\n"


def _key(named: Named, text: str) -> Key | None:
    value: Any = text.encode("utf-8", "surrogateescape")
    if named.config.type == "binary":
        try:
            value = bytes.fromhex(text)
        except ValueError:
            return None
    taken = CASTS[named.kind](value)
    return None if taken is None else named.key(taken)


def _chosen(named: Named, words: list[str]) -> Iterator[list[int]] | str:
    """Rows of entries that are meant, some at a time; or what is wrong."""
    if not words:
        return _some(named.table, lambda _row, _now: True)
    if words[0] == "key" and len(words) == 2:
        key = _key(named, words[1])
        row = named.table.find(key, _now()) if key is not None else -1
        return iter([[row]] if row >= 0 else [])
    name = words[0].removeprefix("data.")
    if len(words) != 3 or name == words[0] or words[1] not in _COMPARE or not words[2].isdecimal():
        return 'Optional argument only supports "data.<store_data_type>" or key <key>\n'
    if name not in named.table.starts:
        return "Data type not stored in this table\n"
    compare, number, table = _COMPARE[words[1]], int(words[2]), named.table
    return _some(table, lambda row, now: compare(table.value(row, name, now), number))


def _some(table: Table, wanted: Callable[[int, int], bool]) -> Iterator[list[int]]:
    """Rows that are in use and wanted, out of AT_ONCE at a time: the table may change in between."""
    at = 0
    while at < table.rows():
        now = _now()
        end = min(at + AT_ONCE, table.rows())
        yield [row for row in range(at, end) if table.known_key(row, now) is not None and wanted(row, now)]
        at = end
