"""One schedule of probes for every server of the node, and what they found.

Servers that are checked under the same terms are probed once.  A probe that
hangs costs its own slot and nothing else; a bug in one is a failed check of that
server, never the end of the node.
"""

from __future__ import annotations

import logging
import random
import resource
from collections.abc import Awaitable, Callable, Collection, Mapping

import trio

from hapair.config.asks import AgentCheck
from hapair.config.model import OnError
from hapair.health import rise_fall, schedule
from hapair.health.flight import Flights
from hapair.health.plan import CheckPlan
from hapair.health.probes.outcome import Outcome
from hapair.health.rise_fall import Health
from hapair.health.target import Address, ServerKey, Target, Verdict, resolve

__all__ = ["HealthService", "ServerKey", "Verdict"]

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


class HealthService:
    """Probes servers and reports every verdict."""

    def __init__(
        self,
        report: Callable[[ServerKey, Verdict], None],
        max_in_flight: int = MAX_IN_FLIGHT,
        resolve: Callable[[str, int], Address] = resolve,
        elsewhere: Callable[[CheckPlan], Awaitable[Outcome]] | None = None,
    ) -> None:
        """`report` is called after every check of every server, `resolve` in a thread.

        `elsewhere` makes the checks that are no connection.
        """
        self._elsewhere = elsewhere
        self._report = report
        self._resolve = resolve
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors != resource.RLIM_INFINITY:
            max_in_flight = max(1, min(max_in_flight, int(descriptors * DESCRIPTORS)))
        self._max_in_flight = max_in_flight
        self._targets: dict[CheckPlan, Target] = {}
        self._calendar: schedule.Calendar[Target] = schedule.Calendar()
        self._flights = Flights(self._landed)
        self._fresh: list[Target] = []
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
                    target = Target(plan)
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

    def down_unchecked(self) -> set[ServerKey]:
        """Servers that are down until a check says otherwise."""
        return {
            key
            for target in self._targets.values()
            if target.verdict is None and not target.health.up
            for key in target.servers
        }

    def values(self) -> dict[ServerKey, tuple[CheckPlan, Health]]:
        """The question that is asked of each server, and where its checks have got to."""
        return {
            key: (target.plan, target.health) for target in self._targets.values() for key in target.servers
        }

    def restore(self, values: Mapping[ServerKey, int]) -> None:
        """Go on from what an earlier life knew, where nothing was checked yet."""
        for target in self._targets.values():
            known = [values[key] for key in target.servers if key in values]
            if known and target.verdict is None:
                health = target.health
                value = min(max(known), health.rise + health.fall - 1)
                target.health = Health(health.rise, health.fall, value)

    def suspect(self, key: ServerKey, on_error: OnError, count: int, what: str) -> None:
        """Traffic had `count` errors in a row: HAProxy's law of what follows; the next check comes soon."""
        target = next((one for one in self._targets.values() if key in one.servers), None)
        if target is None or not target.health.up:
            return
        now, health = trio.current_time(), target.health
        if on_error is not OnError.FASTINTER:
            lives = {OnError.SUDDEN_DEATH: 1, OnError.MARK_DOWN: 0}.get(on_error)
            if lives is not None:
                target.health = Health(
                    health.rise, health.fall, min(health.value, health.rise + lives), checked=True
                )
            info = f"Detected {count} consecutive errors, last one was: {what}"
            self._count(target, Outcome(False, "HANA", 0.0, info), now)
        soon = now + target.plan.fastinter
        if target not in self._flights and target.lookup is None and self._calendar.at(target) > soon:
            self._calendar.set(target, soon)
            self._wake()

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
            if target.program:
                assert self._lookups is not None
                self._lookups.start_soon(self._check_elsewhere, target)
            elif target.address is None:
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
        intervals = [
            target.plan.warmup
            if target.plan.warmup is not None
            else min(target.plan.inter, target.plan.fastinter)
            for target in fresh
        ]
        for target, at in zip(fresh, schedule.first_checks(intervals, now), strict=True):
            if target.verdict is None:
                target.since = now
            self._calendar.set(target, at)

    def _forget(self, target: Target) -> None:
        target.retired = True
        self._calendar.drop(target)
        self._flights.abandon(target)
        if target.lookup is not None:
            target.lookup.cancel()

    def _landed(self, target: Target, outcome: Outcome, now: float) -> None:
        if isinstance(target.plan.ask, AgentCheck):
            self._heard_agent(target, outcome, now)
            return
        plan = target.plan
        self._count(target, outcome, now)
        wait = rise_fall.interval(
            target.health, plan.inter, plan.fastinter, plan.downinter, plan.retry, ok=outcome.ok
        )
        at = schedule.next_check(now, wait, random.random(), plan.jitter)  # noqa: S311 - no secret
        if not target.retired:  # by who was told
            self._calendar.set(target, at)

    def _count(self, target: Target, outcome: Outcome, now: float) -> None:
        """Let an outcome change what is thought of its servers, and tell."""
        before = target.health
        after = target.health = rise_fall.after(before, outcome.ok)
        changed = after.up != before.up
        if changed:
            target.since = now
        verdict = target.verdict = Verdict(after.up, changed, outcome, after.text, target.since)
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
                if not outcome.ok and outcome.sent + outcome.received:
                    logger.info("Health check of %s/%s %s.", key.backend, key.server, outcome.details)
            try:
                self._report(key, verdict)
            except Exception:
                logger.exception("bug in the listener to checks of %s/%s", key.backend, key.server)

    def _heard_agent(self, target: Target, outcome: Outcome, now: float) -> None:
        """Whether it answers says nothing about its server, and what it says is not counted but done."""
        last = target.verdict.outcome.status if target.verdict is not None else ""
        verdict = target.verdict = Verdict(True, False, outcome, "", target.since)
        at = schedule.next_check(now, target.plan.inter, random.random(), target.plan.jitter)  # noqa: S311
        self._calendar.set(target, at)
        for key in tuple(target.servers):
            if outcome.says is None and outcome.status != last:
                logger.info("The agent of %s/%s: %s.", key.backend, key.server, outcome.description)
            try:
                self._report(key, verdict)
            except Exception:
                logger.exception("bug in the listener to the agent of %s/%s", key.backend, key.server)

    # Names

    async def _look_up_all(self) -> None:
        """Names that cannot be looked up now are tried again, and reported, when their check is due."""
        with trio.move_on_after(LOOKUP_TIMEOUT):
            async with trio.open_nursery() as nursery:
                for target in self._targets.values():
                    if target.address is None:
                        nursery.start_soon(self._look_up, target)

    async def _look_up(self, target: Target) -> str:
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

    async def _check_elsewhere(self, target: Target) -> None:
        assert self._elsewhere is not None
        outcome = Outcome(False, "PROCERR", 0.0, "internal error")
        with trio.CancelScope() as target.lookup:
            try:
                outcome = await self._elsewhere(target.plan)
            except Exception:
                logger.exception("bug in a probe")
        target.lookup = None
        if not target.retired:
            self._landed(target, outcome, trio.current_time())
            self._wake()

    async def _look_up_and_check(self, target: Target) -> None:
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
