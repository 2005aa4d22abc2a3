"""Files of patterns and maps: read once at load, reloadable, one copy for all the rules that name one.

A line is a pattern, or a key, blanks and a value; `#` begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hapair.rules.lexer import RuleError, Word

if TYPE_CHECKING:
    from hapair.tables.directory import Directory

_LINE = re.compile(r"\s*(\S+)(?:\s+(.*?))?\s*")


class Files:
    """The files of one configuration, and its stick tables."""

    def __init__(self, tables: Directory | None = None) -> None:
        self.tables = tables
        """Stick tables; None where any name will do, since it is only asked whether words are right."""
        self._read: dict[str, list[tuple[str, str]]] = {}
        self.made: dict[tuple[str, ...], Any] = {}
        """Tables made of files, by path and how they are looked up."""

    def entries(self, path: str, offset: int) -> list[tuple[str, str]]:
        """Key and value of each line.

        Raises:
            RuleError: the file cannot be read.
        """
        known = self._read.get(path)
        if known is None:
            try:
                text = Path(path).read_text("utf-8", "surrogateescape")
            except OSError as error:
                raise RuleError(offset, f"{path}: {error.strerror or error}") from None
            except ValueError as error:
                raise RuleError(offset, f"{path!r}: {error}") from None
            known = self._read[path] = [
                (found[1], found[2] or "")
                for line in text.splitlines()
                if not line.lstrip().startswith("#") and (found := _LINE.fullmatch(line)) is not None
            ]
        return known

    def patterns(self, path: str, offset: int, *, keys: bool) -> list[Word]:
        """Each line as a pattern; of a map (`-M`) its keys."""
        return [
            Word(key if keys or not value else f"{key} {value}", offset)
            for key, value in self.entries(path, offset)
        ]

    def table(self, how: tuple[str, ...], make: Callable[[], Any]) -> Any:
        """What `make` makes, once for each `how`."""
        if how not in self.made:
            self.made[how] = make()
        return self.made[how]
