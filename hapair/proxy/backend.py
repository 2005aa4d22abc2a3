"""A backend at run time: its servers, who gets the next request, and who waits.

Pure: no sockets, no clock.  The data plane calls `place` for each request and
`release` when it is over; a waiting session that gets its turn is put on
`woken`, which the caller empties.  Semantics are HAProxy's: persistence beats
weights, a full server queues only who must have it, one backup at a time.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from hapair.balance.base import make

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hapair.config import model


class Waiter(Protocol):
    """A session that can wait in a queue."""

    waiting_in: deque[Any] | None
    granted: Server | None
    server_queue: int
    backend_queue: int


class Server:
    """One server: what it is, whether it may be used, and what it carries now."""

    __slots__ = (
        "address",
        "administrative",
        "backend",
        "backup",
        "bytes_in",
        "bytes_out",
        "checked",
        "connect_errors",
        "cookie",
        "current",
        "highest",
        "host",
        "idle",
        "index",
        "initial_weight",
        "maxconn",
        "maxqueue",
        "name",
        "port",
        "queue",
        "redispatches",
        "response_errors",
        "retired",
        "retries",
        "total",
        "up",
        "weight",
    )

    def __init__(self, backend: Backend, index: int, config: model.Server, address: object) -> None:
        self.backend = backend
        self.index = index
        self.name = config.name
        self.host = config.host
        self.port = config.port
        self.address = address
        """What `connect` takes; opaque here."""
        self.weight = self.initial_weight = config.weight
        self.backup = config.backup
        self.maxconn = config.maxconn or inf
        self.maxqueue = config.maxqueue or inf
        self.cookie = config.cookie.encode() if config.cookie is not None else None
        self.checked = config.check is not None
        self.up = True
        """What the health checks say; a server starts up (HAProxy's law)."""
        self.administrative = "maint" if config.disabled else "ready"
        """`ready`, `drain` or `maint`."""
        self.current = 0
        """Requests (HTTP) or connections (TCP) that hold a slot now."""
        self.queue: deque[Any] = deque()
        self.idle: list[Any] = []
        """Connections without a request, the latest last; opaque here."""
        self.retired = False
        """A reload replaced it: what still runs on it is the last, and no connection is kept."""
        self.total = 0
        self.highest = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.connect_errors = 0
        self.response_errors = 0
        self.retries = 0
        self.redispatches = 0

    @property
    def usable(self) -> bool:
        """May it serve at all, if only persistent sessions?"""
        return self.up and self.administrative != "maint"

    @property
    def eligible(self) -> bool:
        """May the balancing send new sessions here?"""
        return self.up and self.administrative == "ready" and self.weight > 0


class Backend:
    """The servers of one backend and the requests that wait for them."""

    def __init__(self, config: model.Backend, addresses: dict[str, object], woken: list[Any]) -> None:
        self.config = config
        self.name = config.name
        self.woken = woken
        self.servers = [
            Server(self, i, server, addresses[server.name]) for i, server in enumerate(config.servers)
        ]
        self.by_name = {server.name: server for server in self.servers}
        self.by_cookie = {s.cookie: s for s in reversed(self.servers) if s.cookie is not None}
        self.queue: deque[Any] = deque()
        self.queued = 0
        """Sessions waiting here and at the servers."""
        self.current = 0
        self.highest = 0
        self.total = 0
        self.last_refusal = ""
        self._limited = any(server.maxconn != inf for server in self.servers)
        self.rotation = self._rotation()
        """Servers that the balancing chooses among: backups only without any active, and only the first."""
        self._balance = make(config.balance, self._weights())

    def enter(self) -> None:
        """One more session (TCP) or request (HTTP) is here."""
        self.current += 1
        self.total += 1
        if self.current > self.highest:
            self.highest = self.current

    def leave(self) -> None:
        """One less."""
        self.current -= 1

    # -- who serves -----------------------------------------------------------------

    def place(self, session: Waiter, wanted: Server | None, avoid: Server | None = None) -> Server | None:
        """Give `session` a server with a free slot, taken; or None.

        None with `session.waiting_in` set means that it waits for its turn (it
        will be in `woken`); without, that nobody can serve it.
        `wanted` is the server its cookie names, `avoid` the one that just failed.
        """
        if wanted is not None and wanted.usable:
            if wanted.current < wanted.maxconn:
                return self._take(wanted)
            if len(wanted.queue) < wanted.maxqueue:
                session.server_queue = len(wanted.queue) + 1
                self._wait(session, wanted.queue)
                return None
        index = self._balance.pick(
            avoid.index if avoid is not None else -1, self._full if self._limited else None
        )
        if index >= 0:
            return self._take(self.servers[index])
        if self._limited and self.rotation:
            session.backend_queue = len(self.queue) + 1
            self._wait(session, self.queue)
        return None

    def _full(self, index: int) -> bool:
        server = self.servers[index]
        return server.current >= server.maxconn

    def _take(self, server: Server) -> Server:
        server.current += 1
        server.total += 1
        if server.current > server.highest:
            server.highest = server.current
        return server

    def release(self, server: Server) -> None:
        """A slot of `server` is free: let the next in line have it.

        Only the freed slot is handed on: the woken session is placed again
        when its turn comes, so a slot cannot be promised twice.
        """
        server.current -= 1
        if self.queued and server.current < server.maxconn and server.usable:
            self._wake_for(server)

    def _wake_for(self, server: Server) -> None:
        if server.queue:
            session = server.queue.popleft()
        elif self.queue and server in self.rotation:
            session = self.queue.popleft()
        else:
            return
        self.queued -= 1
        session.waiting_in = None
        session.granted = self._take(server)
        self.woken.append(session)

    # -- who waits ------------------------------------------------------------------

    def _wait(self, session: Waiter, queue: deque[Any]) -> None:
        queue.append(session)
        session.waiting_in = queue
        self.queued += 1

    def leave_queue(self, session: Waiter) -> None:
        """`session` gave up waiting."""
        if session.waiting_in is not None:
            session.waiting_in.remove(session)
            session.waiting_in = None
            self.queued -= 1
        elif session.granted is not None:
            granted, session.granted = session.granted, None
            self.release(granted)

    # -- what changes -----------------------------------------------------------------

    def set_up(self, server: Server, up: bool) -> int:
        """What the health checks found; returns how many queued sessions must be placed anew."""
        if server.up == up:
            return 0
        server.up = up
        return self._changed(server)

    def set_administrative(self, server: Server, state: str) -> int:
        """`ready`, `drain` or `maint`, by an operator; returns as `set_up`."""
        server.administrative = state
        return self._changed(server)

    def set_weight(self, server: Server, weight: int) -> None:
        """A new weight, 0..256, for new sessions."""
        server.weight = weight
        self._changed(server)

    def _changed(self, server: Server) -> int:
        self._refresh()
        requeued = 0
        if not server.usable:
            requeued = len(server.queue)
            while server.queue:
                self._send_back(server.queue)
        if not self.rotation:
            while self.queue:
                self._send_back(self.queue)
        for other in self.servers:
            # Also a backup may have come into use.
            while (
                self.queued
                and other.usable
                and other.current < other.maxconn
                and (other.queue or (self.queue and other in self.rotation))
            ):
                self._wake_for(other)
        return requeued

    def _send_back(self, queue: deque[Any]) -> None:
        session = queue.popleft()
        session.waiting_in = None
        session.granted = None
        self.queued -= 1
        self.woken.append(session)

    def _refresh(self) -> None:
        self.rotation = self._rotation()
        for index, weight in enumerate(self._weights()):
            self._balance.set_weight(index, weight)

    def _weights(self) -> list[int]:
        return [server.weight if server in self.rotation else 0 for server in self.servers]

    def _rotation(self) -> set[Server]:
        active = [server for server in self.servers if server.eligible and not server.backup]
        backup = [server for server in self.servers if server.eligible and server.backup][:1]
        return set(active or backup)

    def usable_names(self) -> frozenset[str]:
        """Servers that take new sessions: what VRRP tracking counts."""
        return frozenset(server.name for server in self.servers if server.eligible)

    def counts(self) -> tuple[int, int]:
        """(active, backup) servers left, for HAProxy's log line."""
        usable = [server for server in self.servers if server.usable]
        return sum(not s.backup for s in usable), sum(s.backup for s in usable)

    def inherit(self, before: Iterable[Server]) -> None:
        """Take over what is known about servers of the same name and address after a reload."""
        known = {(server.name, server.address): server for server in before}
        for server in self.servers:
            old = known.get((server.name, server.address))
            if old is not None:
                server.up = old.up or not server.checked
                server.administrative = old.administrative if server.administrative == "ready" else "maint"
        self._refresh()
