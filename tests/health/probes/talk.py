"""A dialogue is fed pieces; what it said, and what it found at last."""

from __future__ import annotations

from hapair.health.probes.dialogue import Parting
from hapair.health.probes.outcome import Finding


def talk(probe, *pieces: bytes, end: bool = False):
    """(everything that it said, its finding or None) after these pieces, and the end of the connection."""
    said, found = _carry_out(b"", probe.connected())
    for piece in pieces:
        if found is None:
            said, found = _carry_out(said, probe.received(piece))
    if found is None and end:
        said, found = _carry_out(said, probe.ended())
    return said, found


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def _carry_out(said: bytes, step):
    match step:
        case Finding():
            return said, step
        case Parting(data=data, finding=finding):
            return said + data, finding
        case bytes():
            return said + step, None
    return said + step.data, None
