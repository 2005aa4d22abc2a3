"""Are enough servers alive?  keepalived's quorum, as a pure machine.

The weights of live servers are added.  The quorum is gained at `needed` +
`hysteresis` and lost below `needed` - `hysteresis`, so that a server that flaps
does not flap everything; without any live server it is lost in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from hapair.proxy.backend import Backend


def live_weight(backend: Backend) -> int:
    """What a quorum counts: active servers that could serve, whoever stands aside now."""
    return sum(
        server.weight
        for server in backend.servers
        if server.up
        and server.administrative == "ready"
        and not server.backup
        and server is not backend.sorry
    )


@attrs.frozen
class Quorum:
    """What a backend needs, and whether it has it."""

    needed: int
    """Total weight, 1 or more."""
    hysteresis: int = 0
    met: bool | None = None
    """None: nobody has looked yet."""

    def weighed(self, weight: int) -> Quorum:
        """With live servers of this total weight."""
        if self.met:
            met = weight > 0 and weight >= self.needed - self.hysteresis
        else:
            met = weight >= self.needed + self.hysteresis
        return self if met is self.met else attrs.evolve(self, met=met)

    def told(self, before: Quorum, weight: int) -> str:
        """How it came about, in keepalived's words: `Gained quorum 2+1=3 <= 3`."""
        needed, margin = self.needed, self.hysteresis
        if self.met:
            return f"Gained quorum {needed}+{margin}={needed + margin} <= {weight}"
        if before.met is None:
            return f"Starting with quorum down {needed}+{margin}={needed + margin} > {weight}"
        return f"Lost quorum {needed}-{margin}={needed - margin} > {weight}"
