"""What is told, as values, and its text in every form: arguments, FIFO line, mail, JSON.

Pure: time is an argument.  The words are keepalived's (2.2.7, compared in
tests/notify/test_beside_keepalived.py), so that its scripts and readers work
unchanged; the JSON records are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from email import policy  # which EmailMessage would import later, when a chroot has put it out of sight
from email.message import EmailMessage
from email.utils import format_datetime
from enum import Enum

import attrs

from hapair.config.model import Email, SyncGroup, VrrpInstance
from hapair.vrrp.reports import (
    AddressConflict,
    DuplicateMaster,
    DuplicateMasterGone,
    GuardStrike,
    PriorityChanged,
    Report,
    Transition,
)
from hapair.vrrp.status import RouterState


class Kind(Enum):
    INSTANCE = "INSTANCE"
    GROUP = "GROUP"


_STATES = {
    RouterState.MASTER: "MASTER",
    RouterState.BACKUP: "BACKUP",
    RouterState.FAULT: "FAULT",
    RouterState.INITIALIZE: "STOP",
}
"""keepalived's word for what was entered."""


@attrs.frozen
class Notice:
    """An instance, or a group of them, entered a state."""

    kind: Kind
    name: str
    state: str
    """MASTER, BACKUP, FAULT or STOP."""
    priority: int
    """Effective priority; 0 of a group, as keepalived says it."""
    cause: str = ""


@attrs.frozen
class ServerChange:
    backend: str
    server: str
    up: bool
    cause: str


@attrs.frozen
class QuorumChange:
    backend: str
    met: bool
    cause: str


def notice_of(transition: Transition) -> Notice:
    """A router's transition, as scripts are told."""
    return Notice(
        Kind.INSTANCE,
        transition.instance,
        _STATES[transition.after],
        transition.effective_priority,
        transition.cause,
    )


def group_notice(group: SyncGroup, states: Mapping[str, str], last: str, cause: str) -> Notice | None:
    """What to tell of a group when one of its members has moved: only a state that all have entered.

    `states` are what instances were last told to be in, `last` what the group was.
    """
    entered = {states.get(member, "") for member in group.instances}
    if len(entered) > 1 or entered <= {"", last}:
        return None
    return Notice(Kind.GROUP, group.name, entered.pop(), 0, cause)


def commands_of(instance: VrrpInstance | SyncGroup) -> tuple[tuple[str, ...], ...]:
    """Every command that an instance or a group may ever run, without what it is given."""
    all_ = (
        instance.notify,
        instance.notify_master,
        instance.notify_backup,
        instance.notify_fault,
        instance.notify_stop,
    )
    return tuple(words for words in all_ if words)


def commands(notice: Notice, instance: VrrpInstance | SyncGroup) -> tuple[tuple[str, ...], ...]:
    """The command lines for a notice, in their order: the state's own script, then the general one.

    keepalived starts both at once; here the general one waits for the other.  Only
    it is given arguments.
    """
    own: tuple[str, ...] = getattr(instance, f"notify_{notice.state.lower()}")
    general = instance.notify and (*instance.notify, *arguments(notice))
    return tuple(words for words in (own, general) if words)


def arguments(notice: Notice) -> tuple[str, ...]:
    """What the general script is given after its own words."""
    return notice.kind.value, notice.name, notice.state, str(notice.priority)


def fifo_line(notice: Notice) -> bytes:
    """A line as keepalived's vrrp_notify_fifo carries it."""
    return f'{notice.kind.value} "{notice.name}" {notice.state} {notice.priority}\n'.encode()


def state_mail(email: Email, node: str, notice: Notice, at: datetime) -> EmailMessage | None:
    """The mail about a state; None for STOP, of which keepalived sends none either."""
    if notice.state == "STOP":
        return None
    if notice.kind is Kind.GROUP:
        what, now = "VRRP Group", f"All VRRP group instances are now in {notice.state} state"
    else:
        what = "VRRP Instance"
        now = f"{what} is {'now' if notice.state == 'MASTER' else 'no longer'} owning VRRP VIPs"
    body = f"=> {now} <=\n\nCause: {notice.cause}\n"
    return _mail(email, f"[{node}] {what} {notice.name} - Entering {notice.state} state", body, at)


def server_mail(email: Email, node: str, change: ServerChange, at: datetime) -> EmailMessage:
    """The mail about a server."""
    body = f"=> CHECK {'succeeded' if change.up else 'failed'} on service <=\n\nCause: {change.cause}\n"
    return _mail(email, f"[{node}] Server {change.backend}/{change.server} - {up_down(change.up)}", body, at)


def _mail(email: Email, subject: str, body: str, at: datetime) -> EmailMessage:
    message = EmailMessage(policy.default)
    message["Date"] = format_datetime(at)
    message["From"] = email.sender
    message["To"] = ", ".join(email.recipients)
    message["Subject"] = subject
    message["X-Mailer"] = "hapair"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday greetings, please
    message.set_content(body)
    return message


def up_down(up: bool) -> str:
    """A server's state in HAProxy's words."""
    return "UP" if up else "DOWN"


def record(happening: Report | ServerChange | QuorumChange) -> dict[str, object]:
    """What the event log says of a happening, beside the time and the node."""
    match happening:
        case Transition():
            return {
                "event": "transition",
                "instance": happening.instance,
                "from": happening.before.value,
                "to": happening.after.value,
                "cause": happening.cause,
                "priority": happening.priority,
                "effective_priority": happening.effective_priority,
            }
        case PriorityChanged():
            return {
                "event": "priority",
                "instance": happening.instance,
                "from": happening.before,
                "to": happening.after,
                "cause": happening.cause,
            }
        case GuardStrike():
            return {"event": "guard_strike", "instance": happening.instance, "cause": happening.cause}
        case DuplicateMaster():
            return {
                "event": "duplicate_master",
                "instance": happening.instance,
                "other": happening.other,
                "priority": happening.priority,
            }
        case DuplicateMasterGone():
            return {
                "event": "duplicate_master_gone",
                "instance": happening.instance,
                "other": happening.other,
                "seconds": round(happening.seconds, 3),
            }
        case AddressConflict():
            return {
                "event": "address_conflict",
                "instance": happening.instance,
                "address": happening.address,
                "mac": happening.mac,
                "times": happening.times,
            }
        case QuorumChange():
            return {
                "event": "quorum",
                "backend": happening.backend,
                "to": "gained" if happening.met else "lost",
                "cause": happening.cause,
            }
        case ServerChange():
            return {
                "event": "server",
                "backend": happening.backend,
                "server": happening.server,
                "from": up_down(not happening.up),
                "to": up_down(happening.up),
                "cause": happening.cause,
            }


def event_line(node: str, at: datetime, values: Mapping[str, object]) -> str:
    """One JSON object without a line end; the time is RFC 3339 with milliseconds.

    ASCII, so that no separator of Unicode breaks a line.
    """
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": stamp, "node": node, **values}, ensure_ascii=True)
