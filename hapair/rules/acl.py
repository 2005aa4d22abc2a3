"""ACL expressions and conditions in HAProxy's words, compiled to closures at load.

    path_beg -i /static /images          an expression: fetch, flags, patterns (any of them)
    url_static !blocked || { src 10.0.0.0/8 }   a condition: and, or, not, inline expressions

Law: everything that can be wrong is found at load, with its offset in the text;
a compiled test cannot fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches

from hapair.rules.facts import Facts, Test
from hapair.rules.lexer import RuleError, Word, split
from hapair.rules.matching import METHODS, address_test, number_test, text_test

_FETCH = re.compile(r"([a-z][a-z0-9_.]*)(?:\(([^()]*)\))?")
_SUFFIXES = ("beg", "end", "sub", "dir", "dom", "reg", "len")

_TEXTS: dict[str, Callable[[Facts], bytes]] = {
    "path": lambda facts: facts.path,
    "query": lambda facts: facts.query,
    "url": lambda facts: facts.path + b"?" + facts.query if facts.query else facts.path,
    "method": lambda facts: facts.method,
}
_HEADERS = ("hdr", "req.hdr", "req.fhdr")
_KNOWN = (*_TEXTS, *_HEADERS, "hdr_cnt", "req.hdr_cnt", "src", "always_true", "always_false")

PREDEFINED: dict[str, str] = {
    "FALSE": "always_false",
    "HTTP": "path -m found",
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
"""HAProxy's predefined ACLs that these fetches can express."""


def acl_mistake(expression: str) -> tuple[int, str] | None:
    """Offset and message of what is wrong with an ACL expression; None when it is right."""
    try:
        _expression(split(expression))
    except RuleError as error:
        return error.offset, error.message
    return None


def condition_mistake(condition: str, names: Collection[str]) -> tuple[int, str] | None:
    """The same for a condition that may refer to the ACLs `names`."""
    try:
        _Condition(condition, dict.fromkeys(names, _never)).parse()
    except RuleError as error:
        return error.offset, error.message
    return None


def compile_acl(expressions: Sequence[str]) -> Test:
    """One named ACL: any of its expressions.

    Raises:
        RuleError: an expression is wrong.
    """
    return _any([_expression(split(expression)) for expression in expressions])


def compile_condition(condition: str, acls: Mapping[str, Test]) -> Test:
    """A condition over named and inline ACLs.

    Raises:
        RuleError: it is wrong.
    """
    return _Condition(condition, acls).parse()


class _Condition:
    """Recursive descent over `term term || !term …`."""

    def __init__(self, text: str, acls: Mapping[str, Test]) -> None:
        self._text = text
        self._words = split(text)
        self._acls = acls
        self._at = 0

    def parse(self) -> Test:
        alternatives = [self._conjunction()]
        while self._at < len(self._words):
            self._at += 1  # `||` or `or`: nothing else ends a conjunction
            alternatives.append(self._conjunction())
        return _any(alternatives)

    def _conjunction(self) -> Test:
        terms: list[Test] = []
        while self._at < len(self._words) and self._words[self._at].text not in ("||", "or"):
            terms.append(self._term())
        if not terms:
            raise RuleError(self._offset(), "a condition is missing here")
        return terms[0] if len(terms) == 1 else lambda facts: all(term(facts) for term in terms)

    def _term(self) -> Test:
        word = self._words[self._at]
        negated = False
        text, offset = word.text, word.offset
        while text.startswith("!"):
            negated = not negated
            text, offset = text[1:], offset + 1
            if not text:
                self._at += 1
                if self._at == len(self._words):
                    raise RuleError(word.offset, "nothing follows the '!'")
                text, offset = self._words[self._at].text, self._words[self._at].offset
        test = self._inline(offset) if text == "{" else self._named(text, offset)
        return (lambda facts: not test(facts)) if negated else test

    def _inline(self, offset: int) -> Test:
        begin = self._at + 1
        end = next((i for i in range(begin, len(self._words)) if self._words[i].text == "}"), -1)
        if end < 0:
            raise RuleError(offset, "'{' is not closed; braces need blanks around them")
        self._at = end + 1
        return _expression(self._words[begin:end], offset)

    def _named(self, name: str, offset: int) -> Test:
        self._at += 1
        test = self._acls.get(name)
        if test is not None:
            return test
        if name in PREDEFINED:
            return compile_acl([PREDEFINED[name]])
        hint = _suggestion(name, [*self._acls, *PREDEFINED])
        raise RuleError(offset, f"there is no acl {name!r}{hint}")

    def _offset(self) -> int:
        return self._words[self._at].offset if self._at < len(self._words) else len(self._text)


def _expression(words: Sequence[Word], offset: int = 0) -> Test:
    if not words:
        raise RuleError(offset, "an expression is missing: a fetch such as `path_beg`, then patterns")
    first = words[0]
    matched = _FETCH.fullmatch(first.text)
    if matched is None:
        raise RuleError(first.offset, f"{first.text!r} is not a fetch such as path_beg or hdr(host)")
    fetch, argument = matched[1], matched[2]
    fetch, method = _split_suffix(fetch)
    ignore_case, method, patterns = _flags(words[1:], method)
    return _compile(first, fetch, argument, method, patterns, ignore_case=ignore_case)


def _split_suffix(fetch: str) -> tuple[str, str]:
    """`path_beg` is `path` with method `beg`."""
    base, _, suffix = fetch.rpartition("_")
    return (base, suffix) if base and suffix in _SUFFIXES else (fetch, "")


def _flags(words: Sequence[Word], method: str) -> tuple[bool, str, Sequence[Word]]:
    ignore_case = False
    at = 0
    while at < len(words) and words[at].text.startswith("-") and not words[at].quoted:
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
        elif flag.text == "-n":
            pass  # no name resolution: we never resolve names in patterns
        else:
            raise RuleError(flag.offset, f"unknown flag {flag.text!r}; expected -i, -m, -n or --")
    return ignore_case, method, words[at:]


def _compile(
    first: Word, fetch: str, argument: str | None, method: str, patterns: Sequence[Word], *, ignore_case: bool
) -> Test:
    if fetch in ("always_true", "always_false"):
        verdict = fetch == "always_true"
        return lambda facts: verdict  # noqa: ARG005
    if fetch not in _KNOWN:
        raise RuleError(first.offset, f"unknown fetch {fetch!r}{_suggestion(fetch, _KNOWN)}")
    if fetch.endswith("hdr_cnt"):
        name = (argument or "").lower().encode()
        _need(first, patterns)
        counts = number_test(patterns)
        return lambda facts: counts(len(_header_values(facts, name)))
    if fetch == "src":
        if method not in ("", "ip"):
            raise RuleError(first.offset, "src is an address: it takes addresses and networks only")
        _need(first, patterns)
        address = address_test(patterns)
        return lambda facts: address(facts.source)
    if fetch in _HEADERS:
        if not argument:
            raise RuleError(first.offset, f"{fetch} needs a header name: {fetch}(host)")
        return _header_test(
            first, fetch, argument.lower().encode(), method, patterns, ignore_case=ignore_case
        )
    if argument is not None:
        raise RuleError(first.offset, f"{fetch} takes no argument")
    sample = _TEXTS[fetch]
    if method == "found":
        return lambda facts: bool(sample(facts))
    _need(first, patterns)
    test = text_test(_checked(first, method), patterns, ignore_case=ignore_case)
    return lambda facts: test(sample(facts))


def _header_test(
    first: Word, fetch: str, name: bytes, method: str, patterns: Sequence[Word], *, ignore_case: bool
) -> Test:
    if method == "found":
        return lambda facts: bool(facts.header(name))
    _need(first, patterns)
    test = text_test(_checked(first, method), patterns, ignore_case=ignore_case)
    if name == b"host":
        return lambda facts: facts.host is not None and test(facts.host)
    if fetch == "req.fhdr":
        return lambda facts: any(test(value) for value in facts.header(name))
    return lambda facts: any(test(value) for value in _header_values(facts, name))


def _header_values(facts: Facts, name: bytes) -> list[bytes]:
    """Comma-separated values one by one, as `hdr` sees them."""
    return [item.strip(b" \t") for value in facts.header(name) for item in value.split(b",")]


def _need(first: Word, patterns: Sequence[Word]) -> None:
    if not patterns:
        raise RuleError(first.offset + len(first.text), f"{first.text} needs at least one pattern")


def _checked(first: Word, method: str) -> str:
    if method in ("ip", "int", "bool"):
        raise RuleError(first.offset, f"{first.text} is text: -m {method} does not apply")
    return method or "str"


def _any(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        one, other = tests
        return lambda facts: one(facts) or other(facts)
    return lambda facts: any(test(facts) for test in tests)


def _never(facts: Facts) -> bool:  # noqa: ARG001
    return False


def _suggestion(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f'; did you mean "{close[0]}"?' if close else ""
