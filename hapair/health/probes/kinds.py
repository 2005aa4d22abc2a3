"""Which dialogue a check holds.  The only place that knows every kind of probe on a connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hapair.config.model import CheckKind
from hapair.health.plan import CheckPlan
from hapair.health.probes.dialogue import Dialogue
from hapair.health.probes.http import HttpProbe, request_bytes
from hapair.health.probes.tcp import TcpProbe


def opener(plan: CheckPlan) -> Callable[[], Dialogue] | None:
    """What makes a dialogue for each check; None for a check without a connection."""
    match plan.kind:
        case CheckKind.HTTP:
            assert plan.http is not None
            return partial(HttpProbe, request_bytes(plan.http))
        case CheckKind.TCP:
            probe = TcpProbe()
            return lambda: probe
        case CheckKind.ICMP:
            return None
