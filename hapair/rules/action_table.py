"""Actions on stick tables: `track-sc0 src table flood`, `sc-inc-gpc0(0)` (section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.rules.action_words import Words
from hapair.rules.fetch import REQUEST
from hapair.rules.lexer import RuleError
from hapair.rules.sample import compile_sample
from hapair.rules.stick_words import find_table
from hapair.rules.values import CASTS, castable, to_number
from hapair.tables.tracks import COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.rules.facts import Facts
    from hapair.rules.fetch import Read
    from hapair.rules.verdicts import Act

    Make = Callable[[Words], Act]


def _track(number: int) -> Make:
    def make(words: Words) -> Act:
        setting = words.setting
        word = words.take("a sample")
        sample = compile_sample(word.text, word.offset, files=setting.files, until=setting.until)
        name, offset = None, words.action.offset
        if words.left:
            words.option(["table"])
            named_by = words.take("the name of a stick table")
            name, offset = named_by.text, named_by.offset
        words.end()
        of_request = setting.until >= REQUEST
        tables = setting.files.tables
        if tables is None:
            return lambda _facts: None  # only the words were to be checked
        named = find_table(tables, name, offset, words.action.text)
        if not castable(sample.kind, named.kind):
            raise RuleError(
                word.offset, f"{word.text}: table {named.table.name} has keys of type {named.kind}"
            )
        cast = CASTS[named.kind]

        def act(facts: Facts) -> None:
            value = sample.read(facts)
            taken = None if value is None else cast(value)
            key = None if taken is None else named.key(taken)
            about = facts.about
            if key is not None and about is not None:
                about.tracks.track(number, named.table, key, about.tick, of_request=of_request)

        return act

    return make


def _bracketed(words: Words, many: int) -> list[int]:
    """The numbers in `sc-inc-gpc(1,0)`; the last is that of the counter."""
    text = words.action.text
    opened = text.find("(")
    numbers = text[opened + 1 : -1].split(",")
    if not text.endswith(")") or len(numbers) != many or not all(one.strip().isdecimal() for one in numbers):
        what = "an index and the number of a counter" if many > 1 else "the number of a counter"
        raise RuleError(words.action.offset + opened + 1, f"{text[:opened]} takes {what}")
    found = [int(one) for one in numbers]
    if found[-1] >= COUNT:
        raise RuleError(words.action.offset + opened + 1, f"counters are 0 to {COUNT - 1}")
    return found


def _raise(name: str, *, indexed: bool) -> Make:
    def make(words: Words) -> Act:
        *index, number = _bracketed(words, 2 if indexed else 1)
        words.end()
        at = index[0] if indexed else 0

        def act(facts: Facts) -> None:
            about = facts.about
            table = None if about is None else about.tracks.tables[number]
            if about is not None and table is not None:
                row = about.tracks.rows[number]
                table.add(row, name, 1, about.tick, at)
                if not indexed:
                    table.add(row, name + "_rate", 1, about.tick)

        return act

    return make


def _tag(name: str, *, indexed: bool) -> Make:
    def make(words: Words) -> Act:
        *index, number = _bracketed(words, 2 if indexed else 1)
        word = words.take("a number or a sample")
        read: Read
        if word.text.isdecimal():
            fixed = int(word.text) & 0xFFFFFFFF
            read = lambda _facts: fixed  # noqa: E731
        else:
            setting = words.setting
            read = compile_sample(word.text, word.offset, files=setting.files, until=setting.until).read
        words.end()
        at = index[0] if indexed else 0

        def act(facts: Facts) -> None:
            value = read(facts)
            tag = None if value is None else to_number(value)
            about = facts.about
            table = None if about is None else about.tracks.tables[number]
            if about is not None and table is not None and tag is not None:
                table.set_value(about.tracks.rows[number], name, tag & 0xFFFFFFFF, at)

        return act

    return make


ACTIONS: Final[dict[str, Make]] = {
    **{f"track-sc{number}": _track(number) for number in range(COUNT)},
    "sc-inc-gpc0(": _raise("gpc0", indexed=False),
    "sc-inc-gpc1(": _raise("gpc1", indexed=False),
    "sc-inc-gpc(": _raise("gpc", indexed=True),
    "sc-set-gpt0(": _tag("gpt0", indexed=False),
    "sc-set-gpt(": _tag("gpt", indexed=True),
}
