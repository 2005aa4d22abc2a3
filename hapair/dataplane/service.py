"""The data plane as one task: listeners, sessions, servers, and how they change while it runs.

`prepare` may fail and touches nothing that runs; `commit` is synchronous and
cannot fail; what is left over drains.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import attrs
import trio

from hapair.dataplane.endpoint import ClientEnd, ServerEnd
from hapair.dataplane.listener import Listener, bind_socket
from hapair.dataplane.reactor import Reactor
from hapair.dataplane.resolve import key, resolve_all
from hapair.proxy.backend import Backend
from hapair.proxy.frontend import Frontend, Process
from hapair.proxy.log_line import Dates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hapair.config import model
    from hapair.config.model import IPAddress
    from hapair.dataplane.access_log import LogSink
    from hapair.dataplane.resolve import Addresses
    from hapair.proxy.backend import Server
    from hapair.proxy.frontend import Responder

logger = logging.getLogger("hapair.dataplane")

_FLUSH_EVERY = 0.5
"""Seconds that a log line waits at most when nothing else happens."""


@attrs.frozen
class Prepared:
    """A new configuration with everything acquired that could fail."""

    config: model.NodeConfig
    sockets: Mapping[str, socket.socket]
    """Newly bound sockets by the text of their bind."""
    backends: Mapping[str, Backend]
    frontends: Mapping[str, Frontend]


class DataPlane:
    """Everything between clients and servers."""

    def __init__(self, maxconn: int, sink: LogSink, responder: Callable[[model.Frontend], Responder]) -> None:
        self.process = Process(maxconn)
        self.reactor = Reactor(self._bug)
        self.dates = Dates(time.time() - time.monotonic())
        self.config: model.NodeConfig | None = None
        self.backends: dict[str, Backend] = {}
        self.frontends: dict[str, Frontend] = {}
        self.listeners: dict[str, Listener] = {}
        self._sink = sink
        self._responder = responder
        """Makes the statistics page of a frontend."""
        self._woken: list[Any] = []
        self._leaving: set[Listener] = set()
        self._gated: frozenset[IPAddress] = frozenset()
        """Addresses that are VIPs: their listeners wait for the gate."""
        self._open_gates: set[IPAddress] = set()
        self._stopping = False
        self._waiting = trio.CancelScope()
        self._empty = trio.Event()
        self.process.on_empty = self._on_empty
        self.bugs = 0
        self.reactor.after_turn(self._serve_woken)

    # -- configuration -------------------------------------------------------------------

    def prepare(self, config: model.NodeConfig, addresses: Addresses | None = None) -> Prepared:
        """Bind what is new and compile what changed; nothing that runs is touched.

        `addresses` are those of `resolve_all`; without them names are looked up here, which blocks.

        Raises:
            StartError: an address cannot be bound or a server's name not resolved.
        """
        running = self.config
        if addresses is None:
            addresses = resolve_all(config)
        backends: dict[str, Backend] = {}
        for name, backend in config.backends.items():
            if running is not None and running.backends.get(name) == backend:
                backends[name] = self.backends[name]
            else:
                places: dict[str, object] = {
                    server.name: addresses[key(server)] for server in backend.servers
                }
                backends[name] = Backend(backend, places, self._woken)
        frontends: dict[str, Frontend] = {}
        with contextlib.ExitStack() as bound:
            sockets: dict[str, socket.socket] = {}
            for name, frontend in config.frontends.items():
                if running is not None and running.frontends.get(name) == frontend:
                    frontends[name] = self.frontends[name]
                else:
                    frontends[name] = self._compile(frontend)
                for bind in frontend.bind:
                    if bind.text not in self.listeners:
                        sockets[bind.text] = bound.enter_context(bind_socket(bind))
            bound.pop_all()
        return Prepared(config, sockets, backends, frontends)

    def _compile(self, frontend: model.Frontend) -> Frontend:
        responder = self._responder(frontend) if frontend.stats is not None else None
        return Frontend(frontend, self.backends, self.process, self.dates, self._log, responder)

    def commit(self, prepared: Prepared, gated: Iterable[IPAddress]) -> None:
        """Switch over.  Unchanged listeners, sessions and servers do not notice."""
        self.config = prepared.config
        self._gated = frozenset(gated)
        self.process.maxconn = prepared.config.node.maxconn
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
                old_frontend.backends = known  # its clients may ask once more, perhaps for one that is gone
        for name, frontend in prepared.frontends.items():
            before = self.frontends.get(name)
            if before is not None and before is not frontend:
                frontend.adopt_counters(before)
        self.frontends = dict(prepared.frontends)
        wanted = {bind.text: (bind, f) for f in self.frontends.values() for bind in f.config.bind}
        for text in self.listeners.keys() - wanted.keys():
            listener = self.listeners.pop(text)
            listener.close()
            self._retire_clients(listener)
        for text, (bind, frontend) in wanted.items():
            existing = self.listeners.get(text)
            if existing is None:
                self.listeners[text] = Listener(self.reactor, bind, prepared.sockets[text], frontend)
            elif existing.frontend is not frontend:
                existing.frontend = frontend
        for listener in self.listeners.values():
            self._apply_gate(listener)
        waiting, self.process.waiting = self.process.waiting, []
        for listener in waiting:
            listener.resume()  # there may be more room now
        self._poke()

    def _retire(self, backend: Backend) -> None:
        """Requests go on where they are; idle connections and waiting requests do not."""
        for server in backend.servers:
            server.retired = True
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
                for client in list(listener.clients):
                    client.session.shut_down(now, at_once=True)
                    client.settle(now)
                    client.close()
        self.reactor.end_turn()

    @property
    def open_gates(self) -> frozenset[IPAddress]:
        """The VIPs on which connections are accepted now."""
        return frozenset() if self._stopping else frozenset(self._open_gates)

    def _apply_gates(self) -> None:
        for listener in self.listeners.values():
            self._apply_gate(listener)

    def _apply_gate(self, listener: Listener) -> None:
        host = listener.bind.host
        if self._stopping or (host in self._gated and host not in self._open_gates):
            listener.shut()
        else:
            listener.open()

    # -- servers --------------------------------------------------------------------------------

    def set_server_up(self, backend_name: str, server_name: str, up: bool, why: str = "") -> bool:
        """What the health checks found, whether or not it is new; returns whether it was."""
        backend = self.backends.get(backend_name)
        server = backend.by_name.get(server_name) if backend is not None else None
        if backend is None or server is None or server.up == up:
            return False
        requeued = backend.set_up(server, up)
        if not up:
            self._close_idle(server)
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
        self._serve_woken(time.monotonic())
        self._poke()
        return True

    def set_administrative(self, server: Server, state: str) -> None:
        """`ready`, `drain` or `maint`, by an operator."""
        server.backend.set_administrative(server, state)
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
            self._leaving = {listener for listener in self._leaving if listener.clients}
            self._sink.flush()

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

    def _log(self, severity: int, line: bytes) -> None:
        self._sink.write(severity, line)

    def _serve_woken(self, now: float) -> None:
        """Sessions whose turn in a queue has come."""
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
        logger.error("bug in the data plane, one connection is closed", exc_info=error)
        client = endpoint.client if isinstance(endpoint, ServerEnd) else endpoint
        if isinstance(client, ClientEnd):
            with contextlib.suppress(Exception):
                client.session.client_gone(self.reactor.now)
            client.close()
        elif isinstance(endpoint, ServerEnd):
            if endpoint in endpoint.server.idle:
                endpoint.server.idle.remove(endpoint)
            endpoint.close()


def gate_addresses(config: model.NodeConfig) -> frozenset[IPAddress]:
    """Every VIP of the node: what listens there waits for MASTER."""
    return frozenset(vip.ip for instance in config.vrrp.values() for vip in instance.held)
