"""Matching methods: patterns compiled to one test on a sample."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network

from hapair.rules.lexer import RuleError, Word

BytesTest = Callable[[bytes], bool]
METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg", "found", "ip", "int", "bool", "len")
_REMEMBERED = 8192


def text_test(method: str, patterns: Sequence[Word], *, ignore_case: bool) -> BytesTest:
    """A test of text samples: does any of `patterns` match?

    Raises:
        RuleError: a regular expression or number is invalid.
    """
    wanted = tuple(word.text.encode() for word in patterns)
    if method == "reg":
        return _regular(patterns, ignore_case=ignore_case)
    if method == "len":
        lengths = frozenset(_number(word) for word in patterns)
        return lambda sample: len(sample) in lengths
    if ignore_case:
        wanted = tuple(pattern.lower() for pattern in wanted)
        plain = _plain(method, wanted)
        return lambda sample: plain(sample.lower())
    return _plain(method, wanted)


def _plain(method: str, wanted: tuple[bytes, ...]) -> BytesTest:
    if method == "str":
        exact = frozenset(wanted)
        return lambda sample: sample in exact
    if method == "beg":
        return lambda sample: sample.startswith(wanted)
    if method == "end":
        return lambda sample: sample.endswith(wanted)
    if method == "sub":
        return lambda sample: any(pattern in sample for pattern in wanted)
    if method == "dir":
        return _delimited(wanted, b"/?")
    if method == "dom":
        return _delimited(wanted, b"/?.:")
    raise AssertionError(method)


def _delimited(wanted: tuple[bytes, ...], delimiters: bytes) -> BytesTest:
    """Patterns that must stand between delimiters (or the ends); their own outer ones do not count."""
    border = b"[" + re.escape(delimiters) + b"]"
    stripped = [re.escape(pattern.strip(delimiters)) for pattern in wanted]
    expression = re.compile(
        b"(?:^|" + border + b")(?:" + b"|".join(stripped) + b")(?:$|" + border + b")", re.DOTALL
    )
    return lambda sample: expression.search(sample) is not None


def _regular(patterns: Sequence[Word], *, ignore_case: bool) -> BytesTest:
    expressions = []
    for word in patterns:
        try:
            expressions.append(re.compile(word.text.encode(), re.IGNORECASE if ignore_case else 0))
        except re.error as error:
            raise RuleError(word.offset, f"invalid regular expression: {error.msg}") from None
    return lambda sample: any(expression.search(sample) for expression in expressions)


def address_test(patterns: Sequence[Word]) -> Callable[[str], bool]:
    """A test of client addresses against addresses and networks; answers are remembered.

    Raises:
        RuleError: not an address or network.
    """
    networks = []
    for word in patterns:
        try:
            networks.append(ip_network(word.text, strict=False))
        except ValueError:
            raise RuleError(word.offset, f"{word.text!r} is not an IP address or network") from None
    remembered: dict[str, bool] = {}

    def test(sample: str) -> bool:
        known = remembered.get(sample)
        if known is None:
            try:
                address = ip_address(sample)
            except ValueError:
                known = False  # a client on a unix socket has no address
            else:
                known = any(network.version == address.version and address in network for network in networks)
            if len(remembered) < _REMEMBERED:
                remembered[sample] = known
        return known

    return test


def number_test(patterns: Sequence[Word]) -> Callable[[int], bool]:
    """A test of numbers: `3`, `2:5`, or an operator (eq ne lt le gt ge) before one number.

    Raises:
        RuleError: not a number or range.
    """
    ranges: list[tuple[float, float]] = []
    operator = "eq"
    for word in patterns:
        if word.text in ("eq", "lt", "le", "gt", "ge"):
            operator = word.text
            continue
        low, colon, high = word.text.partition(":")
        if colon:
            ranges.append(
                (
                    _number(Word(low, word.offset)) if low else float("-inf"),
                    _number(Word(high, word.offset)) if high else float("inf"),
                )
            )
            continue
        number = _number(word)
        infinity = float("inf")
        ranges.append(
            {
                "eq": (number, number),
                "lt": (-infinity, number - 1),
                "le": (-infinity, number),
                "gt": (number + 1, infinity),
                "ge": (number, infinity),
            }[operator]
        )
    return lambda sample: any(low <= sample <= high for low, high in ranges)


def _number(word: Word) -> int:
    if re.fullmatch(r"[0-9]{1,18}", word.text) is None:
        raise RuleError(word.offset, f"{word.text!r} is not a number")
    return int(word.text)
