"""Matching methods: patterns compiled to one test on one sample (configuration manual, section 7.1).

Hot: each test is a single call wherever Python has one that does it all
(`startswith` with a tuple, a set, one regular expression of alternatives).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from hapair.rules.lexer import RuleError, Word
from hapair.rules.patience import regular

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXT_METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg", "len")
"""What can be asked of text, besides whether it is there (`found`)."""

_NUMBER = re.compile(r"-?[0-9]{1,18}")
_OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge")
_UNBOUNDED = 1 << 63


def text_test(method: str, patterns: Sequence[Word], *, ignore_case: bool) -> Callable[[bytes], bool]:
    """A test of text: does any of `patterns` match by `method`?

    Raises:
        RuleError: a regular expression or a number is invalid.
    """
    if method == "len":
        in_range = number_test(patterns)
        return lambda sample: in_range(len(sample))
    if method == "reg":
        return _searched([_regular(word, ignore_case=ignore_case) for word in patterns])
    wanted = tuple(word.text.encode("utf-8", "surrogateescape") for word in patterns)
    if method in ("dir", "dom", "sub") and not (method == "sub" and len(wanted) == 1 and not ignore_case):
        flags = re.IGNORECASE if ignore_case else 0
        return _searched([re.compile(_expression(method, wanted), flags)])
    if ignore_case:
        wanted = tuple(pattern.lower() for pattern in wanted)
        if method == "str":
            folded = frozenset(wanted)
            return lambda sample: sample.lower() in folded
        if method == "beg":
            return lambda sample: sample.lower().startswith(wanted)
        return lambda sample: sample.lower().endswith(wanted)
    if method == "str":
        return frozenset(wanted).__contains__
    if method == "beg":
        return lambda sample: sample.startswith(wanted)
    if method == "end":
        return lambda sample: sample.endswith(wanted)
    part = wanted[0]
    return lambda sample: part in sample


def _expression(method: str, wanted: Sequence[bytes]) -> bytes:
    """One regular expression for `sub`, and for `dir` and `dom`, whose patterns stand between delimiters.

    Outer delimiters of a pattern do not count; one of nothing else never matches.
    """
    if method == "sub":
        return b"|".join(map(re.escape, wanted))
    delimiters = b"/?" if method == "dir" else b"/?.:"
    border = b"[" + re.escape(delimiters) + b"]"
    inner = [re.escape(bare) for pattern in wanted if (bare := pattern.strip(delimiters))]
    if not inner:
        return b"(?!)"
    return b"(?:^|" + border + b")(?:" + b"|".join(inner) + rb")(?:\Z|" + border + b")"


def _regular(word: Word, *, ignore_case: bool) -> re.Pattern[bytes]:
    return regular(word.text, word.offset, ignore_case=ignore_case)


def _searched(expressions: Sequence[re.Pattern[bytes]]) -> Callable[[bytes], bool]:
    if len(expressions) == 1:
        search = expressions[0].search
        return lambda sample: search(sample) is not None
    return lambda sample: any(expression.search(sample) for expression in expressions)


@attrs.frozen
class _Range:
    least: int
    most: int


def number_test(patterns: Sequence[Word]) -> Callable[[int], bool]:
    """A test of numbers: `3`, `2:5`, `:5`, `2:`; an operator holds for the numbers that follow it.

    Raises:
        RuleError: not a number, a range or an operator with a number.
    """
    ranges: list[_Range] = []
    operator = "eq"
    dangling: Word | None = None
    for word in patterns:
        if word.text in _OPERATORS:
            operator, dangling = word.text, word
            continue
        ranges += _ranges(word, operator)
        dangling = None
    if dangling is not None:
        raise RuleError(dangling.offset, f"a number must follow {dangling.text!r}")
    if len(ranges) == 1:
        least, most = ranges[0].least, ranges[0].most
        return lambda sample: least <= sample <= most
    return lambda sample: any(one.least <= sample <= one.most for one in ranges)


def _ranges(word: Word, operator: str) -> list[_Range]:
    low, colon, high = word.text.partition(":")
    if colon:
        if operator != "eq":
            raise RuleError(word.offset, f"{operator!r} takes a number, not the range {word.text!r}")
        if not low and not high:
            raise RuleError(word.offset, "':' alone is not a range")
        return [
            _Range(_number(word, low) if low else -_UNBOUNDED, _number(word, high) if high else _UNBOUNDED)
        ]
    number = _number(word, low)
    match operator:
        case "eq":
            return [_Range(number, number)]
        case "ne":
            return [_Range(-_UNBOUNDED, number - 1), _Range(number + 1, _UNBOUNDED)]
        case "lt":
            return [_Range(-_UNBOUNDED, number - 1)]
        case "le":
            return [_Range(-_UNBOUNDED, number)]
        case "gt":
            return [_Range(number + 1, _UNBOUNDED)]
        case _:
            return [_Range(number, _UNBOUNDED)]


def _number(word: Word, text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise RuleError(word.offset, f"{word.text!r} is not a number or a range such as 2:5")
    return int(text)
