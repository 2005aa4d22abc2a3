"""One schedule of probes for every server of the node, and what they found.

Servers that are checked under the same terms are probed once.  A probe that
hangs costs its own slot and nothing else; a bug in one is a failed check of that
server, never the end of the node.
"""

from __future__ import annotations

import logging
import random
import resource
import socket
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from math import inf

import attrs
import trio

from hapair.health import rise_fall, schedule
from hapair.health.flight import Flights
from hapair.health.plan import CheckPlan
from hapair.health.probes.kinds import opener
from hapair.health.probes.outcome import Outcome
from hapair.health.rise_fall import Health

logger = logging.getLogger("hapair.health")

LAUNCHES = 32
"""Probes that are launched in one go: about a millisecond, then other tasks get a turn."""
MAX_IN_FLIGHT = 4096
DESCRIPTORS = 0.25
"""Part of the process's descriptors that probes may take."""
LOOKUPS = 8
"""Threads that look up names."""
LOOKUP_TIMEOUT = 5.0
"""Seconds that names are looked up for before the first check."""

Address = tuple[int, object]
"""(family, what `connect` takes)."""


def resolve(host: str, port: int) -> Address:
    """The first address of a name.  Blocks.

    Raises:
        OSError: it has none.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address


@attrs.frozen(cache_hash=True)
class ServerKey:
    backend: str
    server: str


@attrs.frozen
class Verdict:
    """What a server's checks say now."""

    up: bool
    changed: bool
    """This check changed `up`."""
    outcome: Outcome
    health: str
    """`2/3 UP`."""
    since: float
    """When `up` last changed; trio's time."""


class _Target:
    """One plan, the servers that share it, and its state."""

    __slots__ = ("address", "health", "lookup", "open", "plan", "retired", "servers", "since", "verdict")

    def __init__(self, plan: CheckPlan) -> None:
        self.plan = plan
        self.open = opener(plan)
        self.address = literal_address(plan)
        """None until a name is looked up; then it stays, as the data plane's does."""
        self.lookup: trio.CancelScope | None = None
        self.servers: set[ServerKey] = set()
        self.health = Health.initial(plan.rise, plan.fall)
        self.verdict: Verdict | None = None
        self.since = -inf
        self.retired = False

    def inherit(self, other: _Target) -> None:
        """Go on from what another target knows: only its timing was different."""
        self.health, self.verdict, self.since = other.health, other.verdict, other.since
        self.address = other.address


class HealthService:
    """Probes servers and reports every verdict."""

    def __init__(
        self,
        report: Callable[[ServerKey, Verdict], None],
        max_in_flight: int = MAX_IN_FLIGHT,
        resolve: Callable[[str, int], Address] = resolve,
    ) -> None:
        """`report` is called after every check of every server, `resolve` in a thread."""
        self._report = report
        self._resolve = resolve
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors != resource.RLIM_INFINITY:
            max_in_flight = max(1, min(max_in_flight, int(descriptors * DESCRIPTORS)))
        self._max_in_flight = max_in_flight
        self._targets: dict[CheckPlan, _Target] = {}
        self._calendar: schedule.Calendar[_Target] = schedule.Calendar()
        self._flights = Flights(self._landed)
        self._fresh: list[_Target] = []
        self._sleep: trio.CancelScope | None = None
        self._lookups: trio.Nursery | None = None
        self._lookup_limiter = trio.CapacityLimiter(LOOKUPS)

    def replace(self, plans: Mapping[ServerKey, CheckPlan]) -> None:
        """Check these servers from now on; plans that stay keep their state and their time."""
        before = self._targets
        checked_by = {key: target for target in before.values() for key in target.servers}
        self._targets = {}
        for key, plan in plans.items():
            target = self._targets.get(plan)
            if target is None:
                target = before.get(plan)
                if target is None:
                    target = _Target(plan)
                    predecessor = checked_by.get(key)
                    if predecessor is not None and predecessor.plan.same_question(plan):
                        target.inherit(predecessor)
                    self._fresh.append(target)
                else:
                    target.servers = set()
                self._targets[plan] = target
            target.servers.add(key)
        for plan, target in before.items():
            if plan not in self._targets:
                self._forget(target)
        self._fresh = [target for target in self._fresh if not target.retired]
        self._wake()

    def recheck(self, keys: Collection[ServerKey]) -> None:
        """Check these servers at once, and forget what is under way: the network has changed under it."""
        for target in self._targets.values():
            if target.lookup is None and not target.servers.isdisjoint(keys):
                self._flights.abandon(target)
                self._calendar.set(target, trio.current_time())
        self._wake()

    def servers(self) -> set[ServerKey]:
        """Every server that is checked."""
        return {key for target in self._targets.values() for key in target.servers}

    def states(self) -> dict[ServerKey, Verdict]:
        """The last verdict on every server that was checked."""
        return {
            key: target.verdict
            for target in self._targets.values()
            if target.verdict is not None
            for key in target.servers
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Probe until cancelled.

        Started means that names were looked up: after that their files may be out of reach.
        """
        try:
            await self._look_up_all()
            async with trio.open_nursery() as self._lookups:
                task_status.started()
                while True:
                    while self._turn(trio.current_time()):
                        await trio.lowlevel.checkpoint()
                    with trio.CancelScope(deadline=self._wake_at()) as self._sleep:
                        await trio.lowlevel.wait_readable(self._flights.fileno())
        finally:
            self._flights.close()

    def _turn(self, now: float) -> bool:
        """Launch, time out, listen; true when there may be more to do at once."""
        if self._fresh:
            self._spread_fresh(now)
        due = self._calendar.due(now, min(LAUNCHES, self._room()))
        for target in due:
            if target.retired:  # by who was told of a launch that ended at once
                continue
            if target.address is None:
                assert self._lookups is not None
                self._lookups.start_soon(self._look_up_and_check, target)
            else:
                dialogue = target.open() if target.open is not None else None
                self._flights.launch(target, target.plan, *target.address, dialogue, now)
        return self._flights.turn(trio.current_time()) or bool(due)

    def _room(self) -> int:
        return self._max_in_flight - len(self._flights)

    def _wake_at(self) -> float:
        at = self._flights.next_timeout()
        if self._room():
            at = min(at, self._calendar.next_at())
        return schedule.wake_at(at)

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def _spread_fresh(self, now: float) -> None:
        fresh, self._fresh = self._fresh, []
        intervals = [min(target.plan.inter, target.plan.fastinter) for target in fresh]
        for target, at in zip(fresh, schedule.first_checks(intervals, now), strict=True):
            if target.verdict is None:
                target.since = now
            self._calendar.set(target, at)

    def _forget(self, target: _Target) -> None:
        target.retired = True
        self._calendar.drop(target)
        self._flights.abandon(target)
        if target.lookup is not None:
            target.lookup.cancel()

    def _landed(self, target: _Target, outcome: Outcome, now: float) -> None:
        before = target.health
        after = target.health = rise_fall.after(before, outcome.ok)
        changed = after.up != before.up
        if changed:
            target.since = now
        verdict = target.verdict = Verdict(after.up, changed, outcome, after.text, target.since)
        plan = target.plan
        wait = rise_fall.interval(after, plan.inter, plan.fastinter, plan.downinter)
        self._calendar.set(target, schedule.next_check(now, wait, random.random()))  # noqa: S311 - no secret
        for key in tuple(target.servers):
            if after.value != before.value:
                logger.info(
                    "Health check for server %s/%s %s, reason: %s, check duration: %dms, status: %s.",
                    key.backend,
                    key.server,
                    "succeeded" if outcome.ok else "failed",
                    outcome.description,
                    outcome.duration * 1000,
                    after.text,
                )
            try:
                self._report(key, verdict)
            except Exception:
                logger.exception("bug in the listener to checks of %s/%s", key.backend, key.server)

    # Names

    async def _look_up_all(self) -> None:
        """Names that cannot be looked up now are tried again, and reported, when their check is due."""
        with trio.move_on_after(LOOKUP_TIMEOUT):
            async with trio.open_nursery() as nursery:
                for target in self._targets.values():
                    if target.address is None:
                        nursery.start_soon(self._look_up, target)

    async def _look_up(self, target: _Target) -> str:
        """Set the target's address; returns what went wrong."""
        plan = target.plan
        try:
            target.address = await trio.to_thread.run_sync(
                self._resolve, plan.host, plan.port, abandon_on_cancel=True, limiter=self._lookup_limiter
            )
        except (OSError, UnicodeError) as error:  # the latter from a name that cannot be one
            return (isinstance(error, OSError) and error.strerror) or str(error)
        except Exception:
            logger.exception("bug in the lookup of %s", plan.host)
            return "internal error"
        return ""

    async def _look_up_and_check(self, target: _Target) -> None:
        began = trio.current_time()
        why = "the name server does not answer"
        with trio.move_on_after(target.plan.connect_timeout) as target.lookup:
            why = await self._look_up(target)
        target.lookup = None
        if target.retired:
            return
        now = trio.current_time()
        if target.address is None:
            self._landed(target, Outcome(False, "SOCKERR", now - began, why), now)
        else:
            self._calendar.set(target, now)
        self._wake()


def literal_address(plan: CheckPlan) -> Address | None:
    """The address of a host that is no name."""
    if plan.host.startswith("/"):
        return socket.AF_UNIX, plan.host
    try:
        six = ip_address(plan.host).version == 6
    except ValueError:
        return None
    return (socket.AF_INET6 if six else socket.AF_INET), (plan.host, plan.port)
