"""A backend at run time: its servers, who gets the next request, and who waits.

Pure: no sockets, no clock.  The data plane calls `place` for each request and
`release` when it is over; a waiting session that gets its turn is put on
`woken`, which the caller empties.  Semantics are HAProxy's: persistence beats
weights, a full server queues only who must have it, one backup at a time.

Longer than most files: placing and queueing decide over the same slots.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from hapair.balance.balancer import SCALE
from hapair.balance.base import make
from hapair.config.model import HttpReuse, Mode
from hapair.proxy.persistence import Persistence, dynamic_value
from hapair.proxy.queue import Queue
from hapair.proxy.ruled import BackendRules
from hapair.proxy.server import Server
from hapair.tables.directory import NO_TABLES, Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hapair.balance.balancer import Balancer
    from hapair.config import model
    from hapair.rules.pattern_files import References


NO_REUSE: Final = 0
ANY: Final = 1
PROVEN: Final = 2
"""Pooled connections that a request may be sent on; PROVEN ones have been reused before."""

_RETRYABLE: Final = frozenset(
    "conn-failure empty-response junk-response response-timeout 500 502 503 504".split()
)
_FIRST: Final = {
    HttpReuse.NEVER: NO_REUSE,
    HttpReuse.SAFE: NO_REUSE,
    HttpReuse.AGGRESSIVE: PROVEN,
    HttpReuse.ALWAYS: ANY,
}


class Waiter(Protocol):
    """A session that can wait in a queue."""

    waiting_in: Queue | None
    ticket: int
    """Which of the entries in `waiting_in` is its own."""
    priority_class: int
    """-2047..2047; the lowest is served first."""
    due: float
    """Seconds on the monotonic clock: its place among those of its class."""
    granted: Server | None
    server_queue: int
    backend_queue: int
    balance_key: int
    """The hash of what decides about its server, where the balancing asks for it."""


class Backend:
    """The servers of one backend and the requests that wait for them."""

    def __init__(
        self,
        config: model.Backend,
        addresses: dict[str, object],
        woken: list[Any],
        chance: Callable[[int], int] = lambda _below: 0,
        tables: Directory = NO_TABLES,
        references: References | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.label = config.name.encode("latin-1", "replace")
        """The name in a log line."""
        self.woken = woken
        self.suspected: list[tuple[Server, str]] = []
        """Servers with too many errors in a row, and the last of them; the caller empties it."""
        self.server_timeout: float = config.timeout.server
        self.tunnel_timeout: float = config.timeout.tunnel
        self.connect_timeout: float = config.timeout.connect
        self.servers = [
            Server(self, i, server, addresses[server.name]) for i, server in enumerate(config.servers)
        ]
        self.by_name = {server.name: server for server in self.servers}
        self.by_number = {server.number: server for server in reversed(self.servers)}
        if config.cookie is not None and config.cookie.dynamic and config.dynamic_cookie_key is not None:
            for server in self.servers:
                if server.cookie is None:
                    server.cookie = dynamic_value(config.dynamic_cookie_key, server.address)
        self.persistence = (
            Persistence(config.cookie, self.servers, persist=config.persist)
            if config.cookie is not None
            else None
        )
        self.redispatches = config.redispatch != 0
        self.queue = Queue()
        self.queued = 0
        """Sessions waiting here and at the servers."""
        self.httpclose = config.httpclose
        self.server_close = config.http_server_close or config.httpclose
        self.buffers = config.http_buffer_request
        self.http = config.mode is Mode.HTTP
        self.rules = BackendRules(config, tables, references)
        for server in self.servers:
            server.tells_outgoing = self.rules.outgoing
        events = _RETRYABLE if "all-retryable-errors" in config.retry_on else frozenset[str]()
        events |= frozenset(config.retry_on) if self.http else frozenset({"conn-failure"})
        self.retries_connect = "conn-failure" in events
        """Is another attempt made when no connection could be?"""
        self.retry_on = events - {"conn-failure", "none", "all-retryable-errors"}
        """What a request that was sent is sent again after: events, and statuses."""
        self.reuse_first = _FIRST[config.http_reuse]
        """Which pooled connections the first request of a client may have; later ones may have any."""
        self.current = 0
        self.highest = 0
        self.total = 0
        self.compresses = config.compression is not None
        self.cache_lookups = self.cache_hits = 0
        self.comp_in = self.comp_out = self.comp_rsp = 0
        """As the frontend's."""
        self.last_refusal = ""
        self.entry = -1
        self.fullconn = config.fullconn or 1
        """So many requests make every server's limit its `maxconn`."""
        self._limited = any(server.maxconn != inf for server in self.servers)
        self._dynamic = any(server.minconn != server.maxconn for server in self.servers)
        self.warming = False
        """Is a server still growing to its full?"""
        self.rotation: set[Server] = set()
        """Servers that the balancing chooses among: backups only without any active one."""
        weights = [server.weight if server.eligible else 0 for server in self.servers]
        backups = [weight * server.backup for weight, server in zip(weights, self.servers, strict=True)]
        active = [weight - backup for weight, backup in zip(weights, backups, strict=True)]
        self._active: Balancer = make(config, active, chance)
        self._backups: Balancer = make(config, backups, chance) if self._active.dynamic else self._active
        """They have their own order; but of a static map there is only one."""
        self._balance = self._active
        self.sorry = self.by_name.get(config.sorry_server or "")
        """Who serves alone while the quorum is not met, and never else."""
        if self.sorry is not None:
            self.sorry.suspended = True
        self._full: Callable[[int], bool] = (
            self._overfull if config.balance.algorithm == "leastconn" else self._has_no_slot
        )
        self._counts = self._active.counts
        self.weights_move = self._active.dynamic
        """May a server have another weight than its own and none?"""
        self._refresh()

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

    def place(
        self, session: Waiter, wanted: Server | None, avoid: Server | None = None, *, force: bool = False
    ) -> Server | None:
        """Give `session` a server with a free slot, taken; or None.

        None with `session.waiting_in` set means that it waits for its turn (it
        will be in `woken`); without, that nobody can serve it.
        `wanted` is the server that it belongs to, `avoid` the one that just failed;
        `force`: it gets that one even if it is down.
        Some algorithms insist on a server that is full: then it waits for that one.
        """
        if wanted is not None and (wanted.usable or force):
            if not wanted.queue.count and not wanted.full():
                return self._take(wanted)
            if wanted.queue.count < wanted.maxqueue:
                return self._wait_for(wanted, session)
            if not self.redispatches:
                return None
        balance = self._balance
        if not self.queue.count or not balance.defers:
            index = balance.pick(
                avoid.index if avoid is not None else -1,
                self._full if self._limited else None,
                session.balance_key,
            )
            if index >= 0:
                server = self.servers[index]
                if not balance.insists or not self._has_no_slot(index):
                    return self._take(server)
                return self._wait_for(server, session) if server.queue.count < server.maxqueue else None
        if self._limited and self.rotation:
            session.backend_queue = self.queue.count + 1
            return self._wait(session, self.queue)
        return None

    def _has_no_slot(self, index: int) -> bool:
        return self.servers[index].full()

    def _overfull(self, index: int) -> bool:
        """With leastconn whoever has `maxqueue` lets so many wait there rather than here."""
        server = self.servers[index]
        room = server.maxqueue if server.maxqueue != inf else 0
        return server.full() and server.queue.count >= room

    def _wait_for(self, server: Server, session: Waiter) -> Server | None:
        session.server_queue = server.queue.count + 1
        granted = self._wait(session, server.queue)
        if self._counts:
            self._tell(server)
        return granted

    def _tell(self, server: Server) -> None:
        """Let the balancing know what a server carries."""
        self._active.set_load(server.index, server.current, server.queue.count)
        self._backups.set_load(server.index, server.current, server.queue.count)

    def _take(self, server: Server) -> Server:
        server.current += 1
        server.total += 1
        if server.current > server.highest:
            server.highest = server.current
        if server.tally is not None:
            server.tally.note(server.entry, server.current)
        if self._counts:
            self._tell(server)
        return server

    def release(self, server: Server) -> None:
        """A slot of `server` is free: let the next in line have it.

        Only the freed slot is handed on: the woken session is placed again
        when its turn comes, so a slot cannot be promised twice.
        """
        server.current -= 1
        if server.tally is not None:
            server.tally.note(server.entry, server.current)
        if self._counts:
            self._tell(server)
        if self.queued and (server.usable or server.queue.count):
            self._serve_queues(server)

    def _serve_queues(self, server: Server) -> None:
        """Give the free slots of a usable server to who waits."""
        own, common = server.queue, self.queue
        shares = server in self.rotation
        while not server.full():
            if shares and common.count and (not own.count or common.precedes(own)):
                session = common.pop()
            elif own.count:
                session = own.pop()
            else:
                return
            self.queued -= 1
            session.granted = self._take(server)
            self.woken.append(session)

    # -- who waits ------------------------------------------------------------------

    def _wait(self, session: Waiter, queue: Queue) -> Server | None:
        queue.join(session)
        self.queued += 1
        if not self._dynamic:
            return None
        # One more request has raised the limits: perhaps there is a slot by now, even for this one.
        for server in self.servers:
            if server.usable:
                self._serve_queues(server)
        granted, session.granted = session.granted, None
        if granted is not None:
            self.woken.remove(session)
        return granted

    def leave_queue(self, session: Waiter) -> None:
        """`session` gave up waiting."""
        queue = session.waiting_in
        if queue is not None:
            queue.leave(session)
            self.queued -= 1
            if self._counts:
                for server in self.servers:
                    if server.queue is queue:
                        self._tell(server)
        elif session.granted is not None:
            granted, session.granted = session.granted, None
            self.release(granted)

    # -- what changes -----------------------------------------------------------------

    def set_up(self, server: Server, up: bool, now: float) -> int:
        """What the health checks found; returns how many queued sessions must be placed anew."""
        if server.up == up:
            return 0
        server.up = up
        self._comes_back(server, now)
        return self._changed(server)

    def set_administrative(self, server: Server, state: str, now: float) -> int:
        """`ready`, `drain` or `maint`, by an operator; returns as `set_up`."""
        was_usable = server.usable
        server.administrative = state
        if not was_usable:
            self._comes_back(server, now)
        return self._changed(server)

    def _comes_back(self, server: Server, now: float) -> None:
        if server.usable and server.slowstart:
            server.back_at = now
            self.warming = server.warm_up(now)

    def warm_up(self, now: float) -> None:
        """Let servers that came back grow; to be called each second while `warming`."""
        still = [server.warm_up(now) for server in self.servers]
        self.warming = any(still)
        self._refresh()
        for server in self.servers:
            if self.queued and server.usable:
                self._serve_queues(server)

    def set_sorry(self, alone: bool) -> None:
        """Let the sorry server stand in for all others, or send it back."""
        sorry = self.sorry
        if sorry is None or sorry.suspended is not alone:
            return
        for server in self.servers:
            server.suspended = alone
        sorry.suspended = not alone
        for server in self.servers:
            self._changed(server)

    def set_maxconn(self, server: Server, maxconn: int) -> None:
        """Another limit; 0 for none."""
        fixed = server.minconn == server.maxconn
        server.maxconn = maxconn or inf
        if fixed or server.minconn > server.maxconn:
            server.minconn = server.maxconn
        self._limited = any(one.maxconn != inf for one in self.servers)
        self._dynamic = any(one.minconn != one.maxconn for one in self.servers)
        self._changed(server)

    def set_weight(self, server: Server, weight: int) -> None:
        """A new weight, 0..256, for new sessions."""
        server.weight = weight
        self._changed(server)

    def _changed(self, server: Server) -> int:
        self._refresh()
        requeued = 0
        if not server.usable:
            requeued = server.queue.count
            while server.queue.count:
                self._send_back(server.queue)
            if self._counts:
                self._tell(server)
        if not self.rotation:
            while self.queue.count:
                self._send_back(self.queue)
        self.wake()  # also a backup may have come into use
        return requeued

    def wake(self) -> None:
        """Let those in the queue have what is free: it may have become so without our doing."""
        for other in self.servers:
            if self.queued and other.usable:
                self._serve_queues(other)

    def _send_back(self, queue: Queue) -> None:
        session = queue.pop()
        session.granted = None
        self.queued -= 1
        self.woken.append(session)

    def _refresh(self) -> None:
        active = [server for server in self.servers if server.eligible and not server.backup]
        backup = [server for server in self.servers if server.eligible and server.backup]
        if not self.config.allbackups:
            backup = backup[:1]
        self.rotation = set(active or backup)
        self._balance = self._active if active else self._backups
        warms = self._active.dynamic
        for server in self.servers:
            share = server.weight * (server.warmth if warms else SCALE)
            if not warms:
                self._active.set_share(server.index, share if server in self.rotation else 0)
                continue
            self._active.set_share(server.index, share if server in active else 0)
            self._backups.set_share(server.index, share if server in backup else 0)

    def usable_names(self) -> frozenset[str]:
        """Servers that take new sessions: what VRRP tracking counts."""
        return frozenset(s.name for s in self.servers if s.eligible and s is not self.sorry)

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
                if server.slowstart:
                    server.back_at, server.warmth, server.throttle = old.back_at, old.warmth, old.throttle
        self.warming = any(server.back_at != -inf for server in self.servers)
        self._refresh()
