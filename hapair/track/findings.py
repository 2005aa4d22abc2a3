"""What was found out about one tracked thing, and how it is read.  Pure."""

from __future__ import annotations

import re

import attrs

_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,9})\s*")


@attrs.frozen
class Found:
    """How a tracked thing is now."""

    ok: bool
    why: str = ""
    """What is wrong, as a predicate: `is down`; empty while it is well."""
    value: int | None = None
    """What a tracked file says; None for everything else."""


def file_says(text: str | None) -> Found | None:
    """Return what a tracked file means; None when it holds no number.

    A file that is not there says 0, as in keepalived: that is how an operator ends its effect.
    """
    if text is None:
        return Found(ok=True, value=0)
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    value = int(found[1])
    return Found(ok=value == 0, value=value)


def processes_say(running: int, name: str, quorum: int) -> Found:
    """Return whether enough processes of a name run."""
    if running >= quorum:
        return Found(ok=True)
    return Found(ok=False, why=f"has {running} running ({name}), needs {quorum}")
