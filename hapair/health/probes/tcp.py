"""Layer 4: a connection can be made; nothing is said on it."""

from __future__ import annotations

from hapair.health.probes.outcome import Finding

_PASSED = Finding("L4OK")


class TcpProbe:
    """The shortest dialogue.  It has no state: one serves every check."""

    __slots__ = ()

    silent = True

    def connected(self) -> Finding:
        return _PASSED

    def received(self, _data: bytes) -> Finding:
        return _PASSED

    def ended(self) -> Finding:
        return _PASSED
