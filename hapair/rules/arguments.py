"""Calls in a sample expression: `req.hdr(host,1),lower,map(/etc/hosts.map,default)`.

Arguments are separated by commas; quotes and a backslash keep together what has
commas or brackets in it (configuration manual, section 7.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import attrs

from hapair.rules.lexer import RuleError

if TYPE_CHECKING:
    from hapair.tables.directory import Directory

_NAME = re.compile(r"[A-Za-z0-9_.+\-]*")


@attrs.frozen
class Argument:
    """One argument and where it begins."""

    text: str
    offset: int


@attrs.frozen
class Call:
    """A fetch or a converter, and what it is given."""

    name: str
    offset: int
    arguments: tuple[Argument, ...] | None
    """None without brackets."""
    tables: Directory | None = attrs.field(default=None, eq=False)
    """As in `pattern_files.Files`."""

    def given(self, at: int) -> str | None:
        """The argument at `at`; None where there is none, or an empty one."""
        arguments = self.arguments or ()
        return arguments[at].text or None if at < len(arguments) else None

    def take(self, at: int, read: Callable[[str], Any], what: str) -> Any:
        """The argument at `at`, understood by `read`.

        Raises:
            RuleError: it is missing, or `read` raised ValueError.
        """
        text = self.given(at)
        if text is None:
            raise self.mistake(f"needs {what}")
        try:
            return read(text)
        except ValueError:
            raise RuleError(self.where(at), f"{self.name}: {text!r} is not {what}") from None

    def where(self, at: int) -> int:
        """Where the argument at `at` begins."""
        arguments = self.arguments or ()
        return arguments[at].offset if at < len(arguments) else self.offset

    def mistake(self, why: str) -> RuleError:
        """An error about the call as a whole."""
        return RuleError(self.offset, f"{self.name}: {why}")


def calls(text: str, offset: int) -> list[Call]:
    """The calls of an expression; `offset` is where it stands in its rule.

    Raises:
        RuleError: it cannot be read.
    """
    found = []
    at = 0
    while True:
        name = _NAME.match(text, at)
        assert name is not None  # it may be empty
        begin, at = at, name.end()
        if not name[0]:
            raise RuleError(offset + begin, "a fetch or a converter is missing here")
        arguments = None
        if text[at : at + 1] == "(":
            arguments, at = _arguments(text, at, offset)
        found.append(Call(name[0], offset + begin, arguments))
        if at == len(text):
            return found
        if text[at] != ",":
            raise RuleError(offset + at, f"a comma or a bracket is missing before {text[at]!r}")
        at += 1


def _arguments(text: str, opened: int, offset: int) -> tuple[tuple[Argument, ...], int]:
    """What stands in the brackets that open at `opened`, and where to go on."""
    found: list[Argument] = []
    letters: list[str] = []
    quote = ""
    start = at = opened + 1
    while at < len(text):
        letter = text[at]
        if letter == "\\" and quote != "'" and text[at + 1 : at + 2]:
            follows = text[at + 1]
            letters.append(follows if follows in "\\ \"'#,()" else letter + follows)
            at += 2
            continue
        if quote:
            if letter == quote:
                quote = ""
            else:
                letters.append(letter)
        elif letter in "\"'":
            quote = letter
        elif letter in ",)":
            found.append(Argument("".join(letters), offset + start))
            letters, start = [], at + 1
            if letter == ")":
                return tuple(found), at + 1
        else:
            letters.append(letter)
        at += 1
    raise RuleError(offset + opened, "this '(' is never closed")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """What may have been meant, to be put behind a message."""
    close = get_close_matches(word, known, 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def number(text: str) -> int:
    """A whole number."""
    return int(text, 0) if text[:2].lower() == "0x" else int(text)
