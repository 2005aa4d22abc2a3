"""Problems found in a configuration file, and how they are shown.

    node.toml:4:21: vrrp.v1.virtual_router_id: 300 is outside 1..255 (RFC 9568 section 5.2.3)
        virtual_router_id = 300
                            ^^^

Law: a password never leaves the file.  The source line is shown with the values
of `auth` and `password` (and of what looks like it) blotted out, and no message repeats
them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import attrs

INDENT = "    "
WIDTH = 100
"""Columns of a source line that are shown; a longer one is cut around the caret."""
_TAB = 4
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(
    r"""(?P<key>\b(?:a[uth]{2,4}s?(?:[_-]?p[a-z]*)?|\w*pas+w?o?r?d|\w*cookie_key)["']?\s*=\s*)
        (?P<value> \[ .*? (?: \] (?= [ \t]* (?: [,}\#\n] | \Z ) ) | \Z )   # to the end if unclosed
                 | [^\[\s] [^\n]* )""",
    re.VERBOSE | re.DOTALL,
)
_VISIBLE = frozenset("[]\"', \t\n")
"""What stays as it is of a secret, so that columns and quotes can still be made out."""


@attrs.frozen
class Problem:
    """One mistake and where it is."""

    file: str
    line: int
    column: int
    path: str
    """Dotted path of the key: `backend.web.server.web1.weight`; empty when the file is not TOML."""
    message: str
    """What is wrong, what was expected, and a suggestion."""
    severity: str = "error"
    """`error` or `warning`."""
    width: int = 1
    """Characters of the line that are meant: the carets."""


def headline(problem: Problem) -> str:
    """The problem in one line, as compilers write it."""
    kind = "warning: " if problem.severity == "warning" else ""
    path = f"{problem.path}: " if problem.path else ""
    return f"{problem.file}:{problem.line}:{problem.column}: {kind}{path}{problem.message}"


def render(problem: Problem, source: str) -> str:
    """The headline, the line of `source` and carets under what is meant.

    Without that line (`source` empty, or changed since) only the headline.
    """
    lines = masked(source).split("\n")
    if not 1 <= problem.line <= len(lines) or not lines[problem.line - 1].strip():
        return headline(problem)
    line = lines[problem.line - 1].removesuffix("\r")
    start = min(problem.column - 1, len(line))
    end = max(start + 1, min(start + problem.width, len(line)))
    before, meant, after = _shown(line[:start]), _shown(line[start:end]), _shown(line[end:])
    before = before.lstrip() if not line[:start].strip() else before[_leading(before) :]
    if len(meant) > WIDTH * 2 // 3:
        meant = meant[: WIDTH * 2 // 3] + "…"
    room = WIDTH - len(meant)
    if len(before) + len(after) > room:
        left = max(room // 2, room - len(after))
        if len(before) > left:
            before = "…" + before[len(before) - left + 1 :] if left else ""
        if len(after) > room - len(before):
            after = after[: max(0, room - len(before) - 1)] + "…"
    pointer = " " * _columns(before) + "^" * max(1, _columns(meant))
    return f"{headline(problem)}\n{INDENT}{before}{meant}{after}".rstrip() + f"\n{INDENT}{pointer}"


def count(problems: Sequence[Problem]) -> str:
    """`2 errors, 1 warning`."""
    warnings = sum(problem.severity == "warning" for problem in problems)
    parts = [(len(problems) - warnings, "error"), (warnings, "warning")]
    return ", ".join(f"{number} {word}{'s' * (number != 1)}" for number, word in parts if number)


def dotted(path: Sequence[str | int]) -> str:
    """A key path as TOML writes it; positions in arrays in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else quoted(part))
    return text


def quoted(text: str) -> str:
    """`text` in double quotes, as a terminal can bear it."""
    body = "".join(
        f"\\{c}" if c in '"\\' else c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in (text if len(text) <= WIDTH else text[:WIDTH] + "…")
    )
    return f'"{body}"'


def masked(source: str) -> str:
    """`source` with the values of `auth` and the like blotted out; every line keeps its length."""

    def blot(found: re.Match[str]) -> str:
        return found["key"] + "".join(c if c in _VISIBLE else "*" for c in found["value"])

    return _SECRET.sub(blot, source)


def _leading(text: str) -> int:
    return len(text) - len(text.lstrip())


def _shown(text: str) -> str:
    """Tabs as blanks, and nothing that would move a terminal's cursor."""
    return "".join(
        " " * _TAB if c == "\t" else c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _columns(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
