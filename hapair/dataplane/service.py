"""The data plane as one task: listeners, sessions, servers, and how they change while it runs.

`prepare` may fail and touches nothing that runs; `commit` is synchronous and
cannot fail; what is left over drains.

Longer than most files: a reload touches all that it holds, and must be read as one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import time
from math import inf
from typing import TYPE_CHECKING, Any

import attrs
import trio

from hapair.cache.store import Store, make_stores
from hapair.dataplane.arrival import Arrival
from hapair.dataplane.bug_log import BugLog
from hapair.dataplane.endpoint import ClientEnd, ServerEnd
from hapair.dataplane.listener import Listener, bind_socket
from hapair.dataplane.outgoing import change_transparency, may_be_transparent
from hapair.dataplane.reactor import Reactor
from hapair.dataplane.resolve import key, resolve_all
from hapair.dataplane.shared import key_of
from hapair.dataplane.timers import Timer
from hapair.errors import StartError
from hapair.proxy.backend import Backend
from hapair.proxy.frontend import Frontend, Process
from hapair.proxy.log_line import Dates
from hapair.proxy.quorum import live_weight
from hapair.rules.lexer import RuleError
from hapair.rules.pattern_files import References
from hapair.rules.userlists import make_userlists
from hapair.tables.directory import Directory, make_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hapair.config import model
    from hapair.config.model import IPAddress
    from hapair.dataplane.access_log import LogSink
    from hapair.dataplane.resolve import Addresses
    from hapair.dataplane.shared import Entries
    from hapair.proxy.frontend import Responder
    from hapair.proxy.server import Server
    from hapair.proxy.tally import Tally
    from hapair.rules.pattern_files import Reference
    from hapair.tables.directory import Named

    Changes = tuple[tuple[Reference, list[tuple[str, str]]], ...]

logger = logging.getLogger("hapair.dataplane")

_FLUSH_EVERY = 0.5
"""Seconds that a log line waits at most when nothing else happens."""
_ASK_EVERY = 0.005
"""Seconds between two looks for places that other processes have freed, while somebody waits here."""


@attrs.frozen
class ServerState:
    """What checks, agents and operators have made of a server."""

    backend: str
    server: str
    up: bool
    administrative: str
    weight: int
    maxconn: float
    """`inf` for no limit."""
    sorry: bool = False
    """The sorry server of its backend stands in for all others."""


@attrs.frozen
class WorkerStatus:
    """A process that serves."""

    pid: int
    sessions: int


@attrs.frozen
class Prepared:
    """A new configuration with everything acquired that could fail."""

    config: model.NodeConfig
    addresses: Addresses
    sockets: Mapping[str, tuple[socket.socket, ...]]
    """Newly bound sockets by the text of their bind; one for each process that serves."""
    backends: Mapping[str, Backend]
    frontends: Mapping[str, Frontend]
    tables: Mapping[str, Named]
    stores: Mapping[str, Store]
    changes: Changes = ()
    """Files of patterns with other lines than rules know."""

    def close(self) -> None:
        """It will not be committed."""
        for sockets in self.sockets.values():
            for sock in sockets:
                sock.close()


_CHANCE = random.SystemRandom()


class DataPlane:
    """Everything between clients and servers."""

    def __init__(
        self,
        maxconn: int,
        sink: LogSink,
        responder: Callable[[model.Frontend], Responder],
        bind: Callable[[model.Bind], socket.socket] = bind_socket,
    ) -> None:
        self.process = Process(maxconn)
        self._bind_socket = bind
        self.tally: Tally | None = None
        """What other processes do at the same time; None when this one serves alone."""
        self.entries: Entries = {}
        """Who has which entry in that, as of the next `commit`."""
        self._asking = Timer(self)
        self.process.faults.log = sink.write
        self.reactor = Reactor(self._bug)
        self.dates = Dates(time.time() - time.monotonic())
        self.config: model.NodeConfig | None = None
        self.backends: dict[str, Backend] = {}
        self.tables: dict[str, Named] = {}
        """Stick tables by the name that rules call them."""
        self.references = References()
        """Files of patterns and maps that rules ask."""
        self.frontends: dict[str, Frontend] = {}
        self.stores: dict[str, Store] = {}
        """Kept responses, by the name of their cache."""
        self.listeners: dict[str, Listener] = {}
        self._sink = sink
        self._responder = responder
        """Makes the statistics page of a frontend."""
        self._woken: list[Any] = []
        self._suspected: list[tuple[Server, str]] = []
        self.on_suspicion: Callable[[str, str, str], None] | None = None
        """Told of (backend, server, its last error) when there were too many in a row."""
        self._leaving: set[Listener] = set()
        self._agents_down: set[tuple[str, str]] = set()
        """(backend, server) of servers whose own agents say that they are down."""
        self._gated: frozenset[IPAddress] = frozenset()
        """Addresses that are VIPs: their listeners wait for the gate."""
        self._open_gates: set[IPAddress] = set()
        self._stopping = False
        self._waiting = trio.CancelScope()
        self._empty = trio.Event()
        self.process.on_empty = self._on_empty
        self.bugs = 0
        self._bug_log = BugLog()
        self.reactor.after_turn(self._serve_woken)

    # -- configuration -------------------------------------------------------------------

    def prepare(self, config: model.NodeConfig, addresses: Addresses | None = None) -> Prepared:
        """Bind what is new and compile what changed; nothing that runs is touched.

        `addresses` are those of `resolve_all`; without them names are looked up here, which blocks.

        Raises:
            StartError: an address cannot be bound or a server's name not resolved.
        """
        running = self.config
        if config.connects_for_others() and not may_be_transparent():
            raise StartError(
                "source ... usesrc takes the right to administer the network (CAP_NET_ADMIN or CAP_NET_RAW); "
                "a worker that has begun without it has given it up: start anew"
            )
        if addresses is None:
            addresses = resolve_all(config)
        wanted = config.all_stick_tables()
        named = make_tables(wanted, self.tables)
        stores = make_stores(config.caches, self.stores)
        tables = Directory(named, userlists=make_userlists(config.userlists), caches=stores)
        if running is not None and (running.all_stick_tables(), running.userlists, running.caches) != (
            wanted,
            config.userlists,
            config.caches,
        ):
            running = None  # rules hold on to them: all are compiled anew
        backends: dict[str, Backend] = {}
        for name, backend in config.backends.items():
            if running is not None and running.backends.get(name) == backend:
                backends[name] = self.backends[name]
            else:
                places: dict[str, object] = {
                    server.name: addresses[key(server)] for server in backend.servers
                }
                backends[name] = Backend(
                    backend, places, self._woken, _CHANCE.randrange, tables, self.references
                )
                backends[name].suspected = self._suspected
        frontends: dict[str, Frontend] = {}
        with contextlib.ExitStack() as bound:
            sockets: dict[str, tuple[socket.socket, ...]] = {}
            for name, frontend in config.frontends.items():
                if running is not None and running.frontends.get(name) == frontend:
                    frontends[name] = self.frontends[name]
                else:
                    frontends[name] = self._compile(frontend, tables)
                for bind in frontend.bind:
                    if not self._is_bound(bind.text):
                        sockets[bind.text] = self._bind(bind, bound)
            changed = self._reread()
            bound.pop_all()
        return Prepared(config, addresses, sockets, backends, frontends, named, stores, changed)

    def _reread(self) -> Changes:
        try:
            return tuple(self.references.changed())
        except RuleError as error:
            raise StartError(error.message) from None

    def _is_bound(self, text: str) -> bool:
        return text in self.listeners

    def _bind(self, bind: model.Bind, bound: contextlib.ExitStack) -> tuple[socket.socket, ...]:
        return (bound.enter_context(self._bind_socket(bind)),)

    async def agree(self, prepared: Prepared) -> None:
        """Return when every process that serves could do what was prepared: here that is known.

        Raises:
            StartError: one could not; nothing was changed.
        """
        del prepared
        await trio.lowlevel.checkpoint()

    async def settled(self) -> None:
        """Return when every process that serves does what was said so far: here it does."""
        await trio.lowlevel.checkpoint()

    def _compile(self, frontend: model.Frontend, tables: Directory) -> Frontend:
        responder = self._responder(frontend) if frontend.stats is not None else None
        sink, references = self._sink, self.references
        tag = frontend.log_tag
        write, write_clean = sink.tagged(tag) if tag else (sink.write, sink.write_clean)
        return Frontend(
            frontend,
            self.backends,
            self.process,
            self.dates,
            write,
            responder,
            tables,
            write_clean,
            references,
        )

    def commit(self, prepared: Prepared, gated: Iterable[IPAddress]) -> None:
        """Switch over.  Unchanged listeners, sessions and servers do not notice."""
        self.config = prepared.config
        self.tables = dict(prepared.tables)
        self.stores = dict(prepared.stores)
        for reference, lines in prepared.changes:
            reference.replace(lines)
        self._gated = frozenset(gated)
        self.process.maxconn = prepared.config.node.maxconn
        self.process.maxcomprate = prepared.config.node.maxcomprate * 1024
        self.process.node = prepared.config.node.name
        self.process.pid = os.getpid()
        self.process.draw = _CHANCE.randrange
        for name, backend in prepared.backends.items():
            old = self.backends.get(name)
            if old is not None and old is not backend:
                backend.inherit(old.servers)
                self._retire(old)
        for name in self.backends.keys() - prepared.backends.keys():
            self._retire(self.backends[name])
        known = {**self.backends, **prepared.backends}
        self.backends.clear()
        self.backends.update(prepared.backends)
        for name, old_frontend in self.frontends.items():
            if prepared.frontends.get(name) is not old_frontend:
                old_frontend.stopping = True
                old_frontend.entry = -1
                old_frontend.backends = known  # its clients may ask once more, perhaps for one that is gone
        for name, frontend in prepared.frontends.items():
            before = self.frontends.get(name)
            if before is not None and before is not frontend:
                frontend.adopt_counters(before)
        self.frontends = dict(prepared.frontends)
        self._take_entries()
        self._adopt_listeners(prepared)
        waiting, self.process.waiting = self.process.waiting, []
        for listener in waiting:
            listener.resume()  # there may be more room now
        self._poke()

    def _take_entries(self) -> None:
        if not self.entries:
            return
        self.process.tally = self.tally
        self.process.entry = self.entries[key_of("process")]
        for name, frontend in self.frontends.items():
            frontend.entry = self.entries[key_of("frontend", name)]
        for name, backend in self.backends.items():
            backend.entry = self.entries[key_of("backend", name)]
            for server in backend.servers:
                server.tally = self.tally
                server.entry = self.entries[key_of("server", name, server.name)]

    def _adopt_listeners(self, prepared: Prepared) -> None:
        wanted = {bind.text: (bind, f) for f in self.frontends.values() for bind in f.config.bind}
        for text in self.listeners.keys() - wanted.keys():
            listener = self.listeners.pop(text)
            listener.close()
            self._retire_clients(listener)
        for text, (bind, frontend) in wanted.items():
            existing = self.listeners.get(text)
            if existing is None:
                (sock,) = prepared.sockets[text]
                self.listeners[text] = Listener(self.reactor, bind, sock, frontend)
            else:
                if existing.bind.transparent != bind.transparent:
                    change_transparency(existing.sock, on=bind.transparent)
                existing.bind, existing.frontend = bind, frontend
        for listener in self.listeners.values():
            self._apply_gate(listener)

    def _retire(self, backend: Backend) -> None:
        """Requests go on where they are; idle connections and waiting requests do not."""
        for server in backend.servers:
            server.retired = True
            server.entry = -1
            self._close_idle(server)

    @staticmethod
    def _close_idle(server: Server) -> None:
        for end in server.idle:
            end.close()
        server.idle.clear()

    def _retire_clients(self, listener: Listener) -> None:
        if listener.clients:
            self._leaving.add(listener)
            for client in list(listener.clients):
                client.session.shut_down(self.reactor.now, at_once=False)
                client.settle(self.reactor.now)

    # -- the gate ----------------------------------------------------------------------------

    def open_gate(self, addresses: Iterable[IPAddress]) -> None:
        """These VIPs are ours: accept on them."""
        self._open_gates.update(addresses)
        self._apply_gates()

    def close_gate(self, addresses: Iterable[IPAddress]) -> None:
        """These VIPs are about to go: accept no more, and end what runs on them.

        A session on an address that is about to leave the node cannot be
        finished here; a reset tells its client to go to the new owner at once.
        """
        gone = set(addresses)
        self._open_gates -= gone
        self._apply_gates()
        now = time.monotonic()
        for listener in [*self.listeners.values(), *self._leaving]:
            if listener.bind.host in gone:
                listener.end_arrivals()
                for client in list(listener.clients):
                    self._cut(client, now)
        self.reactor.end_turn()

    @staticmethod
    def _cut(client: ClientEnd, now: float) -> None:
        client.session.shut_down(now, at_once=True)
        client.settle(now)
        client.close()

    def cut(self) -> None:
        """Reset every session, on whatever address."""
        now = time.monotonic()
        for listener in [*self.listeners.values(), *self._leaving]:
            listener.shut()
            listener.end_arrivals()
            for client in list(listener.clients):
                self._cut(client, now)
        self.reactor.end_turn()

    @property
    def open_gates(self) -> frozenset[IPAddress]:
        """The VIPs on which connections are accepted now."""
        return frozenset() if self._stopping else frozenset(self._open_gates)

    def _apply_gates(self) -> None:
        for listener in self.listeners.values():
            self._apply_gate(listener)

    def _apply_gate(self, listener: Listener) -> None:
        if self._may_listen(listener.bind):
            listener.open()
        else:
            listener.shut()

    def _may_listen(self, bind: model.Bind) -> bool:
        return not self._stopping and (bind.host not in self._gated or bind.host in self._open_gates)

    # -- beside other processes ------------------------------------------------------------------

    def look_elsewhere(self) -> None:
        """From now on ask again and again for places that others free: they cannot call us."""
        self.reactor.after_turn(self._ask_soon)

    def _ask_soon(self, now: float) -> None:
        if self._asking.deadline == inf and (self.process.waiting or self._queues()):
            self.reactor.wheel.arm(self._asking, now + _ASK_EVERY)

    def _queues(self) -> list[Backend]:
        return [backend for backend in self.backends.values() if backend.queued]

    def on_deadline(self, now: float) -> None:
        """There may be room now."""
        waiting, self.process.waiting = self.process.waiting, []
        for listener in waiting:
            listener.resume()
        for backend in self._queues():
            backend.wake()
        self._serve_woken(now)

    def refresh(self) -> None:
        """Bring what is counted up to date; what this process counts itself always is."""

    def workers(self) -> list[WorkerStatus]:
        """The processes that serve beside this one."""
        return []

    def told(self, line: str) -> None:
        """An operator's command has changed something: nobody else has to know."""

    # -- servers --------------------------------------------------------------------------------

    def set_server_up(self, backend_name: str, server_name: str, up: bool, why: str = "") -> bool:
        """What the health checks found, whether or not it is new; returns whether it was."""
        up = up and (backend_name, server_name) not in self._agents_down
        server = self._find(backend_name, server_name)
        if server is None or server.up == up:
            return False
        backend = server.backend
        requeued = self._set_up(server, up)
        active, backup = backend.counts()
        logger.log(
            logging.INFO if up else logging.CRITICAL if not active + backup else logging.WARNING,
            "Server %s/%s is %s%s. %d active and %d backup servers %s. %d sessions active, "
            "%d requeued, %d remaining in queue.",
            backend_name,
            server_name,
            "UP" if up else "DOWN",
            why,
            active,
            backup,
            "online" if up else "left",
            server.current,
            requeued,
            backend.queued,
        )
        if not up and not active + backup:
            logger.critical("backend %s has no server available!", backend_name)
        return True

    def follow(self, state: ServerState) -> None:
        """Make a server what another process says it is; nothing is told about it here."""
        server = self._find(state.backend, state.server)
        if server is None:
            return
        if state.maxconn != server.maxconn:
            server.backend.set_maxconn(server, 0 if state.maxconn == inf else int(state.maxconn))
        if state.weight != server.weight:
            server.backend.set_weight(server, state.weight)
        if state.administrative != server.administrative:
            self.set_administrative(server, state.administrative)
        if state.up != server.up:
            self._set_up(server, state.up)
        self.set_sorry(state.backend, state.sorry)

    def live_weight(self, backend_name: str) -> int:
        """What the quorum of a backend counts."""
        backend = self.backends.get(backend_name)
        return live_weight(backend) if backend is not None else 0

    def set_sorry(self, backend_name: str, alone: bool) -> None:
        """The quorum of a backend is not met: its sorry server serves `alone`; or it is met."""
        backend = self.backends.get(backend_name)
        if backend is not None and backend.sorry is not None and backend.sorry.suspended is alone:
            backend.set_sorry(alone)
            for server in backend.servers:
                if server.suspended:
                    self._close_idle(server)
            self._serve_woken(time.monotonic())
            self._poke()

    def _find(self, backend_name: str, server_name: str) -> Server | None:
        backend = self.backends.get(backend_name)
        return backend.by_name.get(server_name) if backend is not None else None

    def _set_up(self, server: Server, up: bool) -> int:
        requeued = server.backend.set_up(server, up, time.monotonic())
        if not up:
            self._close_idle(server)
        self._marked(server.backend, server, up=up)
        self._serve_woken(time.monotonic())
        self._poke()
        return requeued

    def agent_state(
        self, backend_name: str, server_name: str, *, up: bool, checked_up: bool, why: str
    ) -> None:
        """A server is up when its checks and its agent say so; only its agent takes its own word back."""
        if up:
            self._agents_down.discard((backend_name, server_name))
        else:
            self._agents_down.add((backend_name, server_name))
        self.set_server_up(backend_name, server_name, up=up and checked_up, why=why)

    def agent_down(self, backend_name: str, server_name: str) -> bool:
        """Is it down by its agent's word?"""
        return (backend_name, server_name) in self._agents_down

    def agent_said(
        self,
        backend_name: str,
        server_name: str,
        percent: int | None,
        weight: int | None,
        maxconn: int | None,
        administrative: str,
    ) -> None:
        """What an agent wants beside up and down; None and nothing for what it did not mention."""
        backend = self.backends.get(backend_name)
        server = backend.by_name.get(server_name) if backend is not None else None
        if backend is None or server is None:
            return
        if percent is not None:
            weight = min(256, (server.initial_weight * percent + 99) // 100)
        if weight is not None and weight != server.weight:
            backend.set_weight(server, weight)
        if maxconn is not None and maxconn != server.maxconn:
            backend.set_maxconn(server, maxconn)
            self._serve_woken(time.monotonic())
        if administrative and administrative != server.administrative:
            self.set_administrative(server, administrative)
            logger.warning("Server %s/%s is %s, by its agent.", backend_name, server_name, administrative)

    def restore_server(
        self, backend_name: str, server_name: str, administrative: str, weight: int | None
    ) -> None:
        """What an operator had said in an earlier life; `disabled` in the configuration counts more."""
        backend = self.backends.get(backend_name)
        server = backend.by_name.get(server_name) if backend is not None else None
        if backend is None or server is None:
            return
        if administrative != server.administrative == "ready":
            backend.set_administrative(server, administrative, time.monotonic())
        if weight is not None and weight != server.weight:
            backend.set_weight(server, weight)

    def set_weight(self, backend_name: str, server_name: str, weight: int) -> bool:
        """What a check wants, for new sessions; returns whether it is new."""
        server = self._find(backend_name, server_name)
        if server is None or server.weight == weight:
            return False
        server.backend.set_weight(server, weight)
        return True

    def _marked(self, backend: Backend, server: Server, *, up: bool) -> None:
        """End the sessions that on_marked_down and on_marked_up are about."""
        terms = backend.config.servers[server.index]
        if not up and terms.on_marked_down is not None:
            self._end_sessions(backend, {server.name}, "D")
        elif up and terms.on_marked_up is not None and not server.backup and server.usable:
            self._end_sessions(backend, {one.name for one in backend.servers if one.backup}, "U")

    def _end_sessions(self, backend: Backend, servers: set[str], flag: str) -> None:
        """Those that are served now, also by what a reload has replaced."""
        now = time.monotonic()
        for listener in [*self.listeners.values(), *self._leaving]:
            for client in list(listener.clients):
                session = client.session
                server = session.server
                if not session.holds_slot or server is None:
                    continue
                if server.name in servers and server.backend.name == backend.name:
                    session.shut_down(now, at_once=True, flag=flag)
                    client.settle(now)
        self.reactor.end_turn()

    def set_administrative(self, server: Server, state: str) -> None:
        """`ready`, `drain` or `maint`, by an operator."""
        was_usable = server.usable
        server.backend.set_administrative(server, state, time.monotonic())
        if was_usable != server.usable:
            self._marked(server.backend, server, up=server.usable)
        self._serve_woken(time.monotonic())
        self._poke()

    def usable_servers(self) -> dict[str, frozenset[str]]:
        """The names of servers that take new sessions, by backend."""
        return {name: backend.usable_names() for name, backend in self.backends.items()}

    # -- life ---------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; every socket is closed on the way out."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._housekeeping)
                task_status.started()
                while True:
                    if self.reactor.turn():
                        self._sink.flush()
                        await trio.lowlevel.checkpoint()
                    else:
                        self._sink.flush()
                        await self._wait()
        finally:
            self._close_all()

    async def _wait(self) -> None:
        """Until a socket is ready, a deadline passes, or somebody changed something between turns."""
        left = max(0.0, self.reactor.wheel.next_at() - time.monotonic())
        with trio.CancelScope(deadline=trio.current_time() + left) as self._waiting:
            await trio.lowlevel.wait_readable(self.reactor.fileno())

    def _poke(self) -> None:
        """Deadlines may have changed: look again."""
        self._waiting.cancel()

    async def _housekeeping(self) -> None:
        while True:
            await trio.sleep(_FLUSH_EVERY)
            self.dates.offset = time.time() - time.monotonic()
            self._warm_up(time.monotonic())
            self._leaving = {listener for listener in self._leaving if listener.clients}
            self._sink.flush()

    def _warm_up(self, now: float) -> None:
        """Servers that came back get a little more."""
        for backend in self.backends.values():
            if backend.warming:
                backend.warm_up(now)
                self._serve_woken(now)
                self._poke()

    def part_with_clients(self) -> None:
        """Send idle clients away, the others after their current request; who comes is still served."""
        now = time.monotonic()
        for frontend in self.frontends.values():
            frontend.stopping = True
        for listener in self.listeners.values():
            for client in list(listener.clients):
                client.session.shut_down(now, at_once=False)
                client.settle(now)

    def stop_accepting(self) -> None:
        """Close every listener, too."""
        self._stopping = True
        for listener in self.listeners.values():
            listener.shut()
        self.part_with_clients()

    def _on_empty(self) -> None:
        self._empty.set()

    async def drained(self) -> None:
        """Return when no session is left."""
        while self.process.current:
            self._empty = trio.Event()
            await self._empty.wait()

    def _close_all(self) -> None:
        for listener in [*self.listeners.values(), *self._leaving]:
            for client in list(listener.clients):
                client.close()
            listener.close()
        for backend in self.backends.values():
            self._retire(backend)
        self.reactor.shut()
        self._sink.flush()

    # -- inside ----------------------------------------------------------------------------------------

    def _serve_woken(self, now: float) -> None:
        """Sessions whose turn in a queue has come; servers that traffic speaks ill of."""
        while self._suspected:
            server, what = self._suspected.pop(0)
            if self.on_suspicion is not None and not server.retired:
                self.on_suspicion(server.backend.name, server.name, what)
        while self._woken:
            session = self._woken.pop(0)
            end = session.endpoint
            if end is None:
                continue  # closed in the meantime, and its slot given back
            try:
                session.from_queue(now)
                end.settle(now)
            except Exception as error:  # noqa: BLE001 - the fence around one connection
                self._bug(end, error)

    def _bug(self, endpoint: object, error: Exception) -> None:
        """An exception costs the connection in which it happened, and is told."""
        self.bugs += 1
        self._bug_log.tell(error, time.monotonic())
        client = endpoint.client if isinstance(endpoint, ServerEnd) else endpoint
        if isinstance(client, ClientEnd):
            with contextlib.suppress(Exception):
                client.session.client_gone(self.reactor.now)
            client.close()
        elif isinstance(endpoint, Arrival):
            endpoint.close()
        elif isinstance(endpoint, ServerEnd):
            if endpoint in endpoint.server.idle:
                endpoint.server.idle.remove(endpoint)
            endpoint.close()


def gate_addresses(config: model.NodeConfig) -> frozenset[IPAddress]:
    """Every VIP of the node: what listens there waits for MASTER."""
    return frozenset(vip.ip for instance in config.vrrp.values() for vip in instance.held)
