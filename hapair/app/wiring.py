"""NodeConfig -> objects.  The only place that names adapters, and where siblings meet.

Health tells the data plane which servers are up and the routers whether what
they track is well; routers open and close the data plane's gates.  None of them
knows another.

Longer than most files: it is one list, and what it leaves out would be missed nowhere else.
"""

from __future__ import annotations

import gc
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_interface
from typing import TYPE_CHECKING

import attrs
import trio

from hapair.api.commands import Commands
from hapair.api.metrics import metrics
from hapair.api.page import stats_responder
from hapair.api.peers import peer_metrics
from hapair.api.service import ApiSockets, serve_commands, serve_metrics
from hapair.app.gate import VipGate
from hapair.app.limits import reserve_descriptors, widen_table
from hapair.app.privileges import preload
from hapair.app.quorums import Quorums
from hapair.app.saved_state import SavedState
from hapair.app.scripts import Scripts
from hapair.app.sync_groups import SyncGroups
from hapair.app.trackers import PINGS, interfaces, ping_plan, pings, watched
from hapair.app.tracking import Tracking
from hapair.app.worker import Beginning
from hapair.app.worker import serve as serve_as_worker
from hapair.config.groups import sharing_tracks
from hapair.dataplane.fleet import Fleet
from hapair.dataplane.peers import PeerLink
from hapair.dataplane.service import DataPlane, gate_addresses
from hapair.errors import KernelError, StartError
from hapair.health.plan import agents, checks
from hapair.health.programs import Programs
from hapair.health.service import HealthService, ServerKey, Verdict
from hapair.kernel.accept import check_accept, closed_unless_accepting
from hapair.kernel.claims import NeighbourClaims
from hapair.kernel.guard import GuardProcess
from hapair.kernel.links import Links
from hapair.kernel.neighbours import NeighbourAnnouncer
from hapair.kernel.netlink import NetlinkAddresses
from hapair.kernel.raw import RawSegment
from hapair.kernel.route_socket import RouteSocket, route_socket
from hapair.kernel.routes import NetlinkRoutes
from hapair.kernel.sysctls import Sysctls, needed_by
from hapair.kernel.transparent import NodeTransparency, TransparentRoutes
from hapair.kernel.vmac import addresses_of, check_vmac
from hapair.notify.notices import ServerChange
from hapair.notify.service import Notifications
from hapair.track.findings import Found
from hapair.track.service import TrackerService
from hapair.vrrp.guard import address_lifetime
from hapair.vrrp.service import VirtualRouter
from hapair.vrrp.transparent import transparency
from hapair.vrrp.vmac import virtual_mac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.api.stats import Row
    from hapair.config.model import Frontend, IPAddress, NodeConfig, Vip, VrrpInstance
    from hapair.dataplane.access_log import LogSink
    from hapair.health.plan import CheckPlan
    from hapair.proxy.frontend import Responder
    from hapair.vrrp.reports import Report
    from hapair.vrrp.status import RouterStatus

AGENT = "agent of "
"""Before a backend's name: its servers' agents in the health service; no backend has such a name."""
PAGE_EVERY = 1.0
"""Seconds that a statistics page of a worker may be behind."""
WITHOUT_ROUTERS = "(without routers)"
"""Who holds transparency in a node that speaks no VRRP; no instance has such a name."""
RELEASE_TIMEOUT = 5.0
"""Seconds."""
MIN_GUARD_TIMEOUT = 0.05
MAX_GUARD_TIMEOUT = 1.0
"""Seconds; in between it is twice the shortest advert interval, so that a frozen node is off the VIP before
its peer is on it."""


class Node:
    """Everything that one daemon consists of."""

    def __init__(self, config: NodeConfig, sink: LogSink, api: ApiSockets) -> None:
        self.config = config
        self._api = api
        self._scripts = Scripts(config.node)
        self.plane = self._data_plane(sink)
        self.health = HealthService(self._server_checked, elsewhere=Programs(self._scripts.account_for).check)
        self.plane.on_suspicion = self._suspected
        self.saved = SavedState(config.node, self.plane, self.health)
        self.tracking = Tracking(self.health)
        self.trackers = TrackerService(self.tracking.tracked, self._scripts.run)
        self.notifications = Notifications(config, self._scripts.run)
        self._quorums = Quorums(self.plane, self.notifications.quorum_changed)
        self.routers = VirtualRouters(
            self.plane, self.tracking, self._guard_process(), self.notifications.report
        )
        self._peers = (
            PeerLink(config.peers, config.node.name, lambda: self.plane.tables)
            if config.peers is not None
            else None
        )
        self.commands = Commands(
            self.plane,
            self._verdicts,
            self._statuses,
            self.tell_tracking,
            trio.current_time,
            lambda: trio.lowlevel.current_statistics().tasks_living,
        )

    def _data_plane(self, sink: LogSink) -> DataPlane:
        node = self.config.node
        if node.workers:
            return Fleet(node.maxconn, sink, self._statistics, node.workers)
        return DataPlane(node.maxconn, sink, self._statistics)

    def _guard_process(self) -> GuardProcess:
        if isinstance(self.plane, Fleet):
            return GuardProcess(guard_timeout(self.config), self.plane.crew.lifelines)
        return GuardProcess(guard_timeout(self.config))

    def check_plans(self, config: NodeConfig) -> dict[ServerKey, CheckPlan]:
        """What has to be probed."""
        plans = {ServerKey(backend, server): plan for backend, server, plan in checks(config.backends)}
        for backend, server, plan in agents(config.backends):
            plans[ServerKey(f"{AGENT}{backend}", server)] = plan
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
        if self._peers is not None:
            self._peers.open()
        self._scripts.find_accounts(self.config)
        gated = gate_addresses(self.config)
        prepared = self.plane.prepare(self.config)
        self.plane.commit(prepared, gated)
        if isinstance(self.plane, Fleet):
            self._start_workers(
                self.plane, Beginning(self.config, prepared.addresses, gated, self.plane.entries)
            )
        self.watch(self.config)
        self.saved.restore()
        self.tell_states()

    def _start_workers(self, fleet: Fleet, beginning: Beginning) -> None:
        node = self.config.node
        if node.user is not None or node.group is not None or node.chroot is not None:
            preload()  # once, for all of them
        gc.freeze()
        fleet.start_workers(partial(serve_as_worker, beginning))

    def _server_checked(self, key: ServerKey, verdict: Verdict) -> None:
        if key.backend == PINGS:
            why = "" if verdict.up else f"does not answer: {verdict.outcome.description}"
            self.tracking.tracked("ping", key.server, Found(verdict.up, why))
            return
        if key.backend.startswith(AGENT):
            self._agent_heard(key.backend.removeprefix(AGENT), key.server, verdict)
            return
        # Every verdict, not only a change: after a reload the two may have started from different states.
        weighed = verdict.outcome.weight is not None and self.plane.set_weight(
            key.backend, key.server, verdict.outcome.weight
        )
        changed = self.plane.set_server_up(key.backend, key.server, up=verdict.up, why=reason(verdict))
        if changed:
            change = ServerChange(key.backend, key.server, verdict.up, verdict.outcome.description)
            self.notifications.server_changed(change)
        settled = self.tracking.checked(key, verdict)
        if changed or settled or weighed:
            self.tell_tracking()

    def _suspected(self, backend: str, server: str, what: str) -> None:
        servers = self.config.backends[backend].servers if backend in self.config.backends else ()
        for one in servers:
            if one.name == server:
                self.health.suspect(ServerKey(backend, server), one.on_error, one.error_limit, what)

    def _agent_heard(self, backend: str, server: str, verdict: Verdict) -> None:
        says = verdict.outcome.says
        if says is None:
            return
        self.plane.agent_said(backend, server, says.percent, says.weight, says.maxconn, says.administrative)
        if says.up is not None:
            checked = self.health.states().get(ServerKey(backend, server))
            up = checked.up if checked is not None else True
            self.plane.agent_state(backend, server, up=says.up, checked_up=up, why=reason(verdict))
        self.tell_tracking()

    def tell_states(self) -> None:
        """Let servers that a reload made anew know what their checks said last."""
        for key, verdict in self.health.states().items():
            if key.backend == PINGS:
                continue
            self.plane.set_server_up(key.backend, key.server, up=verdict.up, why=reason(verdict))
        for key in self.health.down_unchecked():
            if key.backend != PINGS:
                self.plane.set_server_up(key.backend, key.server, up=False, why=", not checked yet")
        self.tell_tracking()

    async def serve_api(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the runtime socket and the metrics listener until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._api.commands is not None:
                await nursery.start(serve_commands, self._api.commands, self.commands)
            if self._api.metrics is not None:
                await nursery.start(serve_metrics, self._api.metrics, self._metrics)
            if isinstance(self.plane, Fleet):
                nursery.start_soon(self._show_statistics, self.plane)
            task_status.started()
            await trio.sleep_forever()

    async def share_tables(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Share stick tables with the peer node, if one is named, until cancelled."""
        if self._peers is None:
            task_status.started()
        else:
            await self._peers.run(task_status=task_status)

    async def _show_statistics(self, fleet: Fleet) -> None:
        """Keep the workers' statistics pages up to date, if they have any."""
        while True:
            if any(frontend.stats is not None for frontend in self.config.frontends.values()):
                fleet.show(self.commands.table())
            await trio.sleep(PAGE_EVERY)

    def _statistics(self, frontend: Frontend) -> Responder:
        assert frontend.stats is not None
        return stats_responder(frontend.stats, f"hapair on {self.config.node.name}", self._rows)

    def _rows(self) -> list[Row]:
        return self.commands.table()

    def _metrics(self) -> str:
        self.plane.refresh()
        refusals = {name: frontend.refusals for name, frontend in self.plane.frontends.items()}
        process, lost = self.plane.process, self.notifications.lost()
        distrusted = process.faults.responses
        told = metrics(self.commands.table(), self._statuses(), process.current, refusals, lost, distrusted)
        if self._peers is None:
            return told
        peers = self._peers
        return told + peer_metrics(peers.place, up=peers.up, synced=peers.synced, taken=peers.taken)

    def _verdicts(self) -> dict[tuple[str, str], Verdict]:
        return {(key.backend, key.server): verdict for key, verdict in self.health.states().items()}

    def _statuses(self) -> list[RouterStatus]:
        return [router.status() for router in self.routers.routers()]

    def tell_tracking(self) -> None:
        """Servers may have come or gone: judge the quorums, let every router know what it tracks."""
        self._quorums.judge(self.config.backends)
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
        self, plane: DataPlane, tracking: Tracking, guard: GuardProcess, report: Callable[[Report], None]
    ) -> None:
        self._plane = plane
        self._report = report
        self._tracking = tracking
        self._guard = guard
        self._lifetime = address_lifetime(guard.timeout)
        self._groups = SyncGroups()
        self._sysctls = Sysctls()
        self._transparency = NodeTransparency(self._tell_route)
        self._tracks: Mapping[str, VrrpInstance] = {}
        """The instances with all that they track."""
        self._running: dict[str, tuple[VrrpInstance, VirtualRouter, trio.CancelScope, trio.Event]] = {}
        self._links: Links | None = None
        self._route: RouteSocket | None = None
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
            stack.callback(self._sysctls.close)
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
        await self._transparency.begin(transparency(config))
        self._adopt(config)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self._hold_without_routers(config)
                for instance in config.vrrp.values():
                    await nursery.start(self._route_for, instance)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None
                with trio.move_on_after(RELEASE_TIMEOUT, shield=True):
                    await self._transparency.let_go(WITHOUT_ROUTERS)

    async def _hold_without_routers(self, config: NodeConfig) -> None:
        """A node that nobody can take over from is transparent as long as it runs."""
        if config.vrrp:
            await self._transparency.let_go(WITHOUT_ROUTERS)
        else:
            await self._transparency.hold(WITHOUT_ROUTERS)

    def _tell_route(self, request: bytes) -> int:
        assert self._route is not None
        return self._route.ask(request)

    async def _start_guard(self) -> None:
        assert self._needs is not None
        if not self._guarded:
            await self._needs.start(self._guard.run)
            self._guarded = True

    def routers(self) -> list[VirtualRouter]:
        """Those that take part now."""
        return [router for _, router, _, _ in self._running.values()]

    async def leave(self) -> None:
        """Give every VIP to its next owner; done when there is none, or it had its chance."""
        async with trio.open_nursery() as nursery:
            for router in self.routers():
                nursery.start_soon(router.leave)

    async def apply(self, config: NodeConfig) -> list[str]:
        """Follow a reload: what did not change is not touched, what can change in place does.

        Returns why routers could not be started, which `check` did not foresee: the others must not suffer.
        """
        assert self._nursery is not None
        await self._transparency.adopt(transparency(config))
        await self._hold_without_routers(config)
        self._set_patience(guard_timeout(config))
        regrouped = self._adopt(config)
        for name, (old, router, scope, ended) in list(self._running.items()):
            new = config.vrrp.get(name)
            if new is None or name in regrouped or not same_router(old, new):
                scope.cancel()
                await ended.wait()
            elif new != old:
                await router.reconfigure(new)
                self._running[name] = (new, router, scope, ended)
        missing = []
        for name, instance in config.vrrp.items():
            if name not in self._running:
                try:
                    await self._nursery.start(self._route_for, instance)
                except StartError as error:
                    missing.append(str(error))
                except KernelError as error:
                    missing.append(f"vrrp.{name}: {error}")
        return missing

    def _set_patience(self, seconds: float) -> None:
        """The guard's, and with it how long the kernel keeps what even the guard has left."""
        self._guard.set_timeout(seconds)
        self._lifetime = address_lifetime(seconds)
        for router in self.routers():
            router.set_lifetime(self._lifetime)

    def _adopt(self, config: NodeConfig) -> set[str]:
        self._sysctls.adopt(needed_by(config.vrrp.values()))
        self._tracks = sharing_tracks(config.vrrp, config.sync_groups.values())
        return self._groups.adopt(config.sync_groups)

    async def check(self, config: NodeConfig) -> None:
        """See whether every router of another configuration could start.

        Raises:
            StartError: what it needs is not here.
        """
        assert self._links is not None
        assert self._route is not None
        made = {old.vip_interface for old, _, _, _ in self._running.values() if old.use_vmac}
        for name, instance in config.vrrp.items():
            self._source_of(instance)
            if name in self._running and same_router(self._running[name][0], instance):
                continue
            if instance.use_vmac and instance.vip_interface not in made:
                check_vmac(instance, self._route, self._links, self._sysctls)
            await check_accept(instance)
        await self._transparency.check(transparency(config))

    def _source_of(self, instance: VrrpInstance) -> IPAddress:
        """Where its adverts come from; its VIPs fit on their interfaces."""
        assert self._links is not None
        assert self._route is not None
        about, link = f"vrrp.{instance.name}", self._links.follow(instance.interface)
        if not link.index:
            raise StartError(f"{about}: there is no interface {instance.interface}")
        links = {name: self._links.follow(name) for name in map(instance.home, instance.held)}
        for name, home in links.items():
            if not home.index and name != instance.vip_interface:
                raise StartError(f"{about}: there is no interface {name}")
        for vip in instance.held:
            name = instance.home(vip)
            made = instance.use_vmac and name == instance.vip_interface  # with IPv6
            if vip.version == 6 and not made and self._sysctls.get(f"ipv6/conf/{name}/disable_ipv6"):
                raise StartError(f"{about}: {vip} cannot be put on {name}: its disable_ipv6 is 1")
        addresses = NetlinkAddresses(self._route, link, lambda vip: links[instance.home(vip)])
        try:
            addresses.check_scopes(instance.held)
        except KernelError as error:
            raise StartError(f"{about}: {error}") from error
        source = instance.source_address or addresses.first(instance.family, besides=instance.held)
        if source is None:
            wanted = "IPv4" if instance.family == 4 else "IPv6 link-local"
            raise StartError(f"{about}: {instance.interface} has no {wanted} address of its own")
        return source

    async def _route_for(
        self, instance: VrrpInstance, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        assert self._links is not None
        assert self._route is not None
        await self._start_guard()
        source = self._source_of(instance)
        link = self._links.follow(instance.interface)
        with ExitStack() as stack:
            homes = addresses_of(instance, self._route, self._links, self._sysctls)
            addresses, link_of = stack.enter_context(homes)
            mac = virtual_mac(instance) if instance.use_vmac and not instance.vmac_xmit_base else None
            segment = RawSegment(link, source, multicast=instance.multicasts, mac=mac)
            stack.callback(segment.close)
            routes = TransparentRoutes(NetlinkRoutes(self._route, link), self._transparency)
            announcer = NeighbourAnnouncer(link, link_of)
            stack.callback(announcer.close)
            claims = NeighbourClaims(link, link_of)
            stack.callback(claims.close)
            router = VirtualRouter(
                instance,
                source=source,
                link=link,
                addresses=addresses,
                routes=routes,
                segment=segment,
                announcer=announcer,
                claims=claims,
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
                    async with closed_unless_accepting(instance), trio.open_nursery() as nursery:
                        nursery.start_soon(claims.run)
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
        and old.accept == new.accept
        and old.vip_interface == new.vip_interface
        and old.vmac_xmit_base == new.vmac_xmit_base
        and {_placed(vip) for vip in old.held} == {_placed(vip) for vip in new.held}
    )


def _placed(vip: Vip) -> Vip:
    """Where and how it is put; another prefix can be given to it in place."""
    return attrs.evolve(vip, address=ip_interface(vip.ip))
