"""How bytes of a stranger stand in a log: whatever could end a field or a line is written as `#XX`."""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(rb"[^\x21\x24-\x7e]")
_SAME: Final = bytes(b if 0x20 <= b < 0x7F and b not in (0x22, 0x23) else 0x20 for b in range(256))
"""Leaves a request line as it is when nothing in it is to be escaped, as nearly always."""


def escape(raw: bytes) -> str:
    """Text that is safe between double quotes in a log."""
    return _UNSAFE.sub(_hex, raw).decode("ascii")


def request_line(raw: bytes) -> bytes:
    """The request line as it is logged; its two separating spaces stay."""
    if raw.translate(_SAME) == raw:
        return raw
    return " ".join(escape(part) for part in raw.split(b" ")).encode()


def _hex(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]
