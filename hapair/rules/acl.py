"""ACLs in HAProxy's words, compiled to closures at load.

    path_beg -i /static /images      an expression: fetch, flags, patterns (any of them)
    req.hdr(host),lower -f hosts.lst the same with converters, and patterns from a file

Conditions over ACLs are in `rules.condition`, and both are offered here.

Law: everything that can be wrong is found at load, with its offset in the text;
a compiled test cannot fail.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from hapair.rules import samples
from hapair.rules.arguments import Call, calls, did_you_mean
from hapair.rules.condition import Condition, any_of
from hapair.rules.fetch import RESPONSE
from hapair.rules.fetch_connection import DOTTED
from hapair.rules.lexer import RuleError, Word, split
from hapair.rules.matching import TEXT_METHODS
from hapair.rules.needs import ANYTHING, NOTHING, of_fetch
from hapair.rules.pattern_files import Files, Lines, Live, Reference, as_words
from hapair.rules.sample import FETCHES, compile_sample
from hapair.rules.sample_match import DEFAULT_METHOD, METHODS, compile_match

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hapair.rules.facts import Facts, Test

PREDEFINED: dict[str, str] = {
    "FALSE": "always_false",
    "HTTP": "method -m found",
    "HTTP_1.0": "req.ver 1.0",
    "HTTP_1.1": "req.ver 1.1",
    "HTTP_CONTENT": "req.hdr_val(content-length) gt 0",
    "HTTP_URL_ABS": "url_reg ^[^/:]*://",
    "HTTP_URL_SLASH": "url_beg /",
    "HTTP_URL_STAR": "url *",
    "LOCALHOST": "src 127.0.0.0/8 ::1",
    "METH_CONNECT": "method CONNECT",
    "METH_DELETE": "method DELETE",
    "METH_GET": "method GET HEAD",
    "METH_HEAD": "method HEAD",
    "METH_OPTIONS": "method OPTIONS",
    "METH_POST": "method POST",
    "METH_PUT": "method PUT",
    "METH_TRACE": "method TRACE",
    "REQ_CONTENT": "req.len gt 0",
    "TRUE": "always_true",
    "WAIT_END": "wait_end",
}
"""HAProxy's predefined ACLs."""

SUFFIXED = "base cook hdr path scook shdr url url_param urlp".split()
"""Fetches that take a matching method as a suffix: `path_beg`, `hdr_dom(host)`."""

_VERSION = re.compile(r"(?<![0-9.])([0-9]{1,5})\.([0-9]{1,5})(?![0-9.])")
_SPELLINGS = (*FETCHES, *(f"{fetch}_{method}" for fetch in SUFFIXED for method in TEXT_METHODS))


@attrs.define
class Setting:
    """Where a rule is compiled."""

    files: Files
    until: int = RESPONSE
    """When it is asked: what is known later is a mistake (`rules.fetch`)."""
    asks: bool = False
    """Set once something is compiled that asks more than the request's own facts."""
    outgoing: bool = False
    """Set once something is compiled that asks for our address towards the server."""
    beyond_path: bool = False
    """Set once something is compiled that asks for more than the request's path."""
    needs: int = NOTHING
    """What the things depend on that have been compiled since it was set to NOTHING (`rules.needs`)."""
    acl_needs: dict[str, int] = attrs.field(factory=dict)
    """The same for each ACL; what is not here may depend on anything."""
    captures: list[int] = attrs.field(factory=lambda: [0, 0])
    """How many slots there are for what is captured of requests and of responses."""
    foreign: bool = False
    """These are rules of a backend: what they capture stands behind that of the frontend."""


def acl_mistake(expression: str) -> tuple[int, str] | None:
    """Offset and message of what is wrong with an ACL expression; None when it is right."""
    try:
        _compile(expression, Setting(Files()))
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


def compile_acl(expressions: Sequence[str], setting: Setting | None = None) -> Test:
    """One named ACL: any of its expressions.

    Raises:
        RuleError: an expression is wrong.
    """
    setting = setting or Setting(Files())
    return any_of([_compile(expression, setting) for expression in expressions])


def compile_condition(
    condition: str | Sequence[Word], acls: Mapping[str, Test], setting: Setting | None = None
) -> Test:
    """A condition over named and inline ACLs.

    Raises:
        RuleError: it is wrong.
    """
    setting = setting or Setting(Files())

    def named(word: Word) -> Test:
        test = acls.get(word.text)
        if test is not None:
            setting.needs |= setting.acl_needs.get(word.text, ANYTHING)
            return test
        if word.text in PREDEFINED:
            return _compile(PREDEFINED[word.text], setting)
        raise RuleError(word.offset, f"there is no acl {word.text!r}{_advice(word.text, acls)}")

    return Condition(condition, named, lambda words, offset: _expression(words, offset, setting)).compile()


def _compile(expression: str, setting: Setting) -> Test:
    return _expression(split(expression), 0, setting)


def _expression(words: Sequence[Word], offset: int, setting: Setting) -> Test:
    if not words:
        raise RuleError(offset, "an expression is missing: a fetch such as path_beg, then patterns")
    first = words[0]
    fetch, *converters = calls(first.text, first.offset)
    name, method = _without_suffix(fetch.name)
    if name not in FETCHES:
        hint = did_you_mean(fetch.name, _SPELLINGS)
        raise RuleError(first.offset, f"unknown fetch {fetch.name!r}{hint}")
    ignore_case, method, references, patterns = _flags(words[1:], method, setting.files)
    kind = FETCHES[name].gives
    make: Callable[[Sequence[Word]], Test]
    if not converters and _is_common(name, fetch, method):
        if name != "path" or references:  # what is in a file may change
            setting.beyond_path = True
        setting.needs |= of_fetch(name)
        argument = fetch.arguments[0].text if fetch.arguments else "" if fetch.arguments is not None else None

        def make(patterns: Sequence[Word]) -> Test:
            return samples.compile_expression(
                samples.Expression(name, argument, method, ignore_case, patterns, first)
            )
    else:
        setting.asks = setting.beyond_path = True
        sample = compile_sample(
            name + first.text[len(fetch.name) :], first.offset, files=setting.files, until=setting.until
        )
        kind = sample.kind
        setting.needs |= sample.needs
        dotted = name in DOTTED and not converters

        def make(patterns: Sequence[Word]) -> Test:
            if dotted:
                patterns = [Word(_undotted(word.text), word.offset) for word in patterns]
            return compile_match(sample, method, patterns, first, ignore_case=ignore_case)

    if not references:
        return make(patterns)
    setting.needs |= ANYTHING

    def make_all() -> Test:
        words = [*as_words(references, first.offset), *patterns]
        return make(words) if words else _never  # a file may be empty, or become so

    def accepts(lines: Lines) -> None:
        if lines:
            make([Word(key, first.offset) for key, _ in lines])

    matched = method or DEFAULT_METHOD.get(kind, "str")
    live = Live("acl", matched, make_all, accepts, ignore_case=ignore_case)
    for reference in references:
        reference.used_by(live)
    return live.ask


def _undotted(text: str) -> str:
    """Versions as numbers: 3.1 is 3 * 65536 + 1."""
    return _VERSION.sub(lambda found: str((int(found[1]) << 16) + int(found[2])), text)


def _is_common(name: str, fetch: Call, method: str) -> bool:
    """Is there a shorter way for it than by a sample and a match?"""
    if len(fetch.arguments or ()) > 1:
        return False
    if name in samples.COUNTS or name in samples.HELLO_TYPES:
        return method in ("", "int")
    if name == "src":
        return method in ("", "ip", "found")
    if name in samples.CONSTANTS:
        return not method
    return name in samples.FETCHES and method in ("", "found", *TEXT_METHODS)


def _without_suffix(name: str) -> tuple[str, str]:
    """`path_beg` is `path`, matched by `beg`."""
    if name in FETCHES:
        return name, ""
    fetch, _, method = name.rpartition("_")
    return (fetch, method) if fetch in SUFFIXED and method in TEXT_METHODS else (name, "")


def _flags(
    words: Sequence[Word], method: str, files: Files
) -> tuple[bool, str, list[Reference], Sequence[Word]]:
    """(-i, matching method, files of patterns, patterns)."""
    ignore_case = keys = False
    listed: list[Reference] = []
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        flag = words[at]
        at += 1
        if flag.text == "--":
            break
        if flag.text == "-i":
            ignore_case = True
        elif flag.text == "-M":
            keys = True
        elif flag.text == "-n":
            pass  # names are never resolved
        elif flag.text in ("-m", "-f", "-u"):
            if at == len(words) or (flag.text == "-m" and words[at].text not in METHODS):
                needs = {"-m": f"a matching method: {', '.join(METHODS)}", "-f": "a file", "-u": "a number"}
                raise RuleError(flag.offset, f"{flag.text} needs {needs[flag.text]}")
            if flag.text == "-m":
                method = words[at].text
            elif flag.text == "-f":
                listed.append(files.patterns(words[at].text, words[at].offset, keyed=keys))
            at += 1
        else:
            raise RuleError(
                flag.offset,
                f"unknown flag {flag.text!r}; there are -i, -m, -f, -M, -n, -u and --, which ends the flags",
            )
    return ignore_case, method, listed, words[at:]


def _advice(name: str, acls: Collection[str]) -> str:
    if name in ("and", "&&"):
        return "; conditions side by side must all hold"
    if name.startswith("{") or name.endswith("}"):
        return "; braces need blanks around them"
    if _without_suffix(name.partition("(")[0].partition(",")[0])[0] in FETCHES:
        return f"; an expression stands in braces: {{ {name} ... }}"
    return did_you_mean(name, [*acls, *PREDEFINED])


def _never(_: Facts) -> bool:
    return False
