"""Who else claims our addresses while we are MASTER, and when to contradict (pure bookkeeping).

RFC 5227 section 2.4: an address is defended, but never in a war of announcements.  Here:

* a claim is believed after `SETTLE` seconds: whoever takes over from us announces before we
  have heard its advert, and then we are not MASTER any more;
* for `GRACE` seconds after we became MASTER, the one before us may still speak from the address;
* between two defences is a second, five times, and then 2, 4, 8 ... 64 seconds; another station than
  before begins anew: the peer, MASTER beside us while a partition lasts, must not use up our patience with
  a stranger (found by `make chaos`).

Law: what is kept is bounded by the number of VIPs, however many stations claim them.
"""

from __future__ import annotations

from math import inf

import attrs

from hapair.config.model import IPAddress

SETTLE = 0.2
GRACE = 1.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 64.0
"""Seconds between two defences of one address; after as long without a claim it begins anew."""
PATIENCE = 5
"""Defences before the pause grows: a station that claims a few times must not cost a long silence."""


@attrs.frozen
class Defence:
    """An address has to be announced again."""

    address: IPAddress
    mac: str
    """Of the station that claimed it last."""
    times: int
    """Claims of this address since the defence before."""


@attrs.define
class _Claimed:
    mac: str
    heard_at: float
    times: int = 0
    """Heard and not yet answered."""
    pause: float = FIRST_PAUSE
    defences: int = 0
    defended_at: float = -inf
    not_before: float = -inf
    defend_at: float = inf


class Conflicts:
    """Of one router.  Times are seconds of its clock."""

    def __init__(self) -> None:
        self.count = 0
        """Claims that were believed."""
        self.mac = ""
        """Of the last of them."""
        self.due = inf
        """When `take` has something; `inf` for never."""
        self._claimed: dict[IPAddress, _Claimed] = {}
        self._deaf_until = -inf

    def begin(self, now: float) -> None:
        """We became MASTER."""
        self._deaf_until = now + GRACE

    def heard(self, address: IPAddress, mac: str, now: float) -> None:
        """Another station says that `address`, one of our VIPs, is at `mac`."""
        if now < self._deaf_until:
            return
        claimed = self._claimed.get(address)
        if claimed is None or now - claimed.heard_at > LONGEST_PAUSE:
            claimed = self._claimed[address] = _Claimed(mac, now)
        if mac != claimed.mac:
            claimed.not_before = min(claimed.not_before, claimed.defended_at + FIRST_PAUSE)
            claimed.pause, claimed.defences = FIRST_PAUSE, 0
        claimed.mac, claimed.heard_at = mac, now
        claimed.times += 1
        claimed.defend_at = min(claimed.defend_at, max(now + SETTLE, claimed.not_before))
        self.due = min(self.due, claimed.defend_at)

    def take(self, now: float) -> tuple[Defence, ...]:
        """Return what must be defended now."""
        taken = []
        for address, claimed in self._claimed.items():
            if claimed.defend_at > now:
                continue
            taken.append(Defence(address, claimed.mac, claimed.times))
            self.count += claimed.times
            self.mac = claimed.mac
            claimed.times, claimed.defend_at = 0, inf
            claimed.defended_at, claimed.not_before = now, now + claimed.pause
            claimed.defences += 1
            if claimed.defences >= PATIENCE:
                claimed.pause = min(2 * claimed.pause, LONGEST_PAUSE)
        self.due = min((claimed.defend_at for claimed in self._claimed.values()), default=inf)
        return tuple(taken)

    def end(self) -> None:
        """We are not MASTER any more: what was heard of late was the one who is."""
        for claimed in self._claimed.values():
            claimed.times, claimed.defend_at = 0, inf
        self.due = inf
