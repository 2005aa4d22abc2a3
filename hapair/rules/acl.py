"""ACLs in HAProxy's words, compiled to closures at load.

    path_beg -i /static /images      an expression: fetch, flags, patterns (any of them)

Conditions over ACLs are in `rules.condition`, and both are offered here.

Law: everything that can be wrong is found at load, with its offset in the text;
a compiled test cannot fail.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hapair.rules.condition import Condition, any_of
from hapair.rules.lexer import RuleError, Word, split
from hapair.rules.matching import TEXT_METHODS
from hapair.rules.samples import FETCHES, SUFFIXED, Expression, compile_expression

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hapair.rules.facts import Facts, Test

METHODS = ("found", *TEXT_METHODS, "int", "ip")
PREDEFINED: dict[str, str] = {
    "FALSE": "always_false",
    "HTTP": "method -m found",
    "LOCALHOST": "src 127.0.0.0/8 ::1",
    "METH_CONNECT": "method CONNECT",
    "METH_DELETE": "method DELETE",
    "METH_GET": "method GET HEAD",
    "METH_HEAD": "method HEAD",
    "METH_OPTIONS": "method OPTIONS",
    "METH_POST": "method POST",
    "METH_PUT": "method PUT",
    "METH_TRACE": "method TRACE",
    "TRUE": "always_true",
}
"""HAProxy's predefined ACLs, as far as these fetches can express them."""

_FETCH = re.compile(r"(?P<name>[a-z][a-z0-9_.]*)(?:\((?P<argument>[^()]*)\))?")
_SPELLINGS = (*FETCHES, *(f"{fetch}_{method}" for fetch in SUFFIXED for method in TEXT_METHODS))


def acl_mistake(expression: str) -> tuple[int, str] | None:
    """Offset and message of what is wrong with an ACL expression; None when it is right."""
    try:
        _compile(expression)
    except RuleError as error:
        return error.offset, error.message
    return None


def condition_mistake(condition: str, names: Collection[str]) -> tuple[int, str] | None:
    """The same for a condition that may refer to the ACLs `names`."""
    try:
        compile_condition(condition, dict.fromkeys(names, _never))
    except RuleError as error:
        return error.offset, error.message
    return None


def compile_acl(expressions: Sequence[str]) -> Test:
    """One named ACL: any of its expressions.

    Raises:
        RuleError: an expression is wrong.
    """
    return any_of([_compile(expression) for expression in expressions])


def compile_condition(condition: str, acls: Mapping[str, Test]) -> Test:
    """A condition over named and inline ACLs.

    Raises:
        RuleError: it is wrong.
    """

    def named(word: Word) -> Test:
        test = acls.get(word.text)
        if test is not None:
            return test
        if word.text in PREDEFINED:
            return _compile(PREDEFINED[word.text])
        raise RuleError(word.offset, f"there is no acl {word.text!r}{_advice(word.text, acls)}")

    return Condition(condition, named, _expression).compile()


def _compile(expression: str) -> Test:
    return _expression(split(expression), 0)


def _expression(words: Sequence[Word], offset: int) -> Test:
    if not words:
        raise RuleError(offset, "an expression is missing: a fetch such as path_beg, then patterns")
    first = words[0]
    spelled = _FETCH.fullmatch(first.text)
    if spelled is None:
        raise RuleError(first.offset, f"{first.text!r} is not a fetch such as path_beg or hdr(host)")
    fetch, method = _without_suffix(spelled["name"])
    if fetch not in FETCHES:
        hint = _did_you_mean(spelled["name"], _SPELLINGS)
        raise RuleError(first.offset, f"unknown fetch {spelled['name']!r}{hint}")
    ignore_case, method, patterns = _flags(words[1:], method)
    return compile_expression(Expression(fetch, spelled["argument"], method, ignore_case, patterns, first))


def _without_suffix(name: str) -> tuple[str, str]:
    """`path_beg` is `path`, matched by `beg`."""
    fetch, _, method = name.rpartition("_")
    return (fetch, method) if fetch in SUFFIXED and method in TEXT_METHODS else (name, "")


def _flags(words: Sequence[Word], method: str) -> tuple[bool, str, Sequence[Word]]:
    """(-i, matching method, patterns)."""
    ignore_case = False
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        flag = words[at]
        at += 1
        if flag.text == "--":
            break
        if flag.text == "-i":
            ignore_case = True
        elif flag.text == "-m":
            if at == len(words) or words[at].text not in METHODS:
                raise RuleError(flag.offset, f"-m needs a matching method: {', '.join(METHODS)}")
            method = words[at].text
            at += 1
        else:
            raise RuleError(
                flag.offset, f"unknown flag {flag.text!r}; there are -i, -m and --, which ends the flags"
            )
    return ignore_case, method, words[at:]


def _advice(name: str, acls: Collection[str]) -> str:
    if name in ("and", "&&"):
        return "; conditions side by side must all hold"
    if name.startswith("{") or name.endswith("}"):
        return "; braces need blanks around them"
    spelled = _FETCH.fullmatch(name)
    if spelled is not None and _without_suffix(spelled["name"])[0] in FETCHES:
        return f"; an expression stands in braces: {{ {name} ... }}"
    return _did_you_mean(name, [*acls, *PREDEFINED])


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def _never(_: Facts) -> bool:
    return False
