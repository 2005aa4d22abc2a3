"""Words of HAProxy's configuration language: blanks separate, quotes and backslashes keep together.

A backslash escapes a blank, a quote, `#`, another backslash, and makes `\\t`,
`\\n`, `\\r` and `\\xHH`; before anything else it stays, so that `\\.` in a regular
expression needs no second one (configuration manual, section 2.2).  Between
single quotes nothing is special.
"""

from __future__ import annotations

import re

import attrs

_LITERAL = frozenset(" \\#\"'")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r"}
_HEX = re.compile(r"[0-9A-Fa-f]{2}")


class RuleError(Exception):
    """A rule that cannot be understood; `offset` is where in its text."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


@attrs.frozen
class Word:
    """One word and where it starts."""

    text: str
    offset: int


def split(text: str) -> list[Word]:
    """The words of a rule.

    Raises:
        RuleError: a quote is not closed, `\\x` has no number, or a `#` would begin a comment.
    """
    words: list[Word] = []
    letters: list[str] = []
    start = -1
    quote = ""
    opened = 0
    at = 0
    while at < len(text):
        letter = text[at]
        if start < 0 and not letter.isspace():
            start = at
        if letter == "\\" and quote != "'":
            escaped, at = _escape(text, at, quote)
            letters.append(escaped)
            continue
        if quote:
            if letter == quote:
                quote = ""
            else:
                letters.append(letter)
        elif letter in "\"'":
            quote, opened = letter, at
        elif letter == "#":
            # HAProxy drops the rest of the line: doing otherwise in silence would change what a rule means.
            raise RuleError(at, "'#' begins a comment in HAProxy's language: write \\# or quote it")
        elif not letter.isspace():
            letters.append(letter)
        elif start >= 0:
            words.append(Word("".join(letters), start))
            letters, start = [], -1
        at += 1
    if quote:
        raise RuleError(opened, f"this {quote} is never closed")
    if start >= 0:
        words.append(Word("".join(letters), start))
    return words


def _escape(text: str, at: int, quote: str) -> tuple[str, int]:
    """What the backslash at `at` and the letters after it stand for, and where to go on."""
    follows = text[at + 1 : at + 2]
    if follows in _LITERAL or (follows == "$" and quote):
        return follows or "\\", at + 2
    if follows in _CONTROL:
        return _CONTROL[follows], at + 2
    if follows == "x":
        digits = _HEX.match(text, at + 2)
        if digits is None:
            raise RuleError(at, "\\x needs two hexadecimal digits")
        return chr(int(digits[0], 16)), at + 4
    return "\\", at + 1
