"""Layer 4: a connection can be made; nothing is said on it."""

from __future__ import annotations

from hapair.health.probes.dialogue import MAX_ANSWER
from hapair.health.probes.outcome import Finding

_PASSED = Finding("L4OK")


class TcpProbe:
    """The shortest dialogue.  It has no state: one serves every check."""

    __slots__ = ()

    silent = True
    limit = MAX_ANSWER

    def connected(self) -> Finding:
        return _PASSED

    def received(self, _data: bytes) -> Finding:
        return _PASSED

    def ended(self) -> Finding:
        return _PASSED

    def late(self) -> Finding:
        return Finding("L4TOUT")

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        return sent, received
