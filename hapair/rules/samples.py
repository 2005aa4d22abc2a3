"""The ACLs that nearly every configuration has, each compiled to as few calls as it can be.

`rules.sample` has every fetch and converter, and `rules.sample_match` puts any test to them;
what is here gives the same answers in a fraction of the time.

One text (`path`), any of several (`hdr(x)`: each element of a comma-separated
list by itself; `req.fhdr(x)`: each line as a whole), a number (`hdr_cnt(x)`), an
address (`src`).  Law: a sample that is not there never matches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import attrs

from hapair.rules.client_hello import OTHER
from hapair.rules.fetch_request import elements
from hapair.rules.lexer import RuleError, Word
from hapair.rules.matching import TEXT_METHODS, number_test, text_test
from hapair.rules.networks import address_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.rules.client_hello import Hello
    from hapair.rules.facts import Facts, Test

TEXTS = ("path", "query", "method")
HEADERS = ("hdr", "req.hdr", "req.fhdr")
COUNTS = ("hdr_cnt", "req.hdr_cnt", "req.fhdr_cnt")
SERVER_NAMES = ("req.ssl_sni", "req_ssl_sni")
HELLO_TYPES = ("req.ssl_hello_type", "req_ssl_hello_type")
CONSTANTS = {"always_true": True, "always_false": False}
FETCHES = (*TEXTS, *HEADERS, *COUNTS, "src", *SERVER_NAMES, *HELLO_TYPES, *CONSTANTS)

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@attrs.frozen
class Expression:
    """A parsed expression: `hdr_dom(host) -i example.org` is hdr, host, dom, -i, one pattern."""

    fetch: str
    argument: str | None
    method: str
    """How to match; empty for the fetch's own way."""
    ignore_case: bool
    patterns: Sequence[Word]
    word: Word
    """The fetch as it was written, for messages."""


def compile_expression(expression: Expression) -> Test:
    """The test that the expression means.

    Raises:
        RuleError: the argument, the method or a pattern does not fit the fetch.
    """
    fetch = expression.fetch
    if fetch in HEADERS:
        return _headers(expression)
    if fetch in COUNTS:
        return _count(expression)
    _no_argument(expression)
    if fetch in CONSTANTS:
        return _constant(expression)
    if fetch == "src":
        return _source(expression)
    if fetch in HELLO_TYPES:
        return _hello_type(expression)
    return _text(expression)


def _text(expression: Expression) -> Test:
    server_name = expression.fetch in SERVER_NAMES
    sample: Callable[[Facts], bytes] = _server_name if server_name else attrgetter(expression.fetch)
    if expression.method == "found":
        _no_patterns(expression)
        return lambda facts: bool(sample(facts))
    test = _text_test(expression)
    if expression.fetch == "path" and not test(b""):
        return lambda facts: test(facts.path)  # by far the most frequent; a getter is one more call
    if test(b""):
        return lambda facts: bool(known := sample(facts)) and test(known)
    return lambda facts: test(sample(facts))


def _headers(expression: Expression) -> Test:
    name = _header_name(expression)
    if expression.method == "found":
        _no_patterns(expression)
        if name == b"host":
            return lambda facts: facts.host is not None
        return lambda facts: bool(facts.header(name))
    test = _text_test(expression)
    if name == b"host":
        # There is one at most and it is no list: whoever parsed the request saw to that.
        return lambda facts: facts.host is not None and test(facts.host)
    if expression.fetch == "req.fhdr":
        return lambda facts: any(map(test, facts.header(name)))

    def any_element(facts: Facts) -> bool:
        for value in facts.header(name):
            if value.find(b",") < 0:  # `in` takes three times as long on bytes
                if test(value):
                    return True
            elif any(map(test, elements(value))):
                return True
        return False

    return any_element


def _count(expression: Expression) -> Test:
    name = _header_name(expression)
    if expression.method not in ("", "int"):
        raise _unfit(expression, "it is a number and takes numbers and ranges only")
    _need_patterns(expression)
    in_range = number_test(expression.patterns)
    if expression.fetch == "req.fhdr_cnt":
        return lambda facts: in_range(len(facts.header(name)))
    return lambda facts: in_range(sum(len(elements(value)) for value in facts.header(name)))


def _source(expression: Expression) -> Test:
    if expression.method == "found":
        _no_patterns(expression)
        return lambda facts: bool(facts.source)
    if expression.method not in ("", "ip"):
        raise _unfit(expression, "it is an address and takes addresses and networks only")
    _need_patterns(expression)
    test = address_test(expression.patterns)
    return lambda facts: test(facts.source)


def _hello_type(expression: Expression) -> Test:
    if expression.method not in ("", "int"):
        raise _unfit(expression, "it is a number and takes numbers and ranges only")
    _need_patterns(expression)
    in_range = number_test(expression.patterns)
    return lambda facts: in_range(_hello(facts).kind)


def _server_name(facts: Facts) -> bytes:
    return _hello(facts).server_name


def _hello(facts: Facts) -> Hello:
    hello: Hello = getattr(facts, "hello", OTHER)  # only a stream that was looked into has one
    return hello


def _constant(expression: Expression) -> Test:
    _no_patterns(expression)
    verdict = CONSTANTS[expression.fetch]
    return lambda _: verdict


def _text_test(expression: Expression) -> Callable[[bytes], bool]:
    method = expression.method or "str"
    if method not in TEXT_METHODS:
        raise _unfit(expression, f"it is text, and -m takes found, {', '.join(TEXT_METHODS)}")
    _need_patterns(expression)
    return text_test(method, expression.patterns, ignore_case=expression.ignore_case)


def _header_name(expression: Expression) -> bytes:
    argument = expression.argument
    if not argument:
        raise _unfit(expression, f"name a header: {expression.word.text.partition('(')[0]}(host)")
    if _NAME.fullmatch(argument) is None:
        raise _unfit(expression, f"{argument!r} is not the name of a header")
    return argument.lower().encode()


def _no_argument(expression: Expression) -> None:
    if expression.argument is not None:
        raise _unfit(expression, f"{expression.fetch} takes no argument")


def _need_patterns(expression: Expression) -> None:
    if not expression.patterns:
        end = expression.word.offset + len(expression.word.text)
        raise RuleError(end, f"{expression.word.text}: at least one pattern must follow")
    for pattern in expression.patterns:
        if not pattern.text:
            # HAProxy ends the line here; and a beginning that is empty would be everything's.
            raise RuleError(pattern.offset, "an empty pattern matches nothing")


def _no_patterns(expression: Expression) -> None:
    if expression.patterns:
        raise RuleError(expression.patterns[0].offset, f"{expression.word.text}: no pattern fits here")


def _unfit(expression: Expression, why: str) -> RuleError:
    return RuleError(expression.word.offset, f"{expression.word.text}: {why}")
