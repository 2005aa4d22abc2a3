"""What a virtual router knows of itself: its priorities and its timers (RFC 9568 section 6.1).

Pure: the configuration, and what tracking and its sync group make of it.  `election` decides by it.
"""

from __future__ import annotations

import attrs

from hapair.config.model import InitialState, IPAddress, VrrpInstance
from hapair.vrrp.tracking import WELL, Verdict

OWNER = 255
"""Priority of the address owner (RFC 9568 section 5.2.4): never waits for anybody."""

RESIGNING = 0
"""Priority of the goodbye advert (RFC 9568 section 5.2.4)."""

AILING = 1
"""Effective priority of a router that yields: the least that can still hold the VIP."""

STRONGEST = 254
"""The most that weights can reach: they make nobody an owner."""


@attrs.frozen
class Router:
    """What a router knows of itself: its configuration and what tracking makes of it."""

    priority: int
    """As configured; adverts carry `effective_priority`."""
    source: IPAddress
    """Its primary address: breaks the tie between equal priorities."""
    advert_interval: float = 1.0
    version: int = 3
    claims: bool = True
    """Whether an address owner starts as MASTER; False: it waits like everybody."""
    startup_delay: float = 0.0
    """Seconds after the start before it takes part."""
    down_timer_adverts: int = 3
    skew: bool = True
    """False: a resigning master has no other backup; take over at once."""
    preempt: bool = True
    preempt_delay: float = 0.0
    """Seconds between the first lower-priority advert and preemption."""
    tracking: Verdict = WELL
    grouped: bool = False
    """It belongs to a sync group, and becomes MASTER with all its members."""
    held: bool = False
    """Another member of its sync group is in FAULT."""
    garp_count: int = 5
    garp_delay: float = 5.0
    garp_refresh: float = 60.0
    garp_refresh_repeat: int = 1
    garp_lower_prio_repeat: int | None = None
    """None: `garp_count`."""
    garp_lower_prio_delay: float | None = None
    """None: `garp_delay`."""

    @property
    def effective_priority(self) -> int:
        if self.tracking.ailing:
            return AILING
        if self.priority == OWNER:
            return OWNER
        return min(STRONGEST, max(AILING, self.priority + self.tracking.weight))

    @property
    def unfit(self) -> bool:
        """Whether it must not take part, even though its link is up."""
        return self.tracking.fault or self.held

    @property
    def owns(self) -> bool:
        """An owner that need not wait for anybody."""
        return self.claims and self.effective_priority == OWNER

    def skew_time(self, interval: float) -> float:
        """Our Skew_Time; `interval` is the master's (RFC 9568) and of no account in version 2 (RFC 3768)."""
        return skew_time(self.effective_priority, 1.0 if self.version == 2 else interval)

    def master_down_interval(self, interval: float) -> float:
        """The silence, in seconds, after which we take the master for dead (section 6.1 of both RFCs)."""
        return self.down_timer_adverts * interval + self.skew_time(interval)


def router_of(instance: VrrpInstance, source: IPAddress, *, tracking: Verdict = WELL) -> Router:
    """Return what the election needs to know of a configured instance."""
    return Router(
        priority=instance.priority,
        source=source,
        advert_interval=instance.advert_interval,
        version=instance.version,
        claims=instance.state is not InitialState.BACKUP,
        startup_delay=instance.startup_delay,
        down_timer_adverts=instance.down_timer_adverts,
        skew=instance.skew,
        preempt=instance.preempt,
        preempt_delay=instance.preempt_delay,
        tracking=tracking,
        garp_count=instance.garp_count,
        garp_delay=instance.garp_delay,
        garp_refresh=instance.garp_refresh,
        garp_refresh_repeat=instance.garp_refresh_repeat,
        garp_lower_prio_repeat=instance.garp_lower_prio_repeat,
        garp_lower_prio_delay=instance.garp_lower_prio_delay,
    )


def skew_time(priority: int, interval: float) -> float:
    """Return Skew_Time in seconds: a better candidate waits less (RFC 9568 section 6.1)."""
    return (256 - priority) * interval / 256
