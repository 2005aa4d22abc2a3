"""Sample expressions: a fetch and its converters, `req.hdr(host,1),lower`, compiled to one closure.

Law: everything that can be wrong is found at load; a compiled sample cannot fail,
and is None when what it asks for is not there or cannot be converted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from hapair.rules import (
    convert_json,
    convert_map,
    convert_more,
    convert_number,
    convert_table,
    convert_text,
    fetch_auth,
    fetch_connection,
    fetch_internal,
    fetch_request,
    fetch_table,
    fetch_transport,
)
from hapair.rules.arguments import Call, calls, did_you_mean
from hapair.rules.fetch import MOMENTS, RESPONSE, Fetch, Read, ReadEach
from hapair.rules.lexer import RuleError
from hapair.rules.needs import of_converter, of_fetch
from hapair.rules.pattern_files import Files
from hapair.rules.values import CASTS, castable

if TYPE_CHECKING:
    from hapair.rules.converter import Convert, Converter
    from hapair.rules.facts import Facts
    from hapair.rules.values import Kind, Value

FETCHES: dict[str, Fetch] = {
    **fetch_internal.FETCHES,
    **fetch_connection.FETCHES,
    **fetch_request.FETCHES,
    **fetch_table.FETCHES,
    **fetch_auth.FETCHES,
    **fetch_transport.FETCHES,
}
CONVERTERS: dict[str, Converter] = {
    **convert_text.CONVERTERS,
    **convert_number.CONVERTERS,
    **convert_more.CONVERTERS,
    **convert_map.CONVERTERS,
    **convert_table.CONVERTERS,
    **convert_json.CONVERTERS,
}


@attrs.frozen
class Sample:
    """A compiled expression."""

    kind: Kind
    read: Read
    each: ReadEach
    """Every occurrence, for ACLs."""
    several: bool
    """May there be more occurrences than one?"""
    since: int
    """The earliest moment at which it can be known (`rules.fetch`)."""
    needs: int
    """What it depends on (`rules.needs`)."""


def compile_sample(
    text: str, offset: int = 0, *, files: Files | None = None, until: int = RESPONSE
) -> Sample:
    """Compile `fetch[(arguments)][,converter[(arguments)]...]`, which stands at `offset` of its rule.

    `until` is the moment at which it will be read: what is known later is a mistake.

    Raises:
        RuleError: it is wrong.
    """
    if files is None:
        files = Files()
    first, *rest = [attrs.evolve(call, tables=files.tables) for call in calls(text, offset)]
    fetch = FETCHES.get(first.name)
    if fetch is None:
        raise RuleError(first.offset, f"unknown fetch {first.name!r}{did_you_mean(first.name, FETCHES)}")
    if fetch.since > until:
        raise first.mistake(f"known only {MOMENTS[fetch.since]}")
    _check_count(first, fetch.most)
    files.fetches.add(first.name)
    read = fetch.make(first)
    each = fetch.each(first) if fetch.each is not None else None
    kind = fetch.gives
    needs = of_fetch(first.name)
    steps: list[Convert] = []
    for call in rest:
        converter = CONVERTERS.get(call.name)
        if converter is None:
            raise RuleError(
                call.offset, f"unknown converter {call.name!r}{did_you_mean(call.name, CONVERTERS)}"
            )
        _check_count(call, converter.most)
        if not castable(kind, converter.takes):
            raise call.mistake(f"takes {converter.takes}, and what stands before it is {kind}")
        convert = converter.make(call, files)
        steps.append(convert if _fits(kind, converter.takes) else _cast(converter.takes, convert))
        needs |= of_converter(call.name)
        kind = kind if converter.gives == "any" else converter.gives
    if steps:
        read = _through(read, steps)
    return Sample(kind, read, _each(read, each, steps), each is not None, fetch.since, needs)


def _check_count(call: Call, most: int) -> None:
    given = call.arguments or ()
    if len(given) > most and not (not most and len(given) == 1 and not given[0].text):
        many = f"{most} argument{'s' if most > 1 else ''} at most" if most else "no argument"
        raise RuleError(call.where(most), f"{call.name} takes {many}")


def _fits(kind: Kind, wanted: Kind) -> bool:
    return wanted in (kind, "any") or (kind == "meth" and wanted == "str")


def _cast(wanted: Kind, convert: Convert) -> Convert:
    cast: Callable[[Value], Any] = CASTS[wanted]

    def after(value: Value, facts: Facts) -> Value | None:
        taken = cast(value)
        return None if taken is None else convert(taken, facts)

    return after


def _through(read: Read, steps: list[Convert]) -> Read:
    if len(steps) == 1:
        step = steps[0]
        return lambda facts: None if (value := read(facts)) is None else step(value, facts)

    def convert(facts: Facts) -> Value | None:
        value = read(facts)
        for step in steps:
            if value is None:
                return None
            value = step(value, facts)
        return value

    return convert


def _each(read: Read, each: ReadEach | None, steps: list[Convert]) -> ReadEach:
    if each is None:
        return lambda facts: () if (value := read(facts)) is None else (value,)
    if not steps:
        return each
    every = each

    def converted(facts: Facts) -> list[Value]:
        found = []
        for value in every(facts):
            known: Value | None = value
            for step in steps:
                if known is None:
                    break
                known = step(known, facts)
            if known is not None:
                found.append(known)
        return found

    return converted
