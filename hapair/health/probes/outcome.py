"""What one probe found, in HAProxy's words."""

from __future__ import annotations

from typing import Literal, get_args

import attrs

Status = Literal[
    "L3OK", "L3TOUT", "L3CON", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP",
    "L7OK", "L7OKC", "L7TOUT", "L7RSP", "L7STS", "SOCKERR", "HANA", "PROCOK", "PROCERR", "PROCTOUT",
]  # fmt: skip
"""The statistics' column `check_status`; layer 3 is ours."""

STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}

_WORDS: dict[Status, str] = {
    "L3OK": "Layer3 check passed",
    "L3TOUT": "Layer3 timeout",
    "L3CON": "Layer3 unreachable",
    "L4OK": "Layer4 check passed",
    "L4TOUT": "Layer4 timeout",
    "L4CON": "Layer4 connection problem",
    "L6OK": "Layer6 check passed",
    "L6TOUT": "Layer6 timeout",
    "L6RSP": "Layer6 invalid response",
    "L7OK": "Layer7 check passed",
    "L7OKC": "Layer7 check conditionally passed",
    "L7TOUT": "Layer7 timeout",
    "L7RSP": "Layer7 invalid response",
    "L7STS": "Layer7 wrong status",
    "SOCKERR": "Socket error",
    "HANA": "Health analyze",
    "PROCOK": "External check passed",
    "PROCERR": "External check error",
    "PROCTOUT": "External check timeout",
}
_PASSED = frozenset({"L3OK", "L4OK", "L6OK", "L7OK", "L7OKC", "PROCOK"})

EXCERPT = 80
"""Bytes that are kept of what was sent and received."""


@attrs.frozen
class AgentSays:
    """What a server's agent wants; what it did not mention stays as it is."""

    percent: int | None = None
    """Of the configured weight."""
    weight: int | None = None
    maxconn: int | None = None
    administrative: str = ""
    """`ready`, `drain`, `maint`; empty for nothing said."""
    up: bool | None = None
    state: str = ""
    """The word that said so: `up`, `down`, `fail`, `stopped`."""
    reason: str = ""


@attrs.frozen
class Finding:
    """What a probe concluded."""

    status: Status
    info: str = ""
    """What was received or went wrong, in a few printable words."""
    code: int = 0
    """HTTP status, when one was received; or another protocol's."""
    expected: str = attrs.field(default="", eq=False)
    """What should have been received, where that can be said."""
    says: AgentSays | None = attrs.field(default=None, eq=False)
    """Only of an agent."""

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
    expected: str = ""
    weight: int | None = None
    """What the server should have, where the check can say."""
    says: AgentSays | None = None

    @property
    def details(self) -> str:
        """What was said, for who has to find out why: `sent "PING..", expected "+PONG", received nothing`."""
        expected = f", expected {self.expected}" if self.expected else ""
        return f"sent {_quoted(self.sent)}{expected}, received {_quoted(self.received)}"

    @property
    def description(self) -> str:
        """As HAProxy's logs put it: `Layer7 wrong status, code: 503, info: "…"`."""
        text = _WORDS[self.status]
        if self.code:
            text += f", code: {self.code}"
        if self.info:
            text += f', info: "{self.info}"'
        return text


def _quoted(data: bytes) -> str:
    """Bytes that can be read back."""
    text = data.decode("latin-1").encode("unicode_escape").decode().replace('"', "\\x22")
    return f'"{text}"' if data else "nothing"


def printable(data: bytes) -> str:
    """Bytes of a server as text that can neither end a log line nor a quotation."""
    return "".join(chr(byte) if 32 <= byte <= 126 and byte != 34 else "." for byte in data[:EXCERPT])
