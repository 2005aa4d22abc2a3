"""What log lines are told of messages: headers and a cookie, cut to a length (manual, section 8.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.config.model import CapturedCookie, CapturedHeader


def headers(lines: list[bytes], wanted: tuple[CapturedHeader, ...]) -> list[bytes | None]:
    """The last value of each header, None where there is none."""
    found: list[bytes | None] = [None] * len(wanted)
    for place, header in enumerate(wanted):
        begin = header.name.lower().encode() + b":"
        size = len(begin)
        for line in reversed(lines):
            if line[:size].lower() == begin:
                found[place] = line[size:].strip(b" \t")[: header.len]
                break
    return found


def cookie(lines: list[bytes], wanted: CapturedCookie) -> bytes | None:
    """The first cookie of these Cookie or Set-Cookie lines whose `name=value` begins as it is wanted.

    A Set-Cookie line has one, and its attributes are no cookies.
    """
    begin = wanted.name.encode()
    for line in lines:
        name, _, value = line.partition(b":")
        pairs = value.split(b";")
        for pair in pairs[:1] if name.lower() == b"set-cookie" else pairs:
            text = pair.strip(b" \t")
            if text.startswith(begin):
                return text[: wanted.len]
    return None
