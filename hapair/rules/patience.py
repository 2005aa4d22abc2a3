"""Regular expressions that cannot keep us busy for ever.

Python's `re` backtracks.  Nested repetition (`(a+)+`, `(a|a)*`) takes exponential time
on a text that a client chooses, so an expression that repeats what itself repeats
without bound is refused at load, and so is a back-reference in a repetition.  What is
left is polynomial in a text that the limit of a head bounds (16 KiB).  RE2 would be
linear, but it is a C++ package with wheels for some platforms only.
"""

from __future__ import annotations

import re
import warnings
from re import _constants, _parser  # type: ignore[attr-defined]  # the only way to look into one
from typing import Any, Final

from hapair.rules.lexer import RuleError

_REPEATS: Final = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
MANY: Final = 10
"""A bound below which repetition counts as finite."""


def regular(text: str, offset: int, *, ignore_case: bool) -> re.Pattern[bytes]:
    """Compile an expression.

    Raises:
        RuleError: it is invalid, or could take exponential time.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # "possible nested set": it means something else in the next Python
            expression = re.compile(text.encode(), re.IGNORECASE if ignore_case else 0)
            tree = _parser.parse(text.encode(), expression.flags)
    except (re.error, FutureWarning, DeprecationWarning) as error:
        why = error.msg if isinstance(error, re.error) else str(error)
        raise RuleError(offset, f"invalid regular expression: {why}") from None
    except (RecursionError, OverflowError):
        raise RuleError(offset, "invalid regular expression: too deep or too large") from None
    if _explodes(tree, inside=False):
        raise RuleError(
            offset,
            "this regular expression repeats what repeats itself: a client could keep it busy for ever",
        )
    return expression


def _explodes(tree: Any, *, inside: bool) -> bool:
    """Is there a repetition without bound, or an alternative, within a repetition without bound?"""
    for operation, argument in tree:
        if operation in _REPEATS:
            _, most, body = argument
            unbounded = most > MANY
            if unbounded and inside:
                return True
            if _explodes(body, inside=inside or unbounded):
                return True
            if unbounded and _ambiguous(body):
                return True
        elif operation is _constants.SUBPATTERN:
            if _explodes(argument[-1], inside=inside):
                return True
        elif operation is _constants.BRANCH:
            if any(_explodes(branch, inside=inside) for branch in argument[1]):
                return True
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            if _explodes(argument[1], inside=inside):
                return True
        elif operation is _constants.GROUPREF and inside:
            return True
    return False


def _ambiguous(body: Any) -> bool:
    """May one text be taken in two ways by a repeated body: through alternatives, or optional parts?"""
    for operation, argument in body:
        if operation is _constants.BRANCH or operation in _REPEATS:
            return True
        if operation is _constants.SUBPATTERN and _ambiguous(argument[-1]):
            return True
    return False
