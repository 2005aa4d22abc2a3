"""One schedule of probes for every server of the node, and what they found.

Servers that are checked under the same terms are probed once.  A probe that
hangs costs its own slot and nothing else; a bug in one is a failed check of that
server, never the end of the node.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import socket
import struct
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count

import attrs
import trio

from hapair.config.model import CheckKind
from hapair.health import rise_fall
from hapair.health.plan import CheckPlan
from hapair.health.probes import http
from hapair.health.probes.outcome import Outcome
from hapair.health.rise_fall import Health
from hapair.kernel.icmp import ping

logger = logging.getLogger("hapair.health")

MAX_IN_FLIGHT = 512
_ABORT = struct.pack("ii", 1, 0)


@attrs.frozen
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

    def __init__(self, plan: CheckPlan) -> None:
        self.plan = plan
        self.servers: set[ServerKey] = set()
        self.health = Health.initial(plan.rise, plan.fall)
        self.verdict: Verdict | None = None
        self.since = 0.0
        self.retired = False


class HealthService:
    """Probes servers and reports every verdict."""

    def __init__(self, report: Callable[[ServerKey, Verdict], None]) -> None:
        self._report = report
        self._targets: dict[CheckPlan, _Target] = {}
        self._due: list[tuple[float, int, _Target]] = []
        self._order = count()
        self._sequence = count()
        self._fresh: list[_Target] = []
        self._woken = trio.Event()

    def replace(self, plans: Mapping[ServerKey, CheckPlan]) -> None:
        """Check these servers from now on; plans that stay keep their state and their time."""
        before = self._targets
        self._targets = {}
        for key, plan in plans.items():
            target = self._targets.get(plan)
            if target is None:
                target = before.get(plan)
                if target is None:
                    target = _Target(plan)
                    self._fresh.append(target)
                target.servers = set()
                self._targets[plan] = target
            target.servers.add(key)
        for plan, target in before.items():
            target.retired = plan not in self._targets
        self._woken.set()

    def states(self) -> dict[ServerKey, Verdict]:
        """The last verdict on every server that was checked."""
        return {
            key: target.verdict
            for target in self._targets.values()
            if target.verdict is not None
            for key in target.servers
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Probe until cancelled."""
        room = trio.CapacityLimiter(MAX_IN_FLIGHT)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._spread_fresh(trio.current_time())
                now = trio.current_time()
                while self._due and self._due[0][0] <= now:
                    target = heappop(self._due)[2]
                    if not target.retired:
                        nursery.start_soon(self._check, target, room)
                self._woken = trio.Event()
                at = self._due[0][0] if self._due else float("inf")
                with trio.CancelScope(deadline=at):
                    await self._woken.wait()

    def _spread_fresh(self, now: float) -> None:
        """First checks are spread over an interval, so that a restart is no stampede."""
        fresh, self._fresh = self._fresh, []
        for index, target in enumerate(fresh):
            target.since = now
            self._schedule(target, now + min(target.plan.fastinter, target.plan.inter) * index / len(fresh))

    def _schedule(self, target: _Target, at: float) -> None:
        heappush(self._due, (at, next(self._order), target))
        self._woken.set()

    async def _check(self, target: _Target, room: trio.CapacityLimiter) -> None:
        plan = target.plan
        began = trio.current_time()
        async with room:
            try:
                outcome = await self._probe(plan)
            except OSError as error:
                outcome = Outcome(False, _of_errno(error), trio.current_time() - began, _reason(error))
            except Exception:
                logger.exception("bug in the check of %s:%d", plan.host, plan.port)
                outcome = Outcome(False, "SOCKERR", trio.current_time() - began, "internal error")
        if not target.retired:
            self._learn(target, outcome)
            wait = rise_fall.interval(target.health, plan.inter, plan.fastinter, plan.downinter)
            # A few per cent of jitter keep checks of different nodes from marching in step.
            self._schedule(target, began + wait * random.uniform(0.97, 1.0))  # noqa: S311

    def _learn(self, target: _Target, outcome: Outcome) -> None:
        before = target.health
        target.health = rise_fall.after(before, outcome.ok)
        now = trio.current_time()
        changed = target.health.up != before.up
        if changed:
            target.since = now
        target.verdict = Verdict(target.health.up, changed, outcome, target.health.text, target.since)
        for key in target.servers:
            if target.health.value != before.value:
                logger.info(
                    "Health check for server %s/%s %s, reason: %s, check duration: %dms, status: %s.",
                    key.backend,
                    key.server,
                    "succeeded" if outcome.ok else "failed",
                    outcome.description,
                    outcome.duration * 1000,
                    target.health.text,
                )
            self._report(key, target.verdict)

    async def _probe(self, plan: CheckPlan) -> Outcome:
        began = trio.current_time()
        if plan.kind is CheckKind.ICMP:
            with trio.move_on_after(plan.connect_timeout) as limit:
                await ping(plan.host, next(self._sequence))
            return Outcome(
                not limit.cancelled_caught,
                "L3TOUT" if limit.cancelled_caught else "L3OK",
                trio.current_time() - began,
            )
        address = await _resolve(plan)
        with trio.socket.socket(address[0], socket.SOCK_STREAM) as sock:
            with trio.move_on_after(plan.connect_timeout) as limit:
                await sock.connect(address[1])
            if limit.cancelled_caught:
                return Outcome(False, "L4TOUT", trio.current_time() - began)
            # A reset instead of a FIN: the probe leaves no TIME_WAIT behind, here or there.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            if plan.http is None:
                return Outcome(True, "L4OK", trio.current_time() - began)
            return await _http(sock, plan, began)


async def _http(sock: trio.socket.SocketType, plan: CheckPlan, began: float) -> Outcome:
    assert plan.http is not None
    received = b""
    with trio.move_on_after(plan.read_timeout) as limit:
        request = http.request_bytes(plan.http)
        while request:
            request = request[await sock.send(request) :]
        while True:
            data = await sock.recv(http.MAX_ANSWER)
            received += data
            verdict = http.judge(received, ended=not data)
            if verdict is not None:
                status, code, info = verdict
                return Outcome(status == "L7OK", status, trio.current_time() - began, info, code)
    assert limit.cancelled_caught
    return Outcome(False, "L7TOUT", trio.current_time() - began)


async def _resolve(plan: CheckPlan) -> tuple[int, object]:
    if plan.host.startswith("/"):
        return socket.AF_UNIX, plan.host
    found = await trio.socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)
    return found[0][0], found[0][4]


def _of_errno(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "SOCKERR"
    refused = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET, errno.ENOENT}
    if error.errno in refused:
        return "L4CON"
    return "L4TOUT" if error.errno == errno.ETIMEDOUT else "SOCKERR"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and not isinstance(error, socket.gaierror) else str(error)
