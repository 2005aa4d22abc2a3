"""Where each key and value of a TOML document stands: tomllib keeps no positions.

A scanner for documents that tomllib has already accepted, so it need not judge:
it only has to find its way (TOML 1.0).  Its law is a property test: the paths
are those of tomllib's result, and each span read by itself gives the same value.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

import attrs

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*'""")
_DOT = re.compile(r"[ \t]*(\.?)[ \t]*")
_SCALAR = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})'''
    r"""|\'\'\'.*?\'\'\'(?:'{0,2})"""
    r"""|"(?:\\.|[^"\\])*"|'[^']*'"""
    r"""|\d{4}-\d{2}-\d{2}[ ]\d{2}:[^\s,\]}#]+|[^\s,\]}#]+""",
    re.DOTALL,
)


@attrs.frozen
class Span:
    """Offsets in the text."""

    start: int
    end: int


@attrs.frozen
class Place:
    key: Span
    value: Span
    """Of a table that was opened by a header: the same as its key."""


class Lines:
    """Offsets -> line and column, both from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self._starts, offset, hi=len(self._starts) - 1)
        return line, offset - self._starts[line - 1] + 1


def locate(text: str) -> Mapping[Path, Place]:
    """Each key path and array position of `text` (valid TOML, lines ended by `\\n` only), and where it is.

    A table that is written in parts (`a.b = 1`, `a.c = 2`, `[a.d]`) is where it is first named.
    """
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._places: dict[Path, Place] = {}
        self._lengths: dict[Path, int] = {}
        """Elements so far of each array of tables."""

    def document(self) -> Mapping[Path, Place]:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(2)
            elif self._text.startswith("[", self._at):
                table = self._header(1)
            else:
                self._assignment(table)
            self._skip(_BLANK)
        return self._places

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "tomllib accepted this document"
        self._at = found.end()
        return found[0]

    def _header(self, brackets: int) -> Path:
        """`[a.b]` or `[[a.b]]`; returns the path of the table that it opens."""
        self._at += brackets
        path: Path = ()
        keys = self._dotted_key()
        for i, (key, span) in enumerate(keys):
            path = (*path, key)
            self._places.setdefault(path, Place(span, span))
            if path in self._lengths:
                last = i == len(keys) - 1
                path = (*path, self._lengths[path] - (not (last and brackets == 2)))
        if brackets == 2:
            if not isinstance(path[-1], int):
                path = (*path, 0)
            self._lengths[path[:-1]] = int(path[-1]) + 1
            self._places[path] = Place(keys[-1][1], keys[-1][1])
        self._skip(_DOT)
        self._at += brackets
        return path

    def _dotted_key(self) -> list[tuple[str, Span]]:
        keys = []
        self._skip(_DOT)
        while True:
            start = self._at
            written = self._skip(_KEY)
            key = tomllib.loads(f"k = {written}")["k"] if written[0] in "\"'" else written
            keys.append((key, Span(start, self._at)))
            if "." not in self._skip(_DOT):
                return keys

    def _assignment(self, table: Path) -> None:
        keys = self._dotted_key()
        for key, span in keys[:-1]:
            table = (*table, key)
            self._places.setdefault(table, Place(span, span))
        key, span = keys[-1]
        self._at += 1  # the `=`
        self._skip(_DOT)
        self._value((*table, key), span)

    def _value(self, path: Path, key: Span | None) -> None:
        """The value at `path`; an array's element has no key of its own."""
        start = self._at
        opening = self._text[start]
        if opening == "[":
            self._list(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_SCALAR)
        value = Span(start, self._at)
        self._places[path] = Place(key or value, value)

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._more("]"):
            self._value((*path, index), None)
            index += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._more("}"):
            self._assignment(path)

    def _more(self, closing: str) -> bool:
        """Step over blanks and a comma; False, past it, when `closing` is there."""
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)
        if self._text[self._at] == closing:
            self._at += 1
            return False
        return True
