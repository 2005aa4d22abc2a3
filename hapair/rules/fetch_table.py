"""Fetches of stick tables: `sc_*` of what is tracked, `src_*` of the client's address (section 7.3.3).

A `src_` fetch of an address that the table does not know is 0; so is a counter of a
tracked row that is not stored.  What is not tracked is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.rules import arguments
from hapair.rules.fetch import ALWAYS, CONNECTION, Fetch, Read
from hapair.rules.stick_words import ACTING, GENERAL, PLAIN, Look, table_of
from hapair.rules.values import address
from hapair.tables.tracks import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts


def _number(call: Call, at: int) -> int:
    number: int = call.take(at, arguments.number, "the number of a counter, 0 to 2")
    if not 0 <= number < COUNT:
        raise call.mistake(f"counters are 0 to {COUNT - 1}")
    return number


def _tracked(look: Look, number: int | None) -> object:
    """`sc_x(number[,table])`, or `scN_x([table])` with the number in its name."""

    def make(call: Call) -> Read:
        which = _number(call, 0) if number is None else number
        at = 1 if number is None else 0
        other = table_of(call, at) if call.given(at) is not None else None

        def read(facts: Facts) -> int | None:
            about = facts.about
            if about is None:
                return None
            tracks = about.tracks
            table, row = tracks.tables[which], tracks.rows[which]
            if table is None:
                return None
            if other is not None and other.table is not table:
                row = other.table.find(table.key_of(row), about.tick)
                if row < 0:
                    return 0
                table = other.table
            return look(table, row, about.tick)

        return read

    return make


def _of_source(stored: str, look: Look, *, creates: bool) -> object:
    def make(call: Call) -> Read:
        named = table_of(call, 0, stored)

        def read(facts: Facts) -> int | None:
            about = facts.about
            if named is None or about is None:
                return None
            source = address(facts.source.encode())
            key = None if source is None else named.key(source)
            if key is None:
                return None
            table, now = named.table, about.tick
            row = table.touch(key, now) if creates else table.find(key, now)
            return look(table, row, now) if row >= 0 else 0

        return read

    return make


def _numbered(name: str) -> object:
    """`sc_get_gpc(index,number[,table])`."""

    def make(call: Call) -> Read:
        index: int = call.take(0, arguments.number, "the index of a counter or tag")
        which = _number(call, 1)

        def read(facts: Facts) -> int | None:
            about = facts.about
            if about is None:
                return None
            table = about.tracks.tables[which]
            if table is None:
                return None
            return table.value(about.tracks.rows[which], name, about.tick, index)

        return read

    return make


def _acts(name: str, act: str, *, of_source: bool) -> object:
    """`sc_inc_gpc(index,number)`, `src_clr_gpc(index[,table])` and the like."""

    def make(call: Call) -> Read:
        index: int = call.take(0, arguments.number, "the index of a counter or tag")
        which = 0 if of_source else _number(call, 1)
        named = table_of(call, 1, name) if of_source else None

        def read(facts: Facts) -> int | None:
            about = facts.about
            if about is None:
                return None
            now = about.tick
            if named is not None:
                source = address(facts.source.encode())
                key = None if source is None else named.key(source)
                if key is None:
                    return None
                table, row = named.table, named.table.find(key, now)
                if row < 0 and act:
                    row = table.touch(key, now)
            else:
                found = about.tracks.tables[which]
                if found is None:
                    return None
                table, row = found, about.tracks.rows[which]
            if row < 0:
                return 0
            before = table.value(row, name, now, index)
            if act == "inc":
                table.add(row, name, 1, now, index)
                return table.value(row, name, now, index)
            if act == "clr":
                table.set_value(row, name, 0, index)
            return before

        return read

    return make


def _size(*, free: bool) -> Callable[[Call], Read]:
    def make(call: Call) -> Read:
        named = table_of(call, 0)
        if named is None:
            return lambda _facts: None
        table = named.table
        return (lambda _facts: table.size - len(table)) if free else (lambda _facts: len(table))

    return make


def _is_tracked(call: Call) -> Read:
    which = _number(call, 0)
    return lambda facts: facts.about is not None and facts.about.tracks.tables[which] is not None


def _tracked_by_name(number: int) -> object:
    return lambda _call: (
        lambda facts: facts.about is not None and facts.about.tracks.tables[number] is not None
    )


def _fetches() -> dict[str, Fetch]:
    found: dict[str, Fetch] = {}
    words = {**PLAIN, **{f"get_{name}": one for name, one in GENERAL.items()}, **ACTING}
    words["trackers"] = ("", lambda table, row, _now: table.uses(row), "how many track it")
    for name, (stored, look, meaning) in words.items():
        found[f"sc_{name}"] = _fetch(_tracked(look, None), f"of a tracked row: {meaning}", 2)
        for number in range(COUNT):
            found[f"sc{number}_{name}"] = _fetch(
                _tracked(look, number), f"of tracked row {number}: {meaning}", 1
            )
        if name != "trackers":
            creates = name in ACTING
            found[f"src_{name}"] = _fetch(
                _of_source(stored, look, creates=creates), f"of the client's address: {meaning}", 1
            )
    for name in ("gpc", "gpt"):
        found[f"sc_get_{name}"] = _fetch(_numbered(name), f"of a tracked row: a {name} by its index", 2)
    for word, act in (("inc_gpc", "inc"), ("clr_gpc", "clr")):
        meaning = "raised by one" if act == "inc" else "which is 0 afterwards"
        make = _acts("gpc", act, of_source=False)
        found[f"sc_{word}"] = _fetch(make, f"of a tracked row: a gpc by its index, {meaning}", 2)
        make = _acts("gpc", act, of_source=True)
        found[f"src_{word}"] = _fetch(make, f"of the client's address: a gpc by its index, {meaning}", 2)
    for name in ("gpc", "gpt"):
        make = _acts(name, "", of_source=True)
        found[f"src_get_{name}"] = _fetch(make, f"of the client's address: a {name} by its index", 2)
    found["table_cnt"] = Fetch("int", ALWAYS, _size(free=False), "entries of a stick table", most=1)
    found["table_avl"] = Fetch(
        "int", ALWAYS, _size(free=True), "entries for which a stick table has room", most=1
    )
    found["sc_tracked"] = Fetch("bool", CONNECTION, _is_tracked, "is that counter tracking?", most=1)
    for number in range(COUNT):
        make = _tracked_by_name(number)
        found[f"sc{number}_tracked"] = Fetch("bool", CONNECTION, make, f"is counter {number} tracking?")  # type: ignore[arg-type]
    return found


def _fetch(make: object, meaning: str, most: int) -> Fetch:
    return Fetch("int", CONNECTION, make, meaning, most=most)  # type: ignore[arg-type]


FETCHES: Final[dict[str, Fetch]] = _fetches()
