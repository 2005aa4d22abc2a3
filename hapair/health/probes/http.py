"""Layer 7: send a request, pass on 2xx and 3xx.  Answers are hostile input: bounded and fully matched."""

from __future__ import annotations

import re

from hapair.config.model import HttpCheck

MAX_ANSWER = 4096
"""Bytes that a status line may take; the rest of an answer is not read."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_PREFIX = b"HTTP/1."


def request_bytes(check: HttpCheck) -> bytes:
    """What is sent."""
    lines = [
        f"{check.method} {check.uri} {check.version}",
        *(f"{name}: {value}" for name, value in check.headers),
    ]
    if check.version == "HTTP/1.1":
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def judge(received: bytes, *, ended: bool) -> tuple[str, int, str] | None:
    """(check status, HTTP status, info) of what was received so far; None: wait for more."""
    matched = _STATUS.match(received)
    if matched is not None:
        code = int(matched[1])
        reason = (matched[2] or b"").decode("latin-1")
        return ("L7OK" if 200 <= code < 400 else "L7STS"), code, _printable(reason)
    if ended:
        return "L7RSP", 0, "the server closed without an answer" if not received else "incomplete status line"
    if received[:7] != _PREFIX[: len(received)] or b"\n" in received or len(received) >= MAX_ANSWER:
        return "L7RSP", 0, f"not an HTTP answer: {_printable(received[:40].decode('latin-1'))}"
    return None


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" and c != '"' else "." for c in text)[:80]
