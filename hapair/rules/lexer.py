"""Words of HAProxy's configuration language: blanks separate, quotes and backslashes keep together."""

from __future__ import annotations

import attrs


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
    quoted: bool = False


def split(text: str) -> list[Word]:
    """The words of a rule.

    Raises:
        RuleError: a quote is not closed.
    """
    words: list[Word] = []
    letters: list[str] = []
    start = -1
    quote = ""
    quoted = False
    at = 0
    while at < len(text):
        letter = text[at]
        if start < 0 and not letter.isspace():
            start = at
        if quote:
            if letter == quote:
                quote = ""
            elif letter == "\\" and quote == '"' and at + 1 < len(text):
                at += 1
                letters.append(text[at])
            else:
                letters.append(letter)
        elif letter in "\"'":
            quote, quoted = letter, True
        elif letter == "\\" and at + 1 < len(text):
            at += 1
            letters.append(text[at])
        elif letter.isspace():
            if start >= 0:
                words.append(Word("".join(letters), start, quoted))
                letters, start, quoted = [], -1, False
        else:
            letters.append(letter)
        at += 1
    if quote:
        raise RuleError(start, f"the quote {quote} is not closed")
    if start >= 0:
        words.append(Word("".join(letters), start, quoted))
    return words
