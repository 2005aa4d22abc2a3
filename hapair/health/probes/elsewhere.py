"""What a program's end and a file's content say about a server: pure, like every probe.

A program passes with 0.  With keepalived's `misc_dynamic` 2..255 pass as well and
are the weight plus 2.  A file passes while it holds a number that is not negative.
"""

from __future__ import annotations

import re

from hapair.config.asks import ExternalCheck
from hapair.health.probes.outcome import Finding, printable

ARGUMENTS = ("NOT_USED", "NOT_USED")
"""The proxy's address and port, which HAProxy gives in a `listen` section only."""
MAX_FILE = 64
"""Bytes that are looked at."""

_NUMBER = re.compile(rb"\s*(-?[0-9]{1,9})\s*")


def program_says(
    check: ExternalCheck, exit_code: int | None, problem: str, output: str
) -> tuple[Finding, int | None]:
    """The finding, and the weight that the program wants for the server."""
    if exit_code is None:
        return Finding("PROCTOUT" if "killed" in problem else "PROCERR", problem), None
    if check.dynamic and exit_code >= 2:
        return Finding("PROCOK", code=exit_code), exit_code - 2
    if exit_code == 0:
        return Finding("PROCOK"), None
    last = output.strip().rpartition("\n")[2]
    return Finding(
        "PROCERR", printable(last.encode("utf-8", "replace")) or problem, exit_code, expected="exit code 0"
    ), None


def file_says(content: bytes) -> Finding:
    """Of the first bytes of the file."""
    found = _NUMBER.fullmatch(content)
    if found is None:
        return Finding("PROCERR", f"no number: {printable(content)}", expected="a number, 0 or more")
    number = int(found[1])
    if number < 0:
        return Finding("PROCERR", f"the number is {number}", expected="a number, 0 or more")
    return Finding("PROCOK")
