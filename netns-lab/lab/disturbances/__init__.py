"""Everything that happens to a pair besides what has to be healed: each begins, lasts and is over by itself.

(`lab.faults` is what stays until it is healed.)  What a disturbance may cost is written
beside it; the rest is always the same: afterwards the preferred node is MASTER, alone, and
served through.
"""

from lab.disturbances.clock import CLOCK
from lab.disturbances.kinds import Disturbance
from lab.disturbances.places import PLACES
from lab.disturbances.processes import PROCESSES
from lab.disturbances.servers import SERVERS
from lab.disturbances.shortages import SHORTAGES
from lab.disturbances.wire import WIRE

GROUPS: dict[str, tuple[Disturbance, ...]] = {
    "wire": WIRE,
    "places": PLACES,
    "processes": PROCESSES,
    "shortages": SHORTAGES,
    "servers": SERVERS,
    "clock": CLOCK,
}
ALL = tuple(one for group in GROUPS.values() for one in group)

__all__ = ["ALL", "GROUPS", "Disturbance"]
