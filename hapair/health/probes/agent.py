"""agent-check: a line of words by which a server's own agent says how it is, as in HAProxy's manual."""

from __future__ import annotations

import re

from hapair.health.probes.dialogue import Conversation, Malformed, Step
from hapair.health.probes.outcome import AgentSays, Finding, printable

MAX_LINE = 1024

_SEPARATORS = re.compile(r"[ \t,]+")
_PERCENT = re.compile(r"(?:weight:)?([0-9]{1,5})%")
_WEIGHT = re.compile(r"weight:([0-9]{1,5})")
_MAXCONN = re.compile(r"maxconn:([0-9]{1,9})")
_DOWN = ("down", "fail", "failed", "stopped")


def understood(line: bytes) -> AgentSays:
    """What a line means; words that nobody knows are passed over.

    Raises:
        Malformed: there is none that means anything.
    """
    text, _, reason = printable_line(line).partition("#")
    percent = weight = maxconn = up = None
    administrative = state = ""
    for word in _SEPARATORS.split(text.strip().lower()):
        if found := _PERCENT.fullmatch(word):
            percent = int(found[1])
        elif found := _WEIGHT.fullmatch(word):
            weight = min(256, int(found[1]))
        elif found := _MAXCONN.fullmatch(word):
            maxconn = int(found[1])
        elif word in ("ready", "drain", "maint"):
            administrative = word
        elif word in ("up", *_DOWN):
            up, state = word == "up", word
    says = AgentSays(percent, weight, maxconn, administrative, up, state, reason.strip())
    if says == AgentSays(reason=says.reason):
        raise Malformed(f"no word of it means anything: {printable(line)}")
    return says


def printable_line(line: bytes) -> str:
    """As much of it as can be read, and cannot harm a log."""
    return "".join(
        chr(byte) if 32 <= byte <= 126 and byte != 34 else "." if byte != 9 else " " for byte in line
    )


class AgentProbe(Conversation):
    """One line."""

    def __init__(self, said_first: bytes) -> None:
        super().__init__("a line of words such as up, 75%")
        self._said_first = said_first

    def connected(self) -> bytes:
        return self._said_first

    def listen(self) -> Step:
        end = re.search(rb"[\r\n]", self.heard)
        if end is None:
            if len(self.heard) > MAX_LINE:
                raise Malformed("the line is too long")
            return b""
        return self._conclude(self.heard[: end.start()])

    def ended(self) -> Step:
        try:
            return self._conclude(self.heard) if self.heard else super().ended()
        except Malformed as error:
            return self.wrong(str(error))

    def _conclude(self, line: bytes) -> Finding:
        says = understood(line[:MAX_LINE])
        return Finding("L7STS" if says.up is False else "L7OK", printable(line), says=says)
