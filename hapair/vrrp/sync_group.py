"""Virtual routers that move together: keepalived's vrrp_sync_group, as a pure decision.

One in FAULT puts all in FAULT.  All become MASTER when each is MASTER or has waited
long enough to become it, and not before: keepalived prefers BACKUP, too, so that two
nodes never share a group between them.  One that leaves MASTER takes the others with
it, and those say goodbye, so that the peer need not wait for their silence.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hapair.vrrp.election import Backup, Fault, Master, State
from hapair.vrrp.events import Demoted, GroupChanged, Promoted
from hapair.vrrp.router import Router


@attrs.frozen
class Member:
    """What the group has to know of one router."""

    master: bool
    ready: bool
    """It would be MASTER by itself."""
    fit: bool
    """Nothing of its own keeps it in FAULT."""
    held: bool
    """It was told that another one is not fit."""


def member_of(router: Router, state: State) -> Member:
    """Return what the group has to know."""
    return Member(
        master=isinstance(state, Master),
        ready=isinstance(state, Backup) and state.ready,
        fit=not router.tracking.fault and state != Fault(link_up=False),
        held=router.held,
    )


GroupEvent = GroupChanged | Promoted | Demoted


def decide(group: str, members: Mapping[str, Member]) -> list[tuple[str, GroupEvent]]:
    """Return what has to be told to whom, so that they go together; nothing when they do."""
    told: list[tuple[str, GroupEvent]] = []
    unfit = [name for name, member in members.items() if not member.fit]
    for name, member in members.items():
        others = [other for other in unfit if other != name]
        if member.held != bool(others):
            why = f"sync group {group}: {', '.join(others) or 'nobody else'} is in FAULT"
            told.append((name, GroupChanged(bool(others), why)))
    if unfit:
        return told
    waiting = [name for name, member in members.items() if not (member.master or member.ready)]
    for name, member in members.items():
        if member.ready and not waiting:
            told.append((name, Promoted(f"sync group {group}: all are ready to be MASTER")))
        elif member.master and waiting:
            told.append((name, Demoted(f"sync group {group}: {', '.join(waiting)} is not MASTER")))
    return told
