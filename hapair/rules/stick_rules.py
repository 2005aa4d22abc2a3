"""Stick rules in HAProxy's words: who belongs to which server by a stick table (section 4.2).

on src                                       match, and store the server that served
match req.cook(sid) table others if { … }    match only
store-request src                            store only
store-response res.cook(sid)                 store by what the server said
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.rules.acl import compile_condition
from hapair.rules.action_words import Words
from hapair.rules.arguments import did_you_mean
from hapair.rules.fetch import RESPONSE
from hapair.rules.lexer import RuleError, split
from hapair.rules.sample import compile_sample
from hapair.rules.stick_words import find_table
from hapair.rules.values import CASTS, castable
from hapair.rules.verdicts import negated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hapair.rules.acl import Setting
    from hapair.rules.facts import Facts, Test
    from hapair.tables.directory import Named
    from hapair.tables.table import Key, Table

_MATCHES: Final = {"on": True, "match": True, "store-request": False, "store-response": False}
_STORES: Final = {"on": True, "match": False, "store-request": True, "store-response": True}


class StickRule:
    """One compiled rule."""

    __slots__ = ("key", "matches", "stores", "table", "test")

    def __init__(
        self,
        table: Table,
        key: Callable[[Facts], Key | None],
        test: Test | None,
        *,
        matches: bool,
        stores: bool,
    ) -> None:
        self.table = table
        self.key = key
        """What is looked up and stored; None when it is not there."""
        self.test = test
        self.matches = matches
        self.stores = stores


def compile_stick(
    texts: Sequence[str], acls: Mapping[str, Test], setting: Setting
) -> tuple[list[StickRule], list[StickRule]]:
    """The rules about requests, and those about responses; without tables only their words are checked.

    Raises:
        RuleError: one of them is wrong.
    """
    requests: list[StickRule] = []
    responses: list[StickRule] = []
    before = setting.until
    for text in texts:
        words = split(text)
        if not words:
            raise RuleError(0, f"a stick rule begins with one of {', '.join(_MATCHES)}")
        kind = words[0].text
        if kind not in _MATCHES:
            hint = did_you_mean(kind, _MATCHES) or f"; there are {', '.join(_MATCHES)}"
            raise RuleError(words[0].offset, f"unknown stick rule {kind!r}{hint}")
        setting.asks = True
        of_response = kind == "store-response"
        setting.until = RESPONSE if of_response else before
        try:
            rule = _rule(kind, text, acls, setting)
        finally:
            setting.until = before
        if rule is not None:
            (responses if of_response else requests).append(rule)
    return requests, responses


def _rule(kind: str, text: str, acls: Mapping[str, Test], setting: Setting) -> StickRule | None:
    every = split(text)
    at = next((i for i, word in enumerate(every) if i and word.text in ("if", "unless")), len(every))
    words = Words(every[:at], setting)
    word = words.take("a sample")
    sample = compile_sample(word.text, word.offset, files=setting.files, until=setting.until)
    name, offset = None, words.action.offset
    if words.left:
        words.option(["table"])
        named_by = words.take("the name of a stick table")
        name, offset = named_by.text, named_by.offset
    words.end()
    test: Test | None = None
    if at < len(every):
        if at + 1 == len(every):
            raise RuleError(every[at].offset, f"a condition must follow {every[at].text!r}")
        test = compile_condition(every[at + 1 :], acls, setting)
        test = negated(test) if every[at].text == "unless" else test
    tables = setting.files.tables
    if tables is None:
        return None
    named = find_table(tables, name, offset, f"stick {kind}", "server_id")
    if not castable(sample.kind, named.kind):
        raise RuleError(
            word.offset, f"{word.text}: table {named.table.name} has keys of type {named.config.type}"
        )
    key = _reader(sample.read, named)
    return StickRule(named.table, key, test, matches=_MATCHES[kind], stores=_STORES[kind])


def _reader(read: Callable[[Facts], object], named: Named) -> Callable[[Facts], Key | None]:
    cast = CASTS[named.kind]
    make = named.key

    def key(facts: Facts) -> Key | None:
        value = read(facts)
        taken = None if value is None else cast(value)  # type: ignore[arg-type]
        return None if taken is None else make(taken)

    return key


def stick_mistake(text: str, names: Sequence[str], setting: Setting) -> tuple[int, str] | None:
    """Offset and message of what is wrong with a rule that may refer to the ACLs `names`."""
    try:
        compile_stick([text], dict.fromkeys(names, _never), setting)
    except RuleError as error:
        return error.offset, error.message
    return None


def _never(_: Facts) -> bool:
    return False
