"""NodeConfig -> objects.  The only place that names adapters, and where siblings meet.

Health tells the data plane which servers are up and the routers whether what
they track is well; routers open and close the data plane's gates.  None of them
knows another.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import trio

from hapair.api.commands import Commands
from hapair.api.metrics import metrics
from hapair.api.page import stats_responder
from hapair.api.service import ApiSockets, serve_commands, serve_metrics
from hapair.app.gate import VipGate
from hapair.app.limits import reserve_descriptors, widen_table
from hapair.app.sync_groups import SyncGroups
from hapair.app.trackers import PINGS, interfaces, ping_plan, pings, watched
from hapair.app.tracking import Tracking
from hapair.config.groups import sharing_tracks
from hapair.dataplane.service import DataPlane, gate_addresses
from hapair.errors import StartError
from hapair.health.plan import plan_for
from hapair.health.service import HealthService, ServerKey, Verdict
from hapair.kernel.guard import GuardProcess
from hapair.kernel.links import Links
from hapair.kernel.neighbours import NeighbourAnnouncer
from hapair.kernel.netlink import NetlinkAddresses, route_socket
from hapair.kernel.raw import RawSegment
from hapair.kernel.routes import NetlinkRoutes
from hapair.kernel.script_safety import Account, account
from hapair.kernel.scripts import Script, run_script
from hapair.kernel.secondaries import PromotedSecondaries
from hapair.notify.notices import ServerChange, commands_of
from hapair.notify.service import Notifications
from hapair.track.findings import Found
from hapair.track.service import TrackerService
from hapair.vrrp.guard import address_lifetime
from hapair.vrrp.service import VirtualRouter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.api.stats import Row
    from hapair.config.model import Frontend, NodeConfig, VrrpInstance
    from hapair.dataplane.access_log import LogSink
    from hapair.health.plan import CheckPlan
    from hapair.proxy.frontend import Responder
    from hapair.vrrp.reports import Report
    from hapair.vrrp.status import RouterStatus

MIN_GUARD_TIMEOUT = 0.1
MAX_GUARD_TIMEOUT = 1.0
"""Seconds; in between it is twice the shortest advert interval, so that a frozen node is off the VIP before
its peer is on it."""


class Node:
    """Everything that one daemon consists of."""

    def __init__(self, config: NodeConfig, sink: LogSink, api: ApiSockets) -> None:
        self.config = config
        self._api = api
        self._script_account: Account | None = None
        self._no_account = ""
        self.plane = DataPlane(config.node.maxconn, sink, self._statistics)
        self.health = HealthService(self._server_checked)
        self.tracking = Tracking(self.health)
        self.trackers = TrackerService(self.tracking.tracked, self._run_command)
        self.notifications = Notifications(config, self._run_command)
        self.routers = VirtualRouters(
            self.plane, self.tracking, guard_timeout(config), self.notifications.report
        )
        self.commands = Commands(
            self.plane, self._verdicts, self._statuses, self.tell_tracking, trio.current_time
        )

    def check_plans(self, config: NodeConfig) -> dict[ServerKey, CheckPlan]:
        """What has to be probed."""
        plans = {}
        for backend in config.backends.values():
            for server in backend.servers:
                plan = plan_for(backend, server)
                if plan is not None:
                    plans[ServerKey(backend.name, server.name)] = plan
        for tracker in pings(config):
            plans[ServerKey(PINGS, tracker.name)] = ping_plan(tracker)
        return plans

    def watch(self, config: NodeConfig) -> None:
        """Look after everything that some router tracks."""
        self.health.replace(self.check_plans(config))
        self.trackers.replace(watched(config), interfaces(config))

    def start(self) -> None:
        """Acquire what needs root or can fail, before we become another user and before anybody is told.

        Raises:
            StartError: a busy port, an unknown host or interface.
        """
        widen_table(reserve_descriptors(self.config.node.maxconn))
        self.notifications.open(self.config)
        self._find_script_account()
        self.plane.commit(self.plane.prepare(self.config), gate_addresses(self.config))
        self.watch(self.config)
        self.tell_tracking()

    def _server_checked(self, key: ServerKey, verdict: Verdict) -> None:
        if key.backend == PINGS:
            why = "" if verdict.up else f"does not answer: {verdict.outcome.description}"
            self.tracking.tracked("ping", key.server, Found(verdict.up, why))
            return
        # Every verdict, not only a change: after a reload the two may have started from different states.
        changed = self.plane.set_server_up(key.backend, key.server, up=verdict.up, why=reason(verdict))
        if changed:
            change = ServerChange(key.backend, key.server, verdict.up, verdict.outcome.description)
            self.notifications.server_changed(change)
        settled = self.tracking.checked(key, verdict)
        if changed or settled:
            self.tell_tracking()

    def tell_states(self) -> None:
        """Let servers that a reload made anew know what their checks said last."""
        for key, verdict in self.health.states().items():
            if key.backend == PINGS:
                continue
            self.plane.set_server_up(key.backend, key.server, up=verdict.up, why=reason(verdict))
        self.tell_tracking()

    def _find_script_account(self) -> None:
        try:
            self._script_account = account(self.config.node.script_user, self.config.node.user)
        except StartError as error:
            instances, groups = self.config.vrrp.values(), self.config.sync_groups.values()
            scripts = any(kind == "script" for kind, _ in self.config.trackers)
            if scripts or any(map(commands_of, instances)) or any(map(commands_of, groups)):
                raise
            self._no_account = str(error)  # a reload may bring scripts: told when one should run

    async def _run_command(self, words: tuple[str, ...], seconds: float) -> str:
        """Run a notify script; what went wrong."""
        who = self._script_account
        if who is None:
            return self._no_account
        result = await run_script(Script(words, who.uid, who.gid, who.groups, seconds))
        return result.problem

    async def serve_api(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the runtime socket and the metrics listener until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._api.commands is not None:
                await nursery.start(serve_commands, self._api.commands, self.commands)
            if self._api.metrics is not None:
                await nursery.start(serve_metrics, self._api.metrics, self._metrics)
            task_status.started()
            await trio.sleep_forever()

    def _statistics(self, frontend: Frontend) -> Responder:
        assert frontend.stats is not None
        return stats_responder(frontend.stats, f"hapair on {self.config.node.name}", self._rows)

    def _rows(self) -> list[Row]:
        return self.commands.table()

    def _metrics(self) -> str:
        refusals = {name: frontend.refusals for name, frontend in self.plane.frontends.items()}
        current, lost = self.plane.process.current, self.notifications.lost()
        return metrics(self.commands.table(), self._statuses(), current, refusals, lost)

    def _verdicts(self) -> dict[tuple[str, str], Verdict]:
        return {(key.backend, key.server): verdict for key, verdict in self.health.states().items()}

    def _statuses(self) -> list[RouterStatus]:
        return [router.status() for router in self.routers.routers()]

    def tell_tracking(self) -> None:
        """Let every router know whether the backends that it tracks have enough servers."""
        self.tracking.tell(self.plane.usable_servers())


def reason(verdict: Verdict) -> str:
    """Why a server changed state, as HAProxy adds it to its log line."""
    outcome = verdict.outcome
    return f", reason: {outcome.description}, check duration: {round(outcome.duration * 1000)}ms"


def guard_timeout(config: NodeConfig) -> float:
    """Seconds without a sign of life after which the guard strikes."""
    if config.node.guard_timeout is not None:
        return config.node.guard_timeout
    shortest = min((_patience(instance) for instance in config.vrrp.values()), default=2.0)
    return min(MAX_GUARD_TIMEOUT, max(MIN_GUARD_TIMEOUT, shortest))


def _patience(instance: VrrpInstance) -> float:
    """Seconds of silence well before the peer takes over: two intervals, or less where it waits for fewer."""
    return min(2.0, instance.down_timer_adverts - 0.5) * instance.advert_interval


class VirtualRouters:
    """The VRRP instances of the node, each in a scope of its own so that a reload can end one."""

    def __init__(
        self, plane: DataPlane, tracking: Tracking, guard_timeout: float, report: Callable[[Report], None]
    ) -> None:
        self._plane = plane
        self._report = report
        self._tracking = tracking
        self._guard = GuardProcess(guard_timeout)
        self._lifetime = address_lifetime(guard_timeout)
        self._groups = SyncGroups()
        self._secondaries = PromotedSecondaries()
        self._tracks: Mapping[str, VrrpInstance] = {}
        """The instances with all that they track."""
        self._running: dict[str, tuple[VrrpInstance, VirtualRouter, trio.CancelScope, trio.Event]] = {}
        self._links: Links | None = None
        self._route: Any = None
        self._needs: trio.Nursery | None = None
        """What must outlive the routers: links, guard."""
        self._nursery: trio.Nursery | None = None
        self._guarded = False

    async def run(
        self, config: NodeConfig, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep what every router needs (links, netlink, guard) until cancelled."""
        with ExitStack() as stack:
            self._links = Links()
            stack.callback(self._links.close)
            self._route = stack.enter_context(route_socket())
            stack.callback(self._secondaries.close)
            self._promote(config)  # now: a chroot has no /proc
            async with trio.open_nursery() as nursery:
                await nursery.start(self._links.run)
                self._needs = nursery
                if config.vrrp or config.node.chroot is not None:  # in a chroot it could not be started later
                    await self._start_guard()
                task_status.started()
                await trio.sleep_forever()

    async def attract(
        self, config: NodeConfig, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take part in every election until cancelled; then every VIP is given away."""
        self._adopt(config)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for instance in config.vrrp.values():
                    await nursery.start(self._route_for, instance)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def _start_guard(self) -> None:
        assert self._needs is not None
        if not self._guarded:
            self._guarded = True
            await self._needs.start(self._guard.run)

    def routers(self) -> list[VirtualRouter]:
        """Those that take part now."""
        return [router for _, router, _, _ in self._running.values()]

    async def leave(self) -> None:
        """Give every VIP to its next owner; done when there is none, or it had its chance."""
        async with trio.open_nursery() as nursery:
            for router in self.routers():
                nursery.start_soon(router.leave)

    async def apply(self, config: NodeConfig) -> None:
        """Follow a reload: what did not change is not touched, what can change in place does."""
        assert self._nursery is not None
        regrouped = self._adopt(config)
        for name, (old, router, scope, ended) in list(self._running.items()):
            new = config.vrrp.get(name)
            if new is None or name in regrouped or not same_router(old, new):
                scope.cancel()
                await ended.wait()
            elif new != old:
                await router.reconfigure(new)
                self._running[name] = (new, router, scope, ended)
        for name, instance in config.vrrp.items():
            if name not in self._running:
                await self._nursery.start(self._route_for, instance)

    def _adopt(self, config: NodeConfig) -> set[str]:
        self._promote(config)
        self._tracks = sharing_tracks(config.vrrp, config.sync_groups.values())
        return self._groups.adopt(config.sync_groups)

    def _promote(self, config: NodeConfig) -> None:
        wanted = {vrrp.interface for vrrp in config.vrrp.values() if vrrp.promote_secondaries}
        self._secondaries.adopt(wanted)

    async def _route_for(
        self, instance: VrrpInstance, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        assert self._links is not None
        await self._start_guard()
        link = self._links.follow(instance.interface)
        if not link.index:
            raise StartError(f"vrrp.{instance.name}: there is no interface {instance.interface}")
        addresses = NetlinkAddresses(self._route, link)
        source = instance.source_address or addresses.first(instance.family, besides=instance.held)
        if source is None:
            wanted = "IPv4" if instance.family == 4 else "IPv6 link-local"
            raise StartError(f"vrrp.{instance.name}: {instance.interface} has no {wanted} address of its own")
        with ExitStack() as stack:
            segment = RawSegment(link, source, multicast=instance.multicasts)
            stack.callback(segment.close)
            routes = NetlinkRoutes(link)
            stack.callback(routes.close)
            announcer = NeighbourAnnouncer(link)
            stack.callback(announcer.close)
            router = VirtualRouter(
                instance,
                source=source,
                link=link,
                addresses=addresses,
                routes=routes,
                segment=segment,
                announcer=announcer,
                gate=VipGate(self._plane, tuple(vip.ip for vip in instance.held)),
                guard=self._guard,
                lifetime=self._lifetime,
                report=self._report,
            )
            stack.callback(self._tracking.follow(self._tracks[instance.name], router, link))
            stack.callback(self._groups.join(instance.name, router))
            ended = trio.Event()
            try:
                with trio.CancelScope() as scope:
                    self._running[instance.name] = (instance, router, scope, ended)
                    await router.run(task_status=task_status)
            finally:
                del self._running[instance.name]
                ended.set()


def same_router(old: VrrpInstance, new: VrrpInstance) -> bool:
    """Can `old` become `new` without leaving the election?"""
    return (
        old.interface == new.interface
        and old.virtual_router_id == new.virtual_router_id
        and old.source_address == new.source_address
        and old.unicast_peers == new.unicast_peers
        and old.multicasts == new.multicasts
        and {vip.ip for vip in old.held} == {vip.ip for vip in new.held}
    )
