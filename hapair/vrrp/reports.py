"""What a virtual router reports of itself while it runs, for scripts, mails and logs.

Law: a report is made by a plain call after the orders of the step were carried
out, so that whoever acts on MASTER finds the VIPs in place; whoever takes it may
neither wait nor fail.
"""

from __future__ import annotations

import attrs

from hapair.vrrp.status import RouterState


@attrs.frozen
class Transition:
    instance: str
    before: RouterState
    after: RouterState
    """INITIALIZE: it has stopped."""
    cause: str
    priority: int
    """As configured."""
    effective_priority: int


@attrs.frozen
class PriorityChanged:
    """What is tracked began or ceased to fail."""

    instance: str
    before: int
    """Effective priority."""
    after: int
    cause: str


@attrs.frozen
class GuardStrike:
    """While MASTER this process was silent for so long that it lost its VIPs."""

    instance: str
    cause: str


@attrs.frozen
class DuplicateMaster:
    """Another MASTER beside us."""

    instance: str
    other: str
    priority: int


@attrs.frozen
class DuplicateMasterGone:
    instance: str
    other: str
    seconds: float
    """How long it was heard."""


@attrs.frozen
class AddressConflict:
    """While MASTER: another station claims one of our addresses, and we have announced it again."""

    instance: str
    address: str
    mac: str
    times: int
    """Claims since the report before."""


Report = Transition | PriorityChanged | GuardStrike | DuplicateMaster | DuplicateMasterGone | AddressConflict


def unheard(_report: Report) -> None:
    """Nobody wants to know."""
