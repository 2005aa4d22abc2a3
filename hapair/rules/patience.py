"""Regular expressions that cannot keep us busy for ever.

Python's `re` backtracks.  Nested repetition (`(a+)+`, `(a|a)*`) takes exponential time
on a text that a client chooses, and `.*a.*b` takes cubic time.  So each expression has
the length of the longest text that it can be asked in `PATIENCE` steps, whatever is in
it (hapair.rules.backtracking): in a longer one it finds nothing, as HAProxy's finds
nothing at PCRE's match limit.  One that could be asked of nothing useful is refused at
load.  RE2 would be linear, but it is a C++ package with wheels for some platforms only.
"""

from __future__ import annotations

import re
import warnings
from re import _parser  # the only way to look into one
from typing import TYPE_CHECKING, Final

from hapair.rules.backtracking import Estimate
from hapair.rules.lexer import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE: Final = 1e7
"""Steps of one search: 10 to 100 ms, for the worst of texts."""
LONGEST: Final = 65536
"""Bytes of a text that need no bound: heads and bodies that rules see are no longer."""
LEAST: Final = 32
"""Bytes of a text that an expression must be able to be asked."""
_IDLE_START: Final = re.compile(r"(?:\.\*\??+)++(?![*+?{])")
"""`.*foo` is found where `foo` is, but only after n times as many steps."""


class Expression:
    """One that is asked of texts for which there is time, and finds nothing in others."""

    __slots__ = ("_pattern", "groups", "longest", "search")

    def __init__(self, pattern: re.Pattern[bytes], longest: int) -> None:
        """`longest` in bytes."""
        self._pattern = pattern
        self.groups = pattern.groups
        self.longest = longest
        self.search: Callable[[bytes], re.Match[bytes] | None] = pattern.search
        if longest < LONGEST:
            search = pattern.search
            self.search = lambda text: search(text) if len(text) <= longest else None

    def replace(self, text: bytes, replacement: Callable[[re.Match[bytes]], bytes], count: int) -> bytes:
        """`text` with what is found replaced; `count` 0 for every time."""
        return self._pattern.sub(replacement, text, count=count) if len(text) <= self.longest else text


def regular(
    text: str, offset: int, *, ignore_case: bool, where: bool = True, every: bool = False
) -> Expression:
    """Compile an expression.

    Without `where` it is only asked whether it finds something; `every` for all that it finds in a text.

    Raises:
        RuleError: it is invalid, or would take too long even in short texts.
    """
    idle = None if where else _IDLE_START.match(text)
    if idle is not None:
        text = text[idle.end() :]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error"
            )  # "possible nested set": it means something else in the next Python
            pattern = re.compile(text.encode(), re.IGNORECASE if ignore_case else 0)
            estimate = Estimate(_parser.parse(text.encode(), pattern.flags), pattern.flags, every=every)
            longest = estimate.longest(PATIENCE, LONGEST)
    except (re.error, FutureWarning, DeprecationWarning) as error:
        why = error.msg if isinstance(error, re.error) else str(error)
        raise RuleError(offset, f"invalid regular expression: {why}") from None
    except (RecursionError, OverflowError):
        raise RuleError(offset, "invalid regular expression: too deep or too large") from None
    if longest < LEAST:
        raise RuleError(
            offset,
            "this regular expression repeats what repeats itself: a client could keep it busy for ever",
        )
    return Expression(pattern, longest)
