"""What one probe found, in HAProxy's words."""

from __future__ import annotations

from typing import Literal

import attrs

Status = Literal[
    "L3OK", "L3TOUT", "L3CON", "L4OK", "L4TOUT", "L4CON", "L7OK", "L7TOUT", "L7RSP", "L7STS", "SOCKERR"
]  # fmt: skip
"""The statistics' column `check_status`; layer 3 is ours."""

_WORDS: dict[Status, str] = {
    "L3OK": "Layer3 check passed",
    "L3TOUT": "Layer3 timeout",
    "L3CON": "Layer3 unreachable",
    "L4OK": "Layer4 check passed",
    "L4TOUT": "Layer4 timeout",
    "L4CON": "Layer4 connection problem",
    "L7OK": "Layer7 check passed",
    "L7TOUT": "Layer7 timeout",
    "L7RSP": "Layer7 invalid response",
    "L7STS": "Layer7 wrong status",
    "SOCKERR": "Socket error",
}
_PASSED = frozenset({"L3OK", "L4OK", "L7OK"})

EXCERPT = 80
"""Bytes that are kept of what was sent and received."""


@attrs.frozen
class Finding:
    """What a probe concluded."""

    status: Status
    info: str = ""
    """What was received or went wrong, in a few printable words."""
    code: int = 0
    """HTTP status, when one was received."""

    @property
    def ok(self) -> bool:
        return self.status in _PASSED


@attrs.frozen
class Outcome:
    """A finding with its circumstances."""

    ok: bool
    status: Status
    duration: float
    """Seconds from the first packet to the conclusion."""
    info: str = ""
    code: int = 0
    sent: bytes = b""
    """The first bytes of what was sent and received, for who has to find out why."""
    received: bytes = b""

    @property
    def description(self) -> str:
        """As HAProxy's logs put it: `Layer7 wrong status, code: 503, info: "…"`."""
        text = _WORDS[self.status]
        if self.code:
            text += f", code: {self.code}"
        if self.info:
            text += f', info: "{self.info}"'
        return text


def printable(data: bytes) -> str:
    """Bytes of a server as text that can neither end a log line nor a quotation."""
    return "".join(chr(byte) if 32 <= byte <= 126 and byte != 34 else "." for byte in data[:EXCERPT])
