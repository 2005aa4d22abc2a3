"""Files of patterns and maps: read at load, reloadable, one copy for all the rules that name one.

A line is a pattern, or a key, blanks and a value; `#` begins a comment.  What is made of a file is
made anew when it is next asked after its lines have changed, by a reload or by the runtime socket.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hapair.rules.lexer import RuleError, Word

if TYPE_CHECKING:
    from hapair.tables.directory import Directory

Lines = list[tuple[str, str]]
"""Keys and values."""

_LINE = re.compile(r"\s*(\S+)(?:\s+(.*?))?\s*")


@attrs.define(eq=False)
class Entry:
    """One line."""

    number: int
    """Its name at the runtime socket (`#0x2a`); the same in every process of the node."""
    key: str
    value: str = ""


class Live:
    """What rules ask: made of files, and made anew when they have changed."""

    __slots__ = ("__weakref__", "_made", "_make", "_stale", "accepts", "ignore_case", "kind", "method")

    def __init__(
        self,
        kind: str,
        method: str,
        make: Callable[[], Callable[[Any], Any]],
        accepts: Callable[[Lines], object],
        *,
        ignore_case: bool = False,
    ) -> None:
        """`kind` is `acl` or `map`; `accepts` raises RuleError for lines that it has no use for."""
        self.kind = kind
        self.method = method
        self.ignore_case = ignore_case
        self.accepts = accepts
        self._make = make
        self._made = make()
        self._stale = False

    def ask(self, sample: Any) -> Any:
        if self._stale:
            self._stale = False
            self._made = self._make()
        return self._made(sample)

    def outdate(self) -> None:
        """Lines have changed."""
        self._stale = True


class Reference:
    """One file, as patterns or as keys and values."""

    def __init__(self, path: str, number: int, *, keyed: bool) -> None:
        self.path = path
        self.number = number
        self.keyed = keyed
        self.entries: list[Entry] = []
        self._uses: list[weakref.ref[Live]] = []
        self._last = 0

    def uses(self) -> list[Live]:
        """Who asks it, in the order of the rules."""
        found = [live for use in self._uses if (live := use()) is not None]
        if len(found) < len(self._uses):
            self._uses = [weakref.ref(live) for live in found]
        return found

    def used_by(self, live: Live) -> None:
        self._uses.append(weakref.ref(live))

    def read(self, offset: int = 0) -> Lines:
        """Key and value of each line as the file is now.

        Raises:
            RuleError: the file cannot be read.
        """
        try:
            text = Path(self.path).read_text("utf-8", "surrogateescape")
        except OSError as error:
            raise RuleError(offset, f"{self.path}: {error.strerror or error}") from None
        except ValueError as error:
            raise RuleError(offset, f"{self.path!r}: {error}") from None
        return list(_lines(text, keyed=self.keyed))

    def replace(self, lines: Lines) -> None:
        """Have these lines from now on."""
        self.entries = []
        for key, value in lines:
            self._append(key, value)
        self._changed()

    def add(self, key: str, value: str = "") -> None:
        """One more line.

        Raises:
            RuleError: a rule has no use for it.
        """
        for live in self.uses():
            live.accepts([(key, value)])
        self._append(key, value)
        self._changed()

    def set(self, which: Callable[[Entry], bool], value: str) -> int:
        """Another value for these; returns how many there are."""
        found = [entry for entry in self.entries if which(entry)]
        for entry in found:
            entry.value = value
        self._changed()
        return len(found)

    def delete(self, which: Callable[[Entry], bool]) -> int:
        """Forget these; returns how many there were."""
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if not which(entry)]
        self._changed()
        return before - len(self.entries)

    def lines(self) -> Lines:
        return [(entry.key, entry.value) for entry in self.entries]

    def _append(self, key: str, value: str) -> None:
        self._last += 1
        self.entries.append(Entry(self._last, key, value))

    def _changed(self) -> None:
        for live in self.uses():
            live.outdate()


def _lines(text: str, *, keyed: bool) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is not None:
            if keyed:
                yield found[1], found[2] or ""
            else:
                yield line.strip(), ""


class References:
    """All files that the rules of a process name."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bool], Reference] = {}
        self._last = -1

    def file(self, path: str, offset: int, *, keyed: bool) -> Reference:
        """What the rules share; read when it is new, or was of no use until now.

        Raises:
            RuleError: the file cannot be read.
        """
        found = self._known.get((path, keyed))
        if found is None:
            found = Reference(path, self._last + 1, keyed=keyed)
            found.replace(found.read(offset))
            self._last += 1
            self._known[path, keyed] = found
        elif not found.uses():
            found.replace(found.read(offset))
        return found

    def used(self) -> list[Reference]:
        """Those that some rule asks."""
        return [one for one in self._known.values() if one.uses()]

    def changed(self) -> list[tuple[Reference, Lines]]:
        """Those whose files have other lines by now, and these.

        Raises:
            RuleError: a file cannot be read, or a rule has no use for a line.
        """
        found = []
        for one in self.used():
            lines = one.read()
            if lines != one.lines():
                for live in one.uses():
                    live.accepts(lines)
                found.append((one, lines))
        return found


class Files:
    """The files that one frontend or backend names, its stick tables, and what its rules ask for."""

    def __init__(self, tables: Directory | None = None, references: References | None = None) -> None:
        self.tables = tables
        """Stick tables; None where any name will do, since it is only asked whether words are right."""
        self.references = references if references is not None else References()
        self.fetches: set[str] = set()
        """The names of those that its rules ask."""
        self._made: dict[tuple[str, ...], Live] = {}

    def patterns(self, path: str, offset: int, *, keyed: bool) -> Reference:
        """A file of patterns, or (`-M`) of a map whose keys are the patterns."""
        return self.references.file(path, offset, keyed=keyed)

    def table(
        self,
        path: str,
        method: str,
        offset: int,
        make: Callable[[Lines], Callable[[Any], Any]],
    ) -> Callable[[Any], Any]:
        """What `make` makes of a map, once for each `method`."""
        live = self._made.get((path, method))
        if live is None:
            reference = self.references.file(path, offset, keyed=True)
            live = Live(
                "map",
                method,
                lambda: make(reference.lines()),
                make,
            )
            reference.used_by(live)
            self._made[path, method] = live
        return live.ask


def as_words(references: list[Reference], offset: int) -> list[Word]:
    """Every line of some files as a pattern."""
    return [Word(entry.key, offset) for one in references for entry in one.entries]
