"""What the control process tells its workers, and what they answer.

Down the channel go pickled values of these classes: the control process is trusted.  Up
goes JSON: a worker faces the network and has fewer rights, so what it says is only data.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from hapair.proxy.faults import KEPT, LONGEST, Fault

if TYPE_CHECKING:
    from hapair.config.model import IPAddress, NodeConfig
    from hapair.dataplane.resolve import Addresses
    from hapair.dataplane.service import ServerState
    from hapair.dataplane.shared import Entries


@attrs.frozen
class Sockets:
    """The frame carries a bound socket for each of these binds; they are for the next `Prepare`."""

    binds: tuple[str, ...]


@attrs.frozen
class Prepare:
    """A new configuration: acquire what it needs, change nothing."""

    config: NodeConfig
    addresses: Addresses
    entries: Entries


@attrs.frozen
class Commit:
    """All have prepared: switch over."""

    gated: frozenset[IPAddress]


@attrs.frozen
class Discard:
    """Somebody could not: forget what was prepared."""


@attrs.frozen
class OpenGate:
    addresses: frozenset[IPAddress]


@attrs.frozen
class CloseGate:
    addresses: frozenset[IPAddress]


@attrs.frozen
class Servers:
    """What they are now."""

    states: tuple[ServerState, ...]


@attrs.frozen
class Execute:
    """An operator's command that changes something."""

    line: str


@attrs.frozen
class Table:
    """The statistics of the whole node, for pages that a worker serves."""

    rows: list[dict[str, str | int]]


@attrs.frozen
class Ping:
    """Answer when you come to it."""


@attrs.frozen
class PartWithClients:
    """Send idle clients away, the others after their current request."""


@attrs.frozen
class StopAccepting:
    """And accept no more."""


@attrs.frozen
class End:
    """Cut what is left and end."""


Message = (
    Sockets
    | Prepare
    | Commit
    | Discard
    | OpenGate
    | CloseGate
    | Servers
    | Execute
    | Table
    | Ping
    | PartWithClients
    | StopAccepting
    | End
)


def packed(message: Message, ticket: int) -> bytes:
    """For `Channel.send`; a ticket that is not 0 asks for a `Report`."""
    return pickle.dumps((ticket, message), pickle.HIGHEST_PROTOCOL)


def unpacked(payload: bytes) -> tuple[int, Message]:
    """The ticket and the message."""
    found: tuple[int, Message] = pickle.loads(payload)  # noqa: S301 - from the control process, which made us
    return found


@attrs.frozen
class Report:
    """What a worker says: that it has done what came with `ticket`, or only how it is."""

    ticket: int
    problem: str = ""
    """Why it could not."""
    refusals: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    """Requests that were not let in, by frontend and reason."""
    faults: int = 0
    """Messages that were refused, all in all."""
    news: tuple[Fault, ...] = ()
    """The last of them that were not told before."""
    distrusted: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    """Responses that were refused, by backend and reason."""
    suspects: tuple[tuple[str, str, str], ...] = ()
    """Servers of which traffic told nothing good: backend, server and what happened (`observe`)."""

    def encoded(self) -> bytes:
        """For `Channel.send`."""
        return json.dumps(attrs.asdict(self), default=lambda octets: octets.decode("latin-1")).encode()


def report_of(payload: bytes) -> Report:
    """Read what `Report.encoded` wrote.

    Raises:
        ValueError: it is no report.
    """
    match json.loads(payload):
        case {
            "ticket": int(ticket),
            "problem": str(problem),
            "refusals": dict(refusals),
            "faults": int(faults),
            "news": list(news),
            "distrusted": dict(distrusted),
            "suspects": list(suspects),
        }:
            return Report(
                ticket,
                problem,
                {str(name): _counts(reasons) for name, reasons in refusals.items()},
                faults,
                tuple(map(_fault, news[-KEPT:])),
                {str(name): _counts(reasons) for name, reasons in distrusted.items()},
                tuple(map(_suspect, suspects)),
            )
    raise ValueError("a worker says something that is no report")


def _suspect(said: Any) -> tuple[str, str, str]:
    match said:
        case [str(backend), str(server), str(what)]:
            return backend, server, what
    raise ValueError("a worker suspects what is no server")


def _fault(said: Any) -> Fault:
    match said:
        case {
            "number": int(number),
            "at": float(at),
            "stamp": str(stamp),
            "frontend": str(frontend),
            "backend": str(backend),
            "server": str(server),
            "source": str(source),
            "response": bool(response),
            "why": str(why),
            "began": str(began),
        }:
            octets = began[:LONGEST].encode("latin-1", "replace")
            return Fault(number, at, stamp, frontend, backend, server, source, response, why, octets)
    raise ValueError("a worker's fault is none")


def _counts(reasons: Any) -> dict[str, int]:
    if not isinstance(reasons, dict) or not all(isinstance(n, int) for n in reasons.values()):
        raise ValueError("a worker's counts are no numbers")
    return {str(reason): n for reason, n in reasons.items()}
