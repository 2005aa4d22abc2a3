"""Converters that look a sample up in a stick table: `src,table_http_req_rate(flood)` (section 7.3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from hapair.rules import arguments
from hapair.rules.converter import Convert, Converter
from hapair.rules.stick_words import GENERAL, PLAIN, Look, table_of
from hapair.rules.values import CASTS

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Value


def _lookup(answer: Callable[[Any, int, int], Value], absent: Value | None, stored: str) -> Any:
    def make(call: Call, _files: Files) -> Convert:
        if call.given(0) is None:
            raise call.mistake("needs the name of a stick table")
        named = table_of(call, 0, stored)
        if named is None:
            return lambda _value, _facts: None
        cast = CASTS[named.kind]

        def convert(value: Any, facts: Facts) -> Value | None:
            taken = cast(value)
            key = None if taken is None else named.key(taken)
            if key is None or facts.about is None:
                return None
            row = named.table.find(key, facts.about.tick)
            return answer(named.table, row, facts.about.tick) if row >= 0 else absent

        return convert

    return make


def _age(look: Look) -> Any:
    """Of an entry that is not there the default, where one is given."""

    def make(call: Call, files: Files) -> Convert:
        default: int | None = call.take(1, arguments.number, "a number") if call.given(1) else None
        made: Convert = _lookup(look, default, "")(call, files)
        return made

    return make


def _indexed(name: str) -> Any:
    """`table_gpc(index,table)`."""

    def make(call: Call, files: Files) -> Convert:
        index: int = call.take(0, arguments.number, "the index of a counter or tag")
        table = attrs.evolve(call, arguments=(call.arguments or ())[1:])
        look: Look = lambda found, row, now: found.value(row, name, now, index)  # noqa: E731
        made: Convert = _lookup(look, 0, name)(table, files)
        return made

    return make


def _converters() -> dict[str, Converter]:
    words: dict[str, tuple[str, Look, str]] = {**PLAIN, **GENERAL}
    words["server_id"] = ("server_id", lambda t, row, now: t.value(row, "server_id", now), "its server")
    words["trackers"] = ("", lambda table, row, _now: table.uses(row), "how many track it")
    found = {
        f"table_{name}": Converter(
            "any", "int", _lookup(look, 0, stored), f"in a stick table: {meaning}, or 0", most=1
        )
        for name, (stored, look, meaning) in words.items()
    }
    found["in_table"] = Converter(
        "any", "bool", _lookup(lambda _t, _r, _n: True, False, ""), "is it in a stick table?", most=1
    )
    found["table_expire"] = Converter(
        "any",
        "int",
        _age(lambda t, row, now: t.left(row, now)),
        "ms until it leaves a stick table; a default",
        most=2,
    )
    found["table_idle"] = Converter(
        "any",
        "int",
        _age(lambda t, row, now: t.expire - t.left(row, now) if t.expire else 0),
        "ms since it was used in a stick table; a default",
        most=2,
    )
    for name in ("gpc", "gpt"):
        found[f"table_{name}"] = Converter(
            "any", "int", _indexed(name), f"in a stick table: a {name} by its index, or 0", most=2
        )
    return found


CONVERTERS: Final[dict[str, Converter]] = _converters()
