"""The closed vocabulary of the election: what can happen, and what it may order.

Nothing else goes into `election.step` or comes out of it.  RFC 9568 section 6.4
names most of them; the others are what a real node meets: links that fail,
servers that are gone, an operator who removes the address, a process that slept.
"""

from __future__ import annotations

import attrs

from hapair.config.model import IPAddress
from hapair.vrrp.tracking import Verdict


@attrs.frozen
class Started:
    """The router shall take part; `link_up` is how its interface is right now."""

    link_up: bool = True


@attrs.frozen
class Stopped:
    """The router shall stop: shutdown, reload, or an error elsewhere in the node."""


@attrs.frozen
class Leave:
    """The router shall stop, and may take the time to be relieved: nobody is in a hurry."""


@attrs.frozen
class LinkDown:
    """The interface lost its carrier, was set down, or is gone."""


@attrs.frozen
class LinkUp:
    """The interface can carry adverts again, or has another link-layer address."""


@attrs.frozen
class AdvertReceived:
    """A valid advert of another router; everything else was dropped by `wire`."""

    source: IPAddress
    priority: int
    interval: float
    """Seconds; Max_Advertise_Interval of the sender."""


@attrs.frozen
class DeadlinePassed:
    """`deadline(state)` is now in the past."""


@attrs.frozen
class TrackingChanged:
    """What we track means something else for us now; the router passed to `step` knows already."""

    verdict: Verdict
    before: Verdict


@attrs.frozen
class GroupChanged:
    """Another member of our sync group went into FAULT, or the last of them left it."""

    held: bool
    why: str


@attrs.frozen
class Promoted:
    """All members of our sync group are ready to be MASTER."""

    why: str


@attrs.frozen
class Demoted:
    """A member of our sync group is not MASTER any more."""

    why: str


@attrs.frozen
class Reconfigured:
    """The router passed to `step` is a new one; `addresses` tells whether its VIPs changed."""

    addresses: bool


@attrs.frozen
class AddressLost:
    """Somebody else took one of our VIPs off the interface."""

    address: str


@attrs.frozen
class Evicted:
    """We may no longer be MASTER: the guard struck, or we slept longer than the peer waits."""

    why: str


@attrs.frozen
class Refused:
    """The kernel does not do what only a MASTER needs: it will not until somebody has changed something."""

    why: str


Event = (
    Started
    | Stopped
    | Leave
    | LinkDown
    | LinkUp
    | AdvertReceived
    | DeadlinePassed
    | TrackingChanged
    | GroupChanged
    | Promoted
    | Demoted
    | Reconfigured
    | AddressLost
    | Evicted
    | Refused
)


@attrs.frozen
class AddVips:
    """Put every VIP on the interface; those that are there keep serving."""


@attrs.frozen
class RefreshVips:
    """Renew the VIPs' lifetimes before the kernel takes them for orphans."""


@attrs.frozen
class DropVips:
    """Take every VIP off the interface."""


@attrs.frozen
class OpenGate:
    """The data plane may accept on the VIPs."""


@attrs.frozen
class CloseGate:
    """The data plane must not accept on the VIPs any more."""


@attrs.frozen
class SendAdvert:
    priority: int
    """0 is the goodbye: the peer takes over after its skew time."""
    again: bool = False
    """It was said before, and is not worth a line in the log."""


@attrs.frozen
class Announce:
    """Gratuitous ARP for every VIP."""

    count: int


Order = AddVips | RefreshVips | DropVips | OpenGate | CloseGate | SendAdvert | Announce
