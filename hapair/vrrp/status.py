"""What a virtual router says of itself to operators: its status, and causes in words.

Pure: values in, values and text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf

import attrs

from hapair.config.model import IPAddress
from hapair.vrrp import election
from hapair.vrrp.events import (
    AdvertReceived,
    DeadlinePassed,
    Demoted,
    Event,
    Evicted,
    GroupChanged,
    Leave,
    LinkDown,
    LinkUp,
    Promoted,
    Refused,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import RESIGNING, Router


class RouterState(Enum):
    INITIALIZE = "INITIALIZE"
    FAULT = "FAULT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"


_STATES: dict[type[election.State], RouterState] = {
    election.Initialize: RouterState.INITIALIZE,
    election.Fault: RouterState.FAULT,
    election.Backup: RouterState.BACKUP,
    election.Master: RouterState.MASTER,
}


def state_of(state: election.State) -> RouterState:
    """Return the name under which operators know a state of the election."""
    return _STATES[type(state)]


@attrs.frozen
class Peer:
    """The router whose valid advert was heard last."""

    address: IPAddress
    priority: int
    interval: float
    heard_at: float
    """Seconds, in the time of the router's clock; as every time here."""


@attrs.frozen
class RouterStatus:
    name: str
    state: RouterState
    since: float
    """When the last transition happened."""
    cause: str
    """Why it happened."""
    transitions: int
    priority: int
    effective_priority: int
    why: str
    """Why the effective priority is not the configured one; empty when it is."""
    peer: Peer | None
    adverts_sent: int
    adverts_received: int
    drops: Mapping[str, int]
    """Invalid packets by `wire.Drop` value; `vrid` is other routers' traffic."""
    misplaced_addresses: int = 0
    """VIPs that somebody else put on this node, and that were removed."""
    duplicate_masters: int = 0
    """Times that another MASTER was heard while we were and stayed MASTER."""
    duplicate_master_seconds: float = 0.0
    """Between the first and the last advert of each, altogether."""
    address_conflicts: int = 0
    """Times that another station claimed one of our addresses while we were MASTER."""
    conflicting_mac: str = ""
    """Of the last of them."""


def cause(router: Router, before: election.State, event: Event, peer: Peer | None, now: float) -> str:
    """Say why `event` makes `router` leave a state, for the log; `peer` as heard before or with it."""
    match event:
        case Started():
            if not event.link_up:
                return "started with its link down"
            return f"started, but {router.tracking.why}" if router.tracking.fault else "started"
        case Stopped() | Leave():
            return "stopped"
        case AdvertReceived(source=source) if _leaving(before):
            return f"stopped, {source} is MASTER"
        case DeadlinePassed() if _leaving(before):
            return "stopped, and nobody is MASTER instead"
        case LinkDown():
            return "link down"
        case LinkUp():
            return "link up"
        case (
            Evicted(why=why) | Refused(why=why) | GroupChanged(why=why) | Promoted(why=why) | Demoted(why=why)
        ):
            return why
        case TrackingChanged(verdict=verdict):
            return verdict.why or "what it tracks is well again"
        case DeadlinePassed() if isinstance(before, election.Initialize):
            return f"started {router.startup_delay:g} s ago"
        case DeadlinePassed():
            return _silence(router, peer, now)
        case AdvertReceived():
            ours = router.effective_priority
            tie = f", and {router.source} is the lower address" if event.priority == ours else ""
            return f"{event.source} advertises priority {event.priority}, ours is {ours}{tie}"
        case _:
            return "reconfigured"


def _leaving(state: election.State) -> bool:
    return isinstance(state, election.Master) and state.leaving_at < inf


def _silence(router: Router, peer: Peer | None, now: float) -> str:
    if peer is None:
        return "no other router was heard"
    if peer.priority == RESIGNING:
        return f"{peer.address} resigned"
    silence = now - peer.heard_at
    if peer.priority < router.effective_priority and silence <= 2 * peer.interval:
        return f"{peer.address} has only priority {peer.priority}, ours is {router.effective_priority}"
    return f"nothing from {peer.address} for {silence:.2f} s"
