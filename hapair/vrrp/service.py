"""One virtual router as a task: packets, time and orders around the pure election.

Law: every event goes through `election.step`, one at a time; the state advances
first and its orders are carried out after it, in their order.  Before anything
that only a MASTER may do, the guard is asked whether it has struck: a process
that slept must find out before it acts.

Longer than most files: what is told of a step stands beside what is done for it.
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from types import MappingProxyType
from typing import NoReturn

import attrs
import trio

from hapair.config.model import IPAddress, IPInterface, Vip, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.ports import Addresses, Announcer, Claims, Gate, Guard, Link, Routes, Segment
from hapair.vrrp import election
from hapair.vrrp.adverts import Adverts
from hapair.vrrp.conflicts import Conflicts
from hapair.vrrp.events import (
    AddressLost,
    AddVips,
    AdvertReceived,
    Announce,
    CloseGate,
    DeadlinePassed,
    DropVips,
    Event,
    Evicted,
    GroupChanged,
    Leave,
    LinkDown,
    LinkUp,
    OpenGate,
    Order,
    Reconfigured,
    RefreshVips,
    Refused,
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.holding import Holding
from hapair.vrrp.pacing import Pacing
from hapair.vrrp.reports import (
    AddressConflict,
    DuplicateMaster,
    DuplicateMasterGone,
    GuardStrike,
    PriorityChanged,
    Report,
    Transition,
    unheard,
)
from hapair.vrrp.router import RESIGNING, router_of
from hapair.vrrp.split_brain import SplitBrain
from hapair.vrrp.status import RouterStatus, cause, state_of
from hapair.vrrp.sync_group import GroupEvent, Member, member_of
from hapair.vrrp.tracking import WELL, Verdict

log = logging.getLogger("hapair.vrrp")

RELEASE_TIMEOUT = 5.0
"""Seconds to give the VIPs away when we are cancelled; what is left then is the guard's."""

READ_BATCH = 64
"""Packets read in a row before a deadline that has passed is served: a flood must not silence us."""


LOOK_INTERVAL = 0.2
"""Seconds between two looks for misplaced VIPs: who keeps putting them there must not keep us busy."""


@attrs.frozen(eq=False)
class _Change:
    """A new configuration on its way into the loop."""

    instance: VrrpInstance
    done: trio.Event


class VirtualRouter:
    """One VRRP instance.  `source` is its primary address, `lifetime` the VIPs' valid_lft in seconds."""

    def __init__(
        self,
        instance: VrrpInstance,
        *,
        source: IPAddress,
        link: Link,
        addresses: Addresses,
        routes: Routes,
        segment: Segment,
        announcer: Announcer,
        claims: Claims,
        gate: Gate,
        guard: Guard,
        lifetime: int = 2,
        report: Callable[[Report], None] = unheard,
    ) -> None:
        self._instance = instance
        self._source = source
        self._link = link
        self._segment = segment
        self._announcer = announcer
        self._claims = claims
        self._gate = gate
        self._guard = guard
        self._report = report

        self._router = router_of(instance, source)
        self._state: election.State = election.Initialize()
        self._adverts = Adverts(instance, source)
        self._holding = Holding(
            instance,
            link=link,
            addresses=addresses,
            routes=routes,
            guard=guard,
            plan=self._adverts.plan,
            lifetime=lifetime,
        )
        self._strikes = guard.strikes()
        self._pacing = Pacing()
        self._conflicts = Conflicts()
        self._look_at = inf
        """When to look for VIPs that somebody else has put somewhere, and which networks the link is in."""
        self._looked_at = -inf
        self._inbox: deque[Event | _Change] = deque()
        self._waiting: trio.CancelScope | None = None
        self._running = False
        self._refused = False
        """In FAULT because of the kernel, until the link, its networks or the configuration change."""
        self._left: trio.Event | None = None
        self._read = 0
        """Packets read since the last time there was none."""

        self._tracking_told = WELL
        self._group_hears: Callable[[], None] | None = None
        self._since = 0.0
        self._cause = "not started"
        self._transitions = 0
        self._split = SplitBrain()
        self._sent = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Take part in the election until cancelled, then give the VIPs away."""
        unsubscribe = self._link.subscribe(self._on_link, self._on_address_lost, self._on_address_seen)
        self._running = True
        try:
            await self._holding.sweep()
            await self._handle(Started(self._link.up))
            task_status.started()
            while True:
                match await self._next():
                    case _Change() as change:
                        await self._reconfigure(change)
                    case event:
                        await self._handle(event)
        finally:
            self._running = False
            unsubscribe()
            with trio.move_on_after(RELEASE_TIMEOUT, shield=True):
                await self._handle(Stopped())
            for message in self._inbox:
                if isinstance(message, _Change):
                    message.done.set()

    async def leave(self) -> None:
        """Give the VIPs to whoever takes them, serving until then; at most an advert interval and a bit.

        For a planned stop.  Cancelled, it stays MASTER without adverts until `run` is cancelled as well.
        """
        if self._running:
            self._left = trio.Event()
            self._tell(Leave())
            await self._left.wait()

    def set_tracking(self, verdict: Verdict) -> None:
        """Say what the things that this router tracks mean for it; nothing happens unless that changes."""
        if verdict == self._tracking_told:
            return
        before, self._tracking_told = self._tracking_told, verdict
        if self._running:
            self._tell(TrackingChanged(verdict, before))
        else:
            self._adopt_tracking(verdict)

    def set_lifetime(self, seconds: int) -> None:
        """Give the VIPs another valid_lft from their next renewal on."""
        self._holding.set_lifetime(seconds)

    def follow_group(self, hears: Callable[[], None]) -> None:
        """Move with a sync group from now on; `hears` is called whenever the group has to know."""
        self._router = attrs.evolve(self._router, grouped=True)
        self._group_hears = hears

    def membership(self) -> Member:
        """How this router stands to its sync group."""
        return member_of(self._router, self._state)

    def tell_group(self, event: GroupEvent) -> None:
        """What the group has decided."""
        self._tell(event)

    async def reconfigure(self, instance: VrrpInstance) -> None:
        """Take over another priority, interval, preemption, announcing, checksum form or other addresses.

        A MASTER stays MASTER.  With another interface, virtual_router_id, source or
        peers it is another router: the caller stops this one and starts that.
        """
        if self._running:
            change = _Change(instance, trio.Event())
            self._tell(change)
            await change.done.wait()
        else:
            self._adopt(instance)

    def status(self) -> RouterStatus:
        return RouterStatus(
            name=self._instance.name,
            state=state_of(self._state),
            since=self._since,
            cause=self._cause,
            transitions=self._transitions,
            priority=self._router.priority,
            effective_priority=self._router.effective_priority,
            why=self._router.tracking.why,
            peer=self._adverts.peer,
            misplaced_addresses=self._holding.misplaced,
            duplicate_masters=self._split.count,
            duplicate_master_seconds=self._split.seconds,
            address_conflicts=self._conflicts.count,
            conflicting_mac=self._conflicts.mac,
            adverts_sent=self._sent,
            adverts_received=self._adverts.received,
            drops=MappingProxyType(dict(self._adverts.drops)),
        )

    def _tell(self, message: Event | _Change) -> None:
        self._inbox.append(message)
        if self._waiting is not None:
            self._waiting.cancel()

    def _on_link(self, up: bool) -> None:
        self._tell(LinkUp() if up else LinkDown())

    def _on_address_lost(self, index: int, address: IPInterface) -> None:
        if self._holding.is_home(index, address):
            self._tell(AddressLost(str(address)))

    def _on_address_seen(self, index: int, address: IPInterface) -> None:
        if self._holding.worth_a_look(index, address, master=self._is_master):
            self._look_at = max(trio.current_time(), self._looked_at + LOOK_INTERVAL)
            if self._waiting is not None:
                self._waiting.cancel()

    def _on_claim(self, address: IPAddress, mac: str) -> None:
        self._conflicts.heard(address, mac, trio.current_time())
        if self._waiting is not None:
            self._waiting.cancel()

    @property
    def _is_master(self) -> bool:
        return isinstance(self._state, election.Master)

    async def _next(self) -> Event | _Change:
        """Return what happens next; nothing is awaited between finding it and returning it."""
        while True:
            now = trio.current_time()
            strikes = self._guard.strikes()
            if strikes != self._strikes:
                self._strikes = strikes
                return Evicted("the guard struck: this process was frozen")
            if election.overslept(self._router, self._state, now):
                return Evicted("this process was frozen")
            if self._inbox:
                return self._inbox.popleft()
            due = election.deadline(self._state) <= now
            if due and (self._read >= READ_BATCH or isinstance(self._state, election.Master)):
                self._read = 0
                return DeadlinePassed()
            if self._pacing.due <= now:
                await self._announce_paced()
                continue
            if self._conflicts.due <= now:
                await self._defend(now)
                continue
            if self._look_at <= now:
                self._looked_at, self._look_at = now, inf
                await self._holding.remove_misplaced(master=self._is_master)
                await self._learn_networks()
                self._try_again()
                continue
            # What is queued comes before a silence: we may have been asleep, not the master.
            packet = self._segment.receive_nowait()
            if packet is not None:
                self._read += 1
                if self._read % READ_BATCH == 0:
                    await trio.lowlevel.checkpoint()
                event = self._adverts.hear(packet, now)
                if event is not None:
                    return event
            elif due:
                return DeadlinePassed()
            else:
                self._read = 0
                own = self._pacing.due, self._conflicts.due, self._look_at
                wake = min(election.deadline(self._state), *own)
                with trio.CancelScope(deadline=wake) as self._waiting:
                    await self._segment.readable()
                self._waiting = None

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Started | LinkUp | Refused):
            await self._learn_networks()
        priority = self._router.effective_priority
        if isinstance(event, TrackingChanged):
            self._adopt_tracking(event.verdict)
        if isinstance(event, GroupChanged):
            self._router = attrs.evolve(self._router, held=event.held)
        now = trio.current_time()
        before = self._state
        self._state, orders = election.step(self._router, before, event, now)
        self._refused = isinstance(self._state, election.Fault) and (
            self._refused or isinstance(event, Refused)
        )
        if not isinstance(self._state, election.Master):
            self._pacing.clear()
            self._conflicts.end()
        self._note_masters(before, event, now)
        if type(self._state) is not type(before):
            self._since = now
            self._transitions += 1
            self._cause = cause(self._router, before, event, self._adverts.peer, now)
        if self._group_hears is not None:
            self._group_hears()
        try:
            await self._carry_out(orders)
        finally:  # after, because clients wait for the orders
            self._log_step(event, before, priority, orders)
            self._report_step(event, before, priority)
        if self._left is not None and not isinstance(self._state, election.Master):
            self._left.set()

    def _note_masters(self, before: election.State, event: Event, now: float) -> None:
        """Count another MASTER beside us; logged when it appears and when it is over."""
        was = self._split
        if not (isinstance(before, election.Master) and isinstance(self._state, election.Master)):
            self._split = was.over()
        elif isinstance(event, AdvertReceived) and event.priority != RESIGNING:
            silence = self._router.down_timer_adverts * event.interval
            known = now - self._since > 1.5 * max(event.interval, self._router.advert_interval)
            self._split = was.heard(event.source, silence, now, known=known)
        elif isinstance(event, AdvertReceived) and was.duel and was.duel.other == event.source:
            self._split = was.over()
        else:
            self._split = was.at(now)
        if self._split.count != was.count and isinstance(event, AdvertReceived):
            log.warning(
                "(%s) %s is MASTER beside us, with priority %d",
                self._instance.name,
                event.source,
                event.priority,
            )
            self._report(DuplicateMaster(self._instance.name, str(event.source), event.priority))
        if was.duel is not None and self._split.duel is None:
            seconds = was.duel.heard_at - was.duel.since
            log.warning(
                "(%s) %s was MASTER beside us for %.2f s", self._instance.name, was.duel.other, seconds
            )
            self._report(DuplicateMasterGone(self._instance.name, str(was.duel.other), seconds))

    def _log_step(
        self, event: Event, before: election.State, priority: int, orders: tuple[Order, ...]
    ) -> None:
        if type(self._state) is not type(before):
            log.info(
                "(%s) Entering %s STATE: %s", self._instance.name, state_of(self._state).value, self._cause
            )
        elif isinstance(event, TrackingChanged) and self._router.effective_priority != priority:
            log.info(
                "(%s) Changing effective priority from %d to %d: %s",
                self._instance.name,
                priority,
                self._router.effective_priority,
                event.verdict.why or "what it tracks is well again",
            )
        elif isinstance(event, AddressLost) and orders:
            log.warning(
                "(%s) %s was removed by somebody else, putting it back", self._instance.name, event.address
            )

    def _report_step(self, event: Event, before: election.State, priority: int) -> None:
        """Tell what `event` has changed; `before` and `priority` are how it was."""
        name, now = self._instance.name, self._router.effective_priority
        if isinstance(event, Evicted) and isinstance(before, election.Master):
            self._report(GuardStrike(name, event.why))
        if isinstance(event, TrackingChanged) and now != priority:
            self._report(PriorityChanged(name, priority, now, event.verdict.why))
        after = self._state
        if type(after) is not type(before):
            states = state_of(before), state_of(after)
            self._report(Transition(name, *states, self._cause, self._router.priority, now))

    def _adopt_tracking(self, verdict: Verdict) -> None:
        self._router = attrs.evolve(self._router, tracking=verdict)

    async def _carry_out(self, orders: tuple[Order, ...]) -> None:
        opened = False
        for order in orders:
            if not isinstance(order, CloseGate | DropVips) and self._guard.strikes() != self._strikes:
                return  # `_next` finds it, too, and evicts us
            match order:
                case AddVips() | RefreshVips():
                    if not await self._add_vips():
                        return
                case DropVips():
                    await self._holding.drop()
                case OpenGate():
                    self._gate.open()
                    self._conflicts.begin(trio.current_time())
                    opened = True
                case CloseGate():
                    self._gate.close()
                    self._claims.forget()
                case SendAdvert(priority=priority, again=again):
                    if not await self._advertise(priority):
                        return
                    if priority == RESIGNING and not again:
                        log.info("(%s) sent 0 priority", self._instance.name)
                case Announce(count=count):
                    await self._announce(self._instance.held, count)
        if opened:  # now: clients have waited for the orders above
            self._claims.watch(self._instance.held, self._on_claim)

    async def _defend(self, now: float) -> None:
        """Contradict whoever says to have our addresses."""
        name, defences = self._instance.name, self._conflicts.take(now)
        claimed = {defence.address for defence in defences}
        for defence in defences:
            log.warning(
                "(%s) %s claims %s (%d times), announcing it again",
                name,
                defence.mac,
                defence.address,
                defence.times,
            )
            self._report(AddressConflict(name, str(defence.address), defence.mac, defence.times))
        vips = tuple(vip for vip in self._instance.held if vip.ip in claimed)
        await self._announce(vips, self._instance.garp_count)

    async def _announce(self, vips: tuple[Vip, ...], count: int) -> None:
        if self._instance.garp_interval or self._instance.gna_interval:
            self._pacing.order(vips, count, trio.current_time())
            await self._announce_paced()
        else:
            await self._announcer.announce(vips, count)

    async def _announce_paced(self) -> None:
        now, instance = trio.current_time(), self._instance
        due = self._pacing.take(now, instance.garp_interval, instance.gna_interval)
        if due:
            await self._announcer.announce(due, 1)

    async def _add_vips(self) -> bool:
        """Return False when the interface has vanished or has no IPv6: faults to be handled, not errors."""
        try:
            await self._holding.add()
        except KernelError as error:
            if error.errno not in (errno.ENODEV, errno.EACCES):
                raise
            # First in line: its Link may have queued that it is up again.
            self._inbox.appendleft(LinkDown() if error.errno == errno.ENODEV else Refused(str(error)))
            return False
        return True

    async def _advertise(self, priority: int) -> bool:
        """Return False when the link's MTU is too small: who cannot be heard must not be MASTER."""
        try:
            await self._segment.send(self._adverts.payloads(priority))
        except KernelError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._inbox.appendleft(Refused(str(error)))
            return False
        self._sent += 1
        return True

    def _try_again(self) -> None:
        """What the kernel refused it may do now."""
        if self._refused and self._link.up:
            self._tell(LinkUp())

    async def _learn_networks(self) -> None:
        self._adverts.on_link(await self._holding.networks())

    async def _reconfigure(self, change: _Change) -> None:
        old, new = self._instance, change.instance
        others = (old.virtual_routes, old.virtual_rules) != (new.virtual_routes, new.virtual_rules)
        if others and self._is_master:
            await self._holding.drop_routes()
        addresses = others or new.held != old.held
        self._adopt(new)
        if addresses and self._is_master:
            self._claims.watch(new.held, self._on_claim)
        await self._handle(Reconfigured(addresses))
        await self._holding.settle(master=self._is_master)
        self._try_again()
        change.done.set()

    def _adopt(self, instance: VrrpInstance) -> None:
        self._instance = instance
        self._holding.adopt(instance)
        was = self._router
        self._router = attrs.evolve(
            router_of(instance, self._source, tracking=was.tracking),
            grouped=was.grouped,
            held=was.held,
        )
        self._adverts.adopt(instance)
