"""Which bytes the single elements of a parsed regular expression match: numbers with a bit for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from re import _constants as op  # type: ignore[attr-defined]  # the only way to look into one
from re._parser import SubPattern  # type: ignore[import-not-found]
from typing import Any, Final

ANYTHING: Final = (1 << 256) - 1
SINGLE: Final = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
"""Elements of one byte."""


def bits(members: Any) -> int:
    return sum(1 << byte for byte in set(members))


_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: rb"\d",
    op.CATEGORY_NOT_DIGIT: rb"\D",
    op.CATEGORY_SPACE: rb"\s",
    op.CATEGORY_NOT_SPACE: rb"\S",
    op.CATEGORY_WORD: rb"\w",
    op.CATEGORY_NOT_WORD: rb"\W",
}
_CATEGORY_BITS: Final = {
    category: bits(byte for byte in range(256) if re.match(text, bytes([byte])))
    for category, text in _CATEGORIES.items()
}
_UPPER: Final = bits(range(65, 91))
_LOWER: Final = bits(range(97, 123))


class ByteSets:
    """For one expression: does `.` match line ends, do letters have no case, and is all that unknown?"""

    def __init__(self, *, blind: bool, dots: bool, folds: bool) -> None:
        """`blind` for what depends on the locale."""
        self._blind = blind
        self._dots = dots
        self._folds = folds

    def of(self, element: Any) -> int:
        """At least the bytes that one of the single elements matches."""
        operation, argument = element
        if self._blind or (operation is op.ANY and self._dots):
            return ANYTHING
        if operation is op.ANY:
            return ANYTHING & ~bits(b"\n")
        if operation is op.LITERAL:
            return self._folded(1 << int(argument))
        if operation is op.NOT_LITERAL:
            return ANYTHING & ~(1 << int(argument))
        found, negated = 0, False
        for kind, member in argument:
            if kind is op.NEGATE:
                negated = True
            elif kind is op.LITERAL:
                found |= 1 << member
            elif kind is op.RANGE:
                found |= bits(range(member[0], member[1] + 1))
            elif kind is op.CATEGORY:
                found |= _CATEGORY_BITS[member]
        return self._folded(ANYTHING & ~found if negated else found)

    def _folded(self, members: int) -> int:
        if not self._folds:
            return members
        return members | (members & _UPPER) << 32 | (members & _LOWER) >> 32


@cache
def members_of(members: int) -> list[int]:
    return [byte for byte in range(256) if members >> byte & 1]


def walk(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every element, and what is in it."""
    for operation, argument in tree:
        yield operation, argument
        for part in argument if isinstance(argument, tuple) else (argument,):
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, SubPattern):
                    yield from walk(inner)


def adds(tree: Any, flag: int) -> bool:
    """Does a group within turn this flag on?"""
    return any(operation is op.SUBPATTERN and argument[1] & flag for operation, argument in walk(tree))
