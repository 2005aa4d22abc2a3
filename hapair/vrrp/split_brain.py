"""Two masters on one segment: how often, and for how long (pure bookkeeping; `election` decides who yields).

Counted by the one that stays MASTER, from the first advert of the other that it
hears to the last.  A hand-back is none: whoever becomes MASTER hears the one that
it replaces once more, and that does not count.
"""

from __future__ import annotations

import attrs

from hapair.config.model import IPAddress


@attrs.frozen
class Duel:
    """Another MASTER is heard."""

    other: IPAddress
    since: float
    heard_at: float
    over_at: float
    """When its silence says that it has yielded: after its master-down interval."""


@attrs.frozen
class SplitBrain:
    """What a router has seen of other masters since it started; a value, changed by its methods' results."""

    count: int = 0
    """Times that another MASTER appeared while we were MASTER."""
    past_seconds: float = 0.0
    """Of those that are over."""
    duel: Duel | None = None

    @property
    def seconds(self) -> float:
        """Seconds beside another MASTER, altogether."""
        return self.past_seconds + (self.duel.heard_at - self.duel.since if self.duel else 0.0)

    def heard(self, other: IPAddress, silence: float, now: float, *, known: bool) -> SplitBrain:
        """An advert of another MASTER, heard by one that stays MASTER.

        `silence` is its master-down interval; `known` tells whether it had the time to
        hear that we are MASTER.
        """
        book = self.at(now)
        if book.duel is not None:
            return attrs.evolve(book, duel=attrs.evolve(book.duel, heard_at=now, over_at=now + silence))
        if not known:
            return book
        return attrs.evolve(book, count=book.count + 1, duel=Duel(other, now, now, now + silence))

    def at(self, now: float) -> SplitBrain:
        """The same, when the other was silent for long enough."""
        return self.over() if self.duel is not None and now >= self.duel.over_at else self

    def over(self) -> SplitBrain:
        """One of the two has yielded."""
        return attrs.evolve(self, past_seconds=self.seconds, duel=None)
