"""The VRRPv3 election as a pure function (RFC 9568 section 6.4).

Rule 1: every VRRP decision lives here.  Rule 2: nothing here reads a clock, a
socket or a config file.  RFC 9568 renames Master to "Active"; we keep the word
operators type, MASTER.

Beyond the RFC: a FAULT state while the link is down, or tracking or the sync group
says so; weights that tracking adds to the priority, effective priority 1 while it
asks to yield; keepalived's preempt_delay; one last advert of a MASTER that yields;
a MASTER that leaves and serves on until it is relieved; a pair without a skew time; and
the times at which a MASTER announces its addresses and renews their lifetimes.

Longer than most files: it is one machine, and its transitions are easier to check side by side.
What a router knows of itself is in `router`.
"""

from __future__ import annotations

from math import inf

import attrs

from hapair.config.model import IPAddress
from hapair.vrrp.events import (
    AddressLost,
    AddVips,
    AdvertReceived,
    Announce,
    CloseGate,
    DeadlinePassed,
    Demoted,
    DropVips,
    Event,
    Evicted,
    GroupChanged,
    Leave,
    LinkDown,
    LinkUp,
    OpenGate,
    Order,
    Promoted,
    Reconfigured,
    RefreshVips,
    Refused,
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import AILING, RESIGNING, Router

REFRESH_INTERVAL = 0.5
"""Seconds between renewals of the VIPs' lifetimes, which are whole seconds and at least 2."""


AMENDS = 5
"""Adverts of the winner that the loser of a pair answers: its one last advert may have been lost."""


RELIEF_MARGIN = 0.05
"""Seconds that a relief may be late: it wakes up, and its advert must get here."""


@attrs.frozen
class Initialize:
    """Not taking part."""

    start_at: float = inf
    """End of the startup_delay; `inf` when it was not started."""
    link_up: bool = True


@attrs.frozen
class Fault:
    """Not taking part because the link is down or of no use to a MASTER, or because of what is tracked."""

    link_up: bool = False


@attrs.frozen
class Backup:
    master_interval: float
    """Seconds; Master_Adver_Interval, learnt from the current master's adverts."""
    master_down_at: float
    preempt_at: float | None = None
    """Until then a lower-priority master is left alone; None while none was heard."""
    ready: bool = False
    """It would be MASTER by now, and waits for the other members of its sync group."""
    master: IPAddress | None = None
    """Who was heard last; None while nobody was."""
    amends: int = 0
    """So many more times it makes the winner announce itself."""
    amends_at: float = 0.0
    """Not before: once an interval."""


@attrs.frozen
class Master:
    advert_at: float
    refresh_at: float
    """When the VIPs' lifetimes are renewed."""
    announced_at: float
    """When the last announcement was made."""
    repeats_at: tuple[float, ...]
    """When the burst is repeated, soonest first."""
    reannounce_at: float
    """The next periodic announcement; `inf` for never."""
    leaving_at: float = inf
    """It has said goodbye, and serves until then at the latest, or until another MASTER is heard."""
    repeat_count: int = 5
    """Gratuitous ARPs for each address when the burst is repeated."""


State = Initialize | Fault | Backup | Master

Step = tuple[State, tuple[Order, ...]]


def deadline(state: State) -> float:
    """When the caller must deliver `DeadlinePassed`; `inf` for never."""
    match state:
        case Backup(ready=True):
            return inf
        case Initialize(start_at=at) | Backup(master_down_at=at):
            return at
        case Master():
            return min(
                state.advert_at, state.refresh_at, state.reannounce_at, state.leaving_at, *state.repeats_at
            )
        case _:
            return inf


def overslept(router: Router, state: State, now: float) -> bool:
    """Whether a MASTER was silent for so long that a peer like itself has taken over.

    A process that was frozen, or starved, must not go on as MASTER: it would hold
    the VIP beside the peer.
    """
    if not isinstance(state, Master):
        return False
    silent_since = state.advert_at - router.advert_interval
    return now > silent_since + router.master_down_interval(router.advert_interval)


def step(router: Router, state: State, event: Event, now: float) -> Step:
    """Return the next state and what must be done, in that order, to be in it.

    The state advances before its orders are carried out, and carrying out may be
    cut short: so whatever leads away from MASTER orders the whole cleanup again.
    """
    match state, event:
        case Master(), Stopped():
            return Initialize(), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case _, Stopped():
            return Initialize(), (CloseGate(), DropVips())
        case Initialize(), Started(link_up=link_up):
            if router.startup_delay:
                return Initialize(now + router.startup_delay, link_up), ()
            return _take_part_if_fit(router, link_up, now)
        case Initialize(start_at=start_at), LinkUp() | LinkDown():
            return Initialize(start_at, isinstance(event, LinkUp)), ()
        case Initialize(link_up=link_up), DeadlinePassed() if now >= state.start_at:
            return _take_part_if_fit(router, link_up, now)
        case Master(), LinkDown() if state.leaving_at < inf:  # from FAULT it would come back
            return Initialize(), (CloseGate(), DropVips())
        case ((Backup() | Master()), LinkDown()):
            return Fault(), (CloseGate(), DropVips())
        case Master(), Refused() if state.leaving_at == inf:
            return Fault(), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case Fault(), LinkDown():
            return Fault(), ()
        case Fault(), LinkUp():
            return _take_part_if_fit(router, True, now)
        case Fault(link_up=link_up), TrackingChanged() | GroupChanged():
            return _take_part_if_fit(router, link_up, now)
        case Backup(), TrackingChanged() | GroupChanged() if router.unfit:
            return Fault(link_up=True), (CloseGate(), DropVips())
        case Master(), TrackingChanged() | GroupChanged() if router.unfit and state.leaving_at == inf:
            return Fault(link_up=True), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case ((Initialize() | Fault() | Backup()), Leave()):
            return Initialize(), ()
        case Backup(), _:
            return _step_backup(router, state, event, now)
        case Master(), _ if state.leaving_at < inf:
            return _step_leaving(router, state, event, now)
        case Master(), _:
            return _step_master(router, state, event, now)
        case _:
            return state, ()


def _take_part_if_fit(router: Router, link_up: bool, now: float) -> Step:
    if not link_up or router.unfit:
        return Fault(link_up), ()
    return _take_part(router, now)


def _take_part(router: Router, now: float) -> Step:
    backup = _backup(router, router.advert_interval, now)
    return _may_be_master(router, backup, now) if router.owns else (backup, ())


def _backup(router: Router, interval: float, now: float) -> Backup:
    return Backup(interval, now + router.master_down_interval(interval))


def _may_be_master(router: Router, state: Backup, now: float) -> Step:
    """Become MASTER, or wait for the sync group."""
    if router.grouped:
        return attrs.evolve(state, ready=True), ()
    return _become_master(router, now)


def _become_master(router: Router, now: float) -> Step:
    state = _announced(
        router,
        Master(
            advert_at=now + router.advert_interval,
            refresh_at=now + REFRESH_INTERVAL,
            announced_at=now,
            repeats_at=_last_repeat(router.garp_delay, now),
            repeat_count=router.garp_count,
            reannounce_at=inf,
        ),
        now,
    )
    # Announced first, though the RFC's list has the advert first: it makes the one that we relieve drop the
    # VIPs, and what clients still send to it then is lost.
    return state, (
        AddVips(),
        OpenGate(),
        Announce(router.garp_count),
        SendAdvert(router.effective_priority),
    )


def _step_backup(router: Router, state: Backup, event: Event, now: float) -> Step:
    match event:
        case DeadlinePassed():
            return _may_be_master(router, state, now)
        case Promoted() if state.ready:
            return _become_master(router, now)
        case AdvertReceived(priority=0) if state.master not in (None, event.source):
            # RFC 9568 would have us take over from a master that lives: whoever says goodbye, it is not that.
            return state, ()
        case AdvertReceived(priority=0):  # RESIGNING: a bare name would capture
            return attrs.evolve(state, master_down_at=now + _wait_after_goodbye(router, state)), ()
        case AdvertReceived():
            heard = attrs.evolve(_heard_by_backup(router, state, event, now), master=event.source)
            if not state.amends or event.priority < router.effective_priority:
                return heard, ()
            if now < state.amends_at:
                return attrs.evolve(heard, amends=state.amends, amends_at=state.amends_at), ()
            return _make_amends(heard, state.amends - 1, now), (SendAdvert(RESIGNING, again=True),)
        case Reconfigured() | TrackingChanged() if router.owns:
            return _may_be_master(router, state, now)
        case TrackingChanged():
            # As if the timer had been set with the priority that we have now.
            before = attrs.evolve(router, tracking=event.before).skew_time(state.master_interval)
            shift = router.skew_time(state.master_interval) - before
            return attrs.evolve(state, master_down_at=state.master_down_at + shift), ()
        case _:
            return state, ()


def _wait_after_goodbye(router: Router, state: Backup) -> float:
    """Seconds to leave to better candidates when somebody resigns.

    The only backup of a pair has nobody to wait for, but it must have heard the master
    before.  One that is ailing leaves the master the time to come back.
    """
    if state.master is not None and not router.skew and not router.tracking.ailing:
        return 0.0
    return router.skew_time(state.master_interval)


def _make_amends(state: Backup, left: int, now: float) -> Backup:
    """Remember to say once more, an interval later, that we were MASTER and are not.

    On a wire that loses packets the winner may have heard nothing of us, and clients would keep
    us in their ARP caches.  Goodbyes, which are no second master; only in a pair (`skew`), for a
    third router would take them for the master's.
    """
    return attrs.evolve(state, amends=left, amends_at=now + state.master_interval / 2)


def _heard_by_backup(router: Router, state: Backup, advert: AdvertReceived, now: float) -> Backup:
    """Accept the advert, or let the timer run out and take over (RFC 9568 section 6.4.2)."""
    accepted = _backup(router, advert.interval, now)
    if advert.priority >= router.effective_priority:
        return accepted
    if advert.priority == AILING:
        # preempt = false and preempt_delay protect a master that works; this one says that it does not.
        return state
    if not router.preempt:
        return accepted
    preempt_at = now + router.preempt_delay if state.preempt_at is None else state.preempt_at
    if now < preempt_at:
        return attrs.evolve(accepted, preempt_at=preempt_at)
    return attrs.evolve(state, preempt_at=preempt_at)


def _step_master(router: Router, state: Master, event: Event, now: float) -> Step:
    priority = router.effective_priority
    advertised = attrs.evolve(state, advert_at=now + router.advert_interval)
    match event:
        case DeadlinePassed():
            return _tick(router, state, now)
        case Leave():
            return _leave(router, state, now)
        case AdvertReceived() if (event.priority, event.source) > (priority, router.source):
            # One last advert, when the VIPs are gone: without it a winner that spoke first would never
            # know that we were there, and leave us in the clients' ARP caches (see _duel).
            backup = attrs.evolve(_backup(router, event.interval, now), master=event.source)
            if not router.skew:
                backup = _make_amends(backup, AMENDS, now)
            return backup, (CloseGate(), DropVips(), SendAdvert(priority))
        case AdvertReceived():
            return _duel(router, advertised, now)
        case TrackingChanged() if event.verdict.ailing and not event.before.ailing:
            # A healthy peer waits its own skew, which is less; if there is none we serve again, ailing.
            fallback = now + router.skew_time(router.advert_interval)
            return Backup(router.advert_interval, fallback), (
                CloseGate(),
                DropVips(),
                SendAdvert(RESIGNING),
            )
        case TrackingChanged() if event.verdict.effect == event.before.effect:
            return state, ()
        case TrackingChanged() | Reconfigured(addresses=False):
            return advertised, (SendAdvert(priority),)
        case Reconfigured(addresses=True):
            return _announced(router, advertised, now), (
                AddVips(),
                SendAdvert(priority),
                Announce(router.garp_count),
            )
        case AddressLost():
            return _announced(router, state, now), (AddVips(), Announce(router.garp_count))
        case LinkUp():  # while up: the link-layer address changed
            return _announced(router, state, now), (Announce(router.garp_count),)
        case Demoted():
            return _backup(router, router.advert_interval, now), (
                CloseGate(),
                DropVips(),
                SendAdvert(RESIGNING),
            )
        case Evicted():
            return _backup(router, router.advert_interval, now), (CloseGate(), DropVips())
        case _:
            return state, ()


def _leave(router: Router, state: Master, now: float) -> Step:
    """Say goodbye and serve on: whoever relieves us waits its skew time first, which is below an interval."""
    longest_skew = 1.0 if router.version == 2 else router.advert_interval
    leaving = attrs.evolve(
        state,
        advert_at=inf,
        repeats_at=(),
        reannounce_at=inf,
        leaving_at=now + longest_skew + RELIEF_MARGIN,
    )
    return leaving, (SendAdvert(RESIGNING),)


def _step_leaving(router: Router, state: Master, event: Event, now: float) -> Step:
    match event:
        case AdvertReceived(priority=0):
            return state, ()
        case TrackingChanged() | GroupChanged() if router.unfit:
            return Initialize(), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case AdvertReceived() | Demoted() | Refused():
            # Relieved, or of no use any more.
            # The last goodbye makes the relief announce itself again, now that it is alone.
            return Initialize(), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case DeadlinePassed() if now >= state.leaving_at:
            return Initialize(), (CloseGate(), DropVips(), SendAdvert(RESIGNING))
        case DeadlinePassed() if now >= state.refresh_at:
            return attrs.evolve(state, refresh_at=now + REFRESH_INTERVAL), (RefreshVips(),)
        case Evicted():
            return Initialize(), (CloseGate(), DropVips())
        case AddressLost():
            return state, (AddVips(),)
        case _:
            return state, ()


def _tick(router: Router, state: Master, now: float) -> Step:
    """Do what is due; a late tick does each thing once, it does not catch up."""
    orders: list[Order] = []
    if now >= state.advert_at:
        on_time = state.advert_at + router.advert_interval
        state = attrs.evolve(state, advert_at=on_time if on_time > now else now + router.advert_interval)
        orders.append(SendAdvert(router.effective_priority))
    if now >= state.refresh_at:
        state = attrs.evolve(state, refresh_at=now + REFRESH_INTERVAL)
        orders.append(RefreshVips())
    if any(at <= now for at in state.repeats_at):
        left = tuple(at for at in state.repeats_at if at > now)
        state = _announced(router, attrs.evolve(state, repeats_at=left), now)
        orders.append(Announce(state.repeat_count))
    elif now >= state.reannounce_at:
        state = _announced(router, state, now)
        orders.append(Announce(router.garp_refresh_repeat))
    return state, tuple(orders)


def _duel(router: Router, state: Master, now: float) -> Step:
    """Answer another MASTER that we outrank, or one that just resigned.

    A partition has healed, or the guard of a frozen peer struck: clients may have
    the loser in their ARP caches, and it may answer one more request before it
    hears us.  So announce now *and* one interval later; a burst at most every
    interval, whatever the other side sends.
    """
    count, delay = router.garp_lower_prio_repeat, router.garp_lower_prio_delay
    count = router.garp_count if count is None else count
    delay = router.garp_delay if delay is None else delay
    soon = now + router.advert_interval
    pending = tuple(at for at in state.repeats_at[:1] if at < soon)
    repeats_at = (*pending, soon, *_last_repeat(delay, now))
    state = attrs.evolve(state, repeats_at=repeats_at, repeat_count=count)
    advert = SendAdvert(router.effective_priority)
    if now < state.announced_at + router.advert_interval:
        return state, (advert,)
    return _announced(router, state, now), (advert, Announce(count))


def _last_repeat(delay: float, now: float) -> tuple[float, ...]:
    return (now + delay,) if delay else ()


def _announced(router: Router, state: Master, now: float) -> Master:
    reannounce_at = now + router.garp_refresh if router.garp_refresh else inf
    return attrs.evolve(state, announced_at=now, reannounce_at=reannounce_at)
