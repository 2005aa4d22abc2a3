"""Matching methods: patterns compiled to one test on one sample (configuration manual, section 7.1).

Hot: each test is a single call wherever Python has one that does it all
(`startswith` with a tuple, a set, one regular expression of alternatives).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from hapair.rules.lexer import RuleError, Word
from hapair.rules.patience import Expression, regular

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXT_METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg", "len")
"""What can be asked of text, besides whether it is there (`found`)."""

_NUMBER = re.compile(r"-?[0-9]{1,18}")
_OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge")
_UNBOUNDED = 1 << 63
_FEW = 16
"""Patterns of a length that are looked for one by one."""
_COMPARED = 1 << 21
"""Lengths of patterns times bytes that `sub` looks at, some 0.1 s; in longer samples it finds nothing."""
LEAST_BYTES = 1024
"""... but of samples that are no longer than this, it compares whatever it takes."""


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
    if ignore_case:
        wanted = tuple(pattern.lower() for pattern in wanted)
    if method in ("dir", "dom"):
        return _parted(b"/?" if method == "dir" else b"/?.:", wanted, ignore_case=ignore_case)
    if method == "sub" and (ignore_case or len(wanted) > 1):
        return _containing(wanted, ignore_case=ignore_case)
    if ignore_case:
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
    return lambda sample: sample.find(part) >= 0  # `in` takes three times as long on bytes


def _containing(wanted: tuple[bytes, ...], *, ignore_case: bool) -> Callable[[bytes], bool]:
    """Is one of them in a sample?"""
    sizes: dict[int, set[bytes]] = {}
    for pattern in wanted:
        sizes.setdefault(len(pattern), set()).add(pattern)
    few = len(wanted) <= _FEW * len(sizes)
    longest = max(LEAST_BYTES, _COMPARED // max(1, len(sizes)))

    def test(sample: bytes) -> bool:
        if len(sample) > longest:
            return False
        if ignore_case:
            sample = sample.lower()
        if few:
            for part in wanted:  # noqa: SIM110  # a generator costs as much as three of them
                if sample.find(part) >= 0:
                    return True
            return False
        return _has_piece(sample, sizes)

    return test


def _has_piece(sample: bytes, sizes: dict[int, set[bytes]]) -> bool:
    """Is a piece of one of these sizes one of these? It does not matter how many there are of a size."""
    for size, patterns in sizes.items():
        for at in range(len(sample) - size + 1):
            if sample[at : at + size] in patterns:
                return True
    return False


def _parted(delimiters: bytes, wanted: tuple[bytes, ...], *, ignore_case: bool) -> Callable[[bytes], bool]:
    """Does one of them stand between delimiters, or between one and an end?

    Outer delimiters of a pattern do not count; one of nothing else never matches.  Samples are split
    and looked up, so that it does not matter how many patterns there are.
    """
    one_of_them = bytes.maketrans(delimiters, b"/" * len(delimiters))
    single: set[bytes] = set()
    longer: dict[int, set[bytes]] = {}
    for pattern in wanted:
        bare = pattern.strip(delimiters)
        count = bare.translate(one_of_them).count(b"/") + 1
        if count > 1:
            longer.setdefault(count, set()).add(bare)
        elif bare:
            single.add(bare)

    def test(sample: bytes) -> bool:
        if ignore_case:
            sample = sample.lower()
        parts = sample.translate(one_of_them).split(b"/")
        if not single.isdisjoint(parts):
            return True
        return bool(longer) and _runs_of_parts(sample, parts, longer)

    return test


def _runs_of_parts(sample: bytes, parts: list[bytes], longer: dict[int, set[bytes]]) -> bool:
    """Do so many parts in a row, with the delimiters between them, make one of the patterns?"""
    begins, at = [], 0
    for part in parts:
        begins.append(at)
        at += len(part) + 1
    begins.append(at)
    for count, patterns in longer.items():
        for i in range(len(parts) - count + 1):
            if sample[begins[i] : begins[i + count] - 1] in patterns:
                return True
    return False


def _regular(word: Word, *, ignore_case: bool) -> Expression:
    return regular(word.text, word.offset, ignore_case=ignore_case, where=False)


def _searched(expressions: Sequence[Expression]) -> Callable[[bytes], bool]:
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
