"""What is probed: one question, the servers that share it, and what is known of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from math import inf

import attrs
import trio

from hapair.config.asks import Connect, TcpCheck
from hapair.config.model import CheckKind
from hapair.health.plan import CheckPlan
from hapair.health.probes.dialogue import Dialogue
from hapair.health.probes.kinds import opener
from hapair.health.probes.outcome import Outcome
from hapair.health.rise_fall import Health
from hapair.health.tls import secured

Address = tuple[int, object]
"""(family, what `connect` takes)."""


def resolve(host: str, port: int) -> Address:
    """The first address of a name.  Blocks.

    Raises:
        OSError: it has none.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


@attrs.frozen(cache_hash=True)
class ServerKey:
    backend: str
    server: str


@attrs.frozen
class Verdict:
    """What a server's checks say now."""

    up: bool
    changed: bool
    """This check changed `up`."""
    outcome: Outcome
    health: str
    """`2/3 UP`."""
    since: float
    """When `up` last changed; trio's time."""


def _opener(plan: CheckPlan) -> Callable[[], Dialogue] | None:
    """What makes the dialogue of each check, over TLS where that is wanted."""
    opened = opener(plan, os.urandom)
    later = isinstance(plan.ask, TcpCheck) and any(
        isinstance(rule, Connect) and rule.ssl for rule in plan.ask.rules
    )
    if opened is None or (plan.tls is None and not later):
        return opened
    return secured(opened, plan.tls, at_once=plan.tls is not None and not plan.tls.starttls)


class Target:
    """One plan, the servers that share it, and its state."""

    __slots__ = (
        *("address", "health", "lookup", "open", "plan", "program", "retired", "servers", "since"),
        "verdict",
    )

    def __init__(self, plan: CheckPlan) -> None:
        self.plan = plan
        self.open = _opener(plan)
        self.program = plan.kind in (CheckKind.EXTERNAL, CheckKind.FILE)
        self.address = (0, None) if self.program else literal_address(plan)
        """None until a name is looked up; then it stays, as the data plane's does."""
        self.lookup: trio.CancelScope | None = None
        self.servers: set[ServerKey] = set()
        self.health = Health.initial(plan.rise, plan.fall, plan.init_state)
        self.verdict: Verdict | None = None
        self.since = -inf
        self.retired = False

    def inherit(self, other: Target) -> None:
        """Go on from what another target knows: only its timing was different."""
        self.health, self.verdict, self.since = other.health, other.verdict, other.since
        self.address = other.address


def literal_address(plan: CheckPlan) -> Address | None:
    """The address of a host that is no name."""
    if plan.host.startswith("/"):
        return socket.AF_UNIX, plan.host
    try:
        six = ip_address(plan.host).version == 6
    except ValueError:
        return None
    return (socket.AF_INET6 if six else socket.AF_INET), (plan.host, plan.port)
