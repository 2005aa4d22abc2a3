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

from hapair.config.model import IPAddress, IPInterface, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.ports import Addresses, Announcer, Gate, Guard, Link, Placed, Routes, Segment
from hapair.vrrp import election
from hapair.vrrp.adverts import Adverts
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
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.pacing import Pacing
from hapair.vrrp.reports import (
    DuplicateMaster,
    DuplicateMasterGone,
    GuardStrike,
    PriorityChanged,
    Report,
    Transition,
    unheard,
)
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
        gate: Gate,
        guard: Guard,
        lifetime: int = 2,
        report: Callable[[Report], None] = unheard,
    ) -> None:
        self._instance = instance
        self._source = source
        self._link = link
        self._addresses = addresses
        self._routes = routes
        self._segment = segment
        self._announcer = announcer
        self._gate = gate
        self._guard = guard
        self._lifetime = lifetime
        self._report = report

        self._router = election.router_of(instance, source)
        self._state: election.State = election.Initialize()
        self._adverts = Adverts(instance, source)
        self._former: tuple[IPInterface, ...] = ()
        """VIPs of the configuration before this one that may still be on the interface."""
        self._strikes = guard.strikes()
        self._pacing = Pacing()
        self._vips = frozenset(vip.ip for vip in instance.held)
        self._look_at = inf
        """When to look for VIPs that somebody else has put somewhere."""
        self._looked_at = -inf
        self._misplaced: dict[Placed, int] = {}
        """How often each was removed."""
        self._inbox: deque[Event | _Change] = deque()
        self._waiting: trio.CancelScope | None = None
        self._running = False
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
            await self._sweep()
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
            misplaced_addresses=sum(self._misplaced.values()),
            duplicate_masters=self._split.count,
            duplicate_master_seconds=self._split.seconds,
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

    def _on_address_lost(self, address: IPInterface) -> None:
        if address in self._instance.held:
            self._tell(AddressLost(str(address)))

    def _on_address_seen(self, index: int, address: IPInterface) -> None:
        if address.ip in self._vips and not self._belongs(index, address):
            self._look_at = max(trio.current_time(), self._looked_at + LOOK_INTERVAL)
            if self._waiting is not None:
                self._waiting.cancel()

    def _belongs(self, index: int, address: IPInterface) -> bool:
        """Whether a VIP is where it should be; a link-local address of another link is no VIP."""
        if address.ip.is_link_local and index != self._link.index:
            return True
        master = isinstance(self._state, election.Master)
        return master and index == self._link.index and address in self._instance.held

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
            if self._look_at <= now:
                await self._remove_misplaced()
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
                wake = min(election.deadline(self._state), self._pacing.due, self._look_at)
                with trio.CancelScope(deadline=wake) as self._waiting:
                    await self._segment.readable()
                self._waiting = None

    async def _handle(self, event: Event) -> None:
        if isinstance(event, Started | LinkUp):
            await self._learn_networks()
        priority = self._router.effective_priority
        if isinstance(event, TrackingChanged):
            self._adopt_tracking(event.verdict)
        if isinstance(event, GroupChanged):
            self._router = attrs.evolve(self._router, held=event.held)
        now = trio.current_time()
        before = self._state
        self._state, orders = election.step(self._router, before, event, now)
        if not isinstance(self._state, election.Master):
            self._pacing.clear()
        self._note_masters(before, event, now)
        if type(self._state) is not type(before):
            self._since = now
            self._transitions += 1
            self._cause = cause(self._router, before, event, self._adverts.peer, now)
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
        if self._group_hears is not None:
            self._group_hears()
        try:
            await self._carry_out(orders)
        finally:
            self._report_step(event, before, priority)
        if self._left is not None and not isinstance(self._state, election.Master):
            self._left.set()

    def _note_masters(self, before: election.State, event: Event, now: float) -> None:
        """Count another MASTER beside us; logged when it appears and when it is over."""
        was = self._split
        if not (isinstance(before, election.Master) and isinstance(self._state, election.Master)):
            self._split = was.over()
        elif isinstance(event, AdvertReceived) and event.priority != election.RESIGNING:
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
        for order in orders:
            if not isinstance(order, CloseGate | DropVips) and self._guard.strikes() != self._strikes:
                return  # `_next` finds it, too, and evicts us
            match order:
                case AddVips() | RefreshVips():
                    if not await self._add_vips():
                        return
                case DropVips():
                    await self._drop_vips()
                case OpenGate():
                    self._gate.open()
                case CloseGate():
                    self._gate.close()
                case SendAdvert(priority=priority):
                    await self._segment.send(self._adverts.payloads(priority))
                    self._sent += 1
                    if priority == election.RESIGNING:
                        log.info("(%s) sent 0 priority", self._instance.name)
                case Announce(count=count):
                    await self._announce(count)

    async def _announce(self, count: int) -> None:
        addresses = tuple(vip.ip for vip in self._instance.held)
        if self._instance.garp_interval or self._instance.gna_interval:
            self._pacing.order(addresses, count, trio.current_time())
            await self._announce_paced()
        else:
            await self._announcer.announce(addresses, count)

    async def _announce_paced(self) -> None:
        now, instance = trio.current_time(), self._instance
        due = self._pacing.take(now, instance.garp_interval, instance.gna_interval)
        if due:
            await self._announcer.announce(due, 1)

    async def _add_vips(self) -> bool:
        """Return False when the interface has vanished: that is a fault to be handled, not an error."""
        self._protect(self._instance.held + self._former)
        try:
            for vip in self._instance.held:
                await self._addresses.add(vip, self._lifetime)
        except KernelError as error:
            if error.errno != errno.ENODEV:
                raise
            # First in line: its Link may have queued that it is up again.
            self._inbox.appendleft(LinkDown())
            return False
        await self._routes.add(self._instance)
        return True

    def _protect(self, held: tuple[IPInterface, ...]) -> None:
        """Let the guard know all that we hold."""
        plan = self._adverts.plan(self._link.index, held)
        deletions = self._routes.deletions(self._instance)
        self._guard.protect(self._instance.name, attrs.evolve(plan, requests=deletions + plan.requests))

    async def _drop_vips(self) -> None:
        """Take every VIP off; one that cannot be removed must not keep the others."""
        await self._routes.remove(self._instance)
        failure: KernelError | None = None
        for vip in self._instance.held + self._former:
            try:
                await self._addresses.remove(vip)
            except KernelError as error:
                failure = failure or error
        if failure is not None:
            raise failure  # and the guard keeps its plan
        self._former = ()
        self._guard.release(self._instance.name)

    async def _sweep(self) -> None:
        """Remove what an earlier life of this node has left behind."""
        await self._routes.remove(self._instance)
        for vip in await self._addresses.present() & frozenset(self._instance.held):
            log.info("(%s) removing %s, left over on %s", self._instance.name, vip, self._link.name)
            await self._addresses.remove(vip)
        await self._remove_misplaced()

    async def _remove_misplaced(self) -> None:
        """Remove VIPs that are on another interface, with another prefix, or here while we are not MASTER."""
        self._looked_at, self._look_at = trio.current_time(), inf
        for placed in await self._addresses.everywhere(self._vips):
            if self._belongs(placed.index, placed.address):
                continue
            await self._addresses.remove_misplaced(placed)
            self._misplaced[placed] = times = self._misplaced.get(placed, 0) + 1
            if times & (times - 1) == 0:  # 1, 2, 4, 8 ...: who puts it there may be as stubborn as we are
                log.warning(
                    "(%s) somebody put %s on %s, removing it (%d times now)",
                    self._instance.name,
                    placed.address,
                    placed.ifname,
                    times,
                )

    async def _learn_networks(self) -> None:
        vips = {vip.ip for vip in self._instance.held}
        present = await self._addresses.present()
        self._adverts.on_link(tuple(address.network for address in present if address.ip not in vips))

    async def _reconfigure(self, change: _Change) -> None:
        old, new = self._instance, change.instance
        others = (old.virtual_routes, old.virtual_rules) != (new.virtual_routes, new.virtual_rules)
        if others and isinstance(self._state, election.Master):
            await self._routes.remove(old)
        addresses = others or new.held != old.held
        self._adopt(new)
        await self._handle(Reconfigured(addresses))
        if isinstance(self._state, election.Master):
            for vip in self._former:
                await self._addresses.remove(vip)
        self._former = ()
        if isinstance(self._state, election.Master):
            self._protect(self._instance.held)
        change.done.set()

    def _adopt(self, instance: VrrpInstance) -> None:
        self._former = tuple(vip for vip in self._instance.held if vip not in instance.held)
        self._instance = instance
        self._vips = frozenset(vip.ip for vip in instance.held)
        was = self._router
        self._router = attrs.evolve(
            election.router_of(instance, self._source, tracking=was.tracking),
            grouped=was.grouped,
            held=was.held,
        )
        self._adverts.adopt(instance)
