"""What one probe found."""

from __future__ import annotations

import attrs

_WORDS = {
    "L3OK": "Layer3 check passed",
    "L3TOUT": "Layer3 timeout",
    "L3RSP": "Layer3 unreachable",
    "L4OK": "Layer4 check passed",
    "L4TOUT": "Layer4 timeout",
    "L4CON": "Layer4 connection problem",
    "L7OK": "Layer7 check passed",
    "L7TOUT": "Layer7 timeout",
    "L7RSP": "Layer7 invalid response",
    "L7STS": "Layer7 wrong status",
    "SOCKERR": "Socket error",
}


@attrs.frozen
class Outcome:
    """One verdict on one server, with HAProxy's status code and what an operator can act on."""

    ok: bool
    status: str
    """L4OK, L7STS, …: a column of the statistics."""
    duration: float
    """Seconds from the first packet to the verdict."""
    info: str = ""
    """What was received or went wrong, in a few words."""
    code: int = 0
    """HTTP status, when one was received."""

    @property
    def description(self) -> str:
        """As HAProxy's logs put it: `Layer7 wrong status, code: 503, info: "…"`."""
        text = _WORDS[self.status]
        if self.code:
            text += f", code: {self.code}"
        if self.info:
            text += f', info: "{self.info}"'
        return text
