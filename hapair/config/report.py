"""Collects problems, and finds where each belongs in the file."""

from __future__ import annotations

from collections.abc import Mapping

from hapair.config.locate import Lines, Path, Place, Span
from hapair.config.problems import Problem, dotted

_HEIRS = ("frontend", "backend")


class Report:
    """Every problem of one file; a place is named by its key path."""

    def __init__(self, file: str, text: str, places: Mapping[Path, Place]) -> None:
        self._file = file
        self._text = text
        self._places = places
        self._lines = Lines(text)
        self._problems: dict[tuple[int, int, str], Problem] = {}
        self._expanded: set[Path] = set()
        self._spoilt: set[Path] = set()

    def error(self, path: Path, message: str, *, at_key: bool = False, offset: int | None = None) -> None:
        """A mistake in the value at `path` (or its key), `offset` characters into it if it is a string."""
        if path not in self._spoilt:
            self._add(path, message, "error", at_key=at_key, offset=offset)

    def warning(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Something that works, but hardly as it was meant."""
        self._add(path, message, "warning", at_key=at_key, offset=None)

    def expanded(self, path: Path, *, failed: bool) -> None:
        """Environment variables went into the string at `path`: offsets into it mean nothing from now on.

        What else would be wrong with it is not reported when that failed.
        """
        self._expanded.add(path)
        if failed:
            self._spoilt.add(path)

    def written(self, path: Path) -> bool:
        """Is there such a key in the file itself (not in [defaults])?"""
        return path in self._places

    def spelled(self, path: Path) -> str:
        """The value at `path` as the file has it, without quotes; empty where it does not stand there."""
        place = self._places.get(path)
        return "" if place is None else self._text[place.value.start : place.value.end].strip("\"'")

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self._sorted() if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self._sorted() if problem.severity == "warning")

    def _sorted(self) -> list[Problem]:
        return sorted(self._problems.values(), key=lambda problem: (problem.line, problem.column))

    def _add(self, path: Path, message: str, severity: str, *, at_key: bool, offset: int | None) -> None:
        inside = offset if path not in self._expanded else None
        path, span = self._find(path, at_key=at_key)
        if inside is not None:
            span = self._inside(span, inside)
        line, column = self._lines.position(span.start)
        end = self._text.find("\n", span.start, span.end)
        width = max(1, (span.end if end < 0 else end) - span.start)
        problem = Problem(self._file, line, column, dotted(path), message, severity, width)
        # What comes from [defaults] is found once for each heir.
        self._problems.setdefault((line, column, message), problem)

    def _find(self, path: Path, *, at_key: bool) -> tuple[Path, Span]:
        """The path under which `path` stands in the file, and where.

        What a frontend or backend does not say itself may stand in [defaults];
        what stands nowhere is missing from the nearest table around it.
        """
        shown = path
        if (
            path not in self._places
            and path[:1]
            and path[0] in _HEIRS
            and ("defaults", *path[2:]) in self._places
        ):
            shown = path = ("defaults", *path[2:])
        while path and path not in self._places:
            # `bind = "*:80"` has no element 0, but the value is what is meant.
            at_key = at_key or isinstance(path[-1], str)
            path = path[:-1]
        if not path:
            return shown, Span(0, 0)
        place = self._places[path]
        return shown, place.key if at_key else place.value

    def _inside(self, span: Span, offset: int) -> Span:
        """`offset` characters into a string: exact when it is written plainly, on one line."""
        written = self._text[span.start : span.end]
        plain = written[:1] in ('"', "'") and written[:3] not in ('"""', "'''") and "\\" not in written
        start = span.start + 1 + offset
        if not plain or not span.start < start < span.end:
            return span
        end = start
        while end < span.end - 1 and not self._text[end].isspace():
            end += 1
        return Span(start, end)
