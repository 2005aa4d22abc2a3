"""What weights can do to a priority: the least and the most that a router can advertise."""

from __future__ import annotations

import attrs

from hapair.config.model import Track, VrrpInstance

OWNER = 255
STRONGEST = 254
WEAKEST = 1


@attrs.frozen
class Reach:
    """How far tracking moves the priority of one router."""

    well: int
    """Effective priority while everything that it tracks is well."""
    failing: int
    """The same while everything fails."""
    weighted: tuple[Track, ...]
    """What counts by weight."""
    leaves: bool
    """Something that it tracks makes it yield or leave, whatever the weights are."""


def reach(instance: VrrpInstance) -> Reach:
    """Return it; a file may hold any number, so that its weight reaches everything."""
    weighted = tuple(track for track in instance.track if track.weight and track.kind != "file")
    well = sum(swing(track)[0] for track in weighted)
    failing = sum(swing(track)[1] for track in weighted)
    return Reach(
        well=clamped(instance.priority, well),
        failing=clamped(instance.priority, failing),
        weighted=weighted,
        leaves=any(not track.weight or track.kind == "file" for track in instance.track),
    )


def swing(track: Track) -> tuple[int, int]:
    """What a weight adds while the thing is well, and while it fails."""
    weight = track.weight or 0
    signed = -weight if track.reverse else weight
    return (signed, 0) if weight > 0 else (0, signed)


def clamped(priority: int, weight: int) -> int:
    """The priority that is advertised; weights do not concern the owner."""
    return OWNER if priority == OWNER else min(STRONGEST, max(WEAKEST, priority + weight))
