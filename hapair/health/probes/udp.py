"""UDP: a datagram, and its answer (keepalived's UDP_CHECK)."""

from __future__ import annotations

from hapair.config.asks import UdpCheck
from hapair.health.probes.dialogue import Conversation, Step
from hapair.health.probes.outcome import Finding, printable


class UdpProbe(Conversation):
    """What is received is one datagram each: nothing is added up."""

    def __init__(self, check: UdpCheck) -> None:
        super().__init__("any answer" if check.reply is None else f'"{printable(check.reply)}"')
        self._check = check

    def connected(self) -> bytes:
        return self._check.payload

    def received(self, data: bytes) -> Step:
        reply = self._check.reply
        if reply is not None and reply not in data:
            return self.wrong(printable(data))
        return Finding("L7OK")

    def late(self) -> Finding:
        """keepalived's law: without `require_reply` silence is well, because UDP cannot tell."""
        return super().late() if self._check.require_reply else Finding("L4OK")
