"""One client connection, without its socket: what every mode has in common.

A machine that mutates only itself (the data plane's dialect of purity).  The
endpoint calls it with bytes, ends and timeouts; afterwards it reads

- `to_client`, `to_server`: bytes to send, the machine never touches them again
  but to append;
- `orders`: what else to do, one bit each;
- `deadline`: when to call `timeout`; `inf` for never.

Getting a server (place, queue, connect, retry, redispatch) and relaying a
tunnel are the same for TCP and HTTP and live here.  Slots, here and in the classes
below it: ten thousand idle clients are ten thousand of these.

Longer than most files: connecting again and relaying are one machine with one deadline.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from hapair.balance.balancer import NO_KEY
from hapair.config.model import ProxyVersion
from hapair.proxy.about import About
from hapair.proxy.backend import NO_REUSE
from hapair.proxy.proxy_protocol import AUTHORITY, UNIQUE_ID, Place, version1, version2
from hapair.proxy.reasons import refused, spelled, timeout, unconnected
from hapair.proxy.silence import Silence
from hapair.rules.verdicts import Allow, Reject

if TYPE_CHECKING:
    from hapair.proxy.backend import Backend
    from hapair.proxy.frontend import Frontend
    from hapair.proxy.proxy_protocol import Conveyed
    from hapair.proxy.queue import Queue
    from hapair.proxy.server import Server
    from hapair.rules.facts import Facts
    from hapair.tables.table import Key, Table
    from hapair.tables.tracks import Tracks

# Orders to the endpoint.
CONNECT: Final = 1
"""Get a connection to `server`: a parked one, a pooled one if `may_reuse`, else a new one."""
RELEASE: Final = 2
"""The server connection is clean: it may serve somebody else."""
DROP: Final = 4
"""Close the server connection."""
AGAIN: Final = 8
"""Call `again` once `to_client` and `to_server` are empty."""
CLOSE: Final = 16
"""Close the client connection once `to_client` is empty."""
RESET: Final = 32
"""Close it so that the client cannot take what it got for complete."""
LINGER: Final = 64
"""With CLOSE: the client may still be sending; let it read our answer first."""
SHUT_CLIENT: Final = 128
"""Tell the client that nothing more comes, once `to_client` is empty."""
SHUT_SERVER: Final = 256
"""The same towards the server, once `to_server` is empty."""

SILENT: Final = 1024
"""With CLOSE: let the client's kernel not know."""

PARK: Final = 512
"""Like RELEASE, but it may serve this client only."""

# Where a session stands with its server.
NONE: Final = 0
QUEUED: Final = 1
CONNECTING: Final = 2
RETRYING: Final = 3
WAITING: Final = 4
RECEIVING: Final = 5
RECEIVED: Final = 6
TUNNEL: Final = 7

_UNKNOWN: Final = Place("", 0)

RECEIVE: Final = 65536
"""Bytes that are received at a time."""
LABORIOUS: Final = 16384
"""The same where each byte is much work, so that nobody waits for it long."""
RETRY_DELAY: Final = 1.0
"""Seconds before the same server is tried again; at most `timeout connect`."""
EXHAUSTED_DELAY: Final = 0.05
"""Seconds before a connection is tried for which there was no descriptor."""


ERR: Final = 3
INFO: Final = 6
"""Severities of a line about a session."""

_NOTES: Final = 8
"""Stick rules that store for one request, as in HAProxy."""


def _has(noted: list[tuple[Table, Key]], table: Table) -> bool:
    return any(other is table for other, _ in noted)


class Session:
    """Base of the HTTP and TCP machines."""

    __slots__ = (
        "_client",
        "about",
        "accepted_at",
        "assigned_at",
        "attempts",
        "backend",
        "backend_queue",
        "balance_key",
        "client_ended",
        "connected_at",
        "conveyed",
        "deadline",
        "due",
        "ended",
        "endpoint",
        "forces_persistence",
        "frontend",
        "granted",
        "handshake",
        "holds_slot",
        "ignores_persistence",
        "local",
        "may_reuse",
        "noted",
        "orders",
        "outgoing",
        "peer",
        "placed_at",
        "port",
        "portion",
        "priority_class",
        "priority_offset",
        "received",
        "redispatched",
        "sent",
        "server",
        "server_ended",
        "server_queue",
        "server_timeout",
        "silence",
        "source",
        "stage",
        "tcp_info",
        "ticket",
        "to_client",
        "to_server",
        "told_at",
        "tracks",
        "tunnel_timeout",
        "waiting_in",
        "wanted",
        "why",
    )

    # Facts for rules about a connection: it has no request yet.
    method = b""
    path = b""
    query = b""
    host: bytes | None = None

    def header(self, name: bytes) -> list[bytes]:  # noqa: ARG002
        """A connection has no headers."""
        return []

    def __init__(self, frontend: Frontend, source: str, port: int, now: float) -> None:
        self.frontend = frontend
        self.source = source
        self.port = port
        self._client = b""
        """Both as a log line has them, once there was one."""
        self.local: Place = _UNKNOWN
        """Where the client connected to, as far as that is known."""
        self.conveyed: Conveyed | None = None
        """What its PROXY header said."""
        self.peer: tuple[Place, Place] | None = None
        """Who sent that, and to where; None without a header."""
        self.tcp_info: Any = None
        """Asks the kernel about the client, for rules that want to know; None without a socket."""
        self.to_client = b""
        self.to_server = b""
        self.orders = 0
        self.portion = RECEIVE
        """Bytes that we want from the server at a time."""
        self.deadline = inf
        self.backend: Backend | None = None
        self.server: Server | None = None
        self.server_timeout = inf
        self.tunnel_timeout = inf
        """Seconds: the backend's, or what its rules say of this request."""
        self.stage = NONE
        self.wanted: Server | None = None
        """The server that the client belongs to: by a rule, its cookie or a stick table."""
        self.forces_persistence = False
        """It goes there even if that is down."""
        self.ignores_persistence = False
        """Cookies do not count."""
        self.noted: list[tuple[Table, Key]] | None = None
        """Where stick rules want to remember who will have served."""
        self.may_reuse = NO_REUSE
        self.client_ended = False
        """The client will send no more."""
        self.server_ended = False
        self.ended = False
        """Nothing more happens here; the endpoint only flushes and closes."""
        self.holds_slot = False
        """`server` counts us; false once it only names who served, for the log."""
        self.waiting_in: Queue | None = None
        self.ticket = 0
        self.priority_class = 0
        """Of those who wait the lowest is served first; -2047..2047."""
        self.priority_offset = 0.0
        """Seconds that the time of joining a queue is moved by; negative to overtake."""
        self.due = now
        self.granted: Server | None = None
        self.balance_key = NO_KEY
        """The hash that decides about our server, where the balancing asks for it."""
        self.server_queue = 0
        """Our place in the server's queue, from 1; 0 when we did not wait there."""
        self.backend_queue = 0
        self.about: Any = None
        """What rules know beside a request (`proxy.about`); None where none asks."""
        self.tracks: Tracks | None = None
        """Its rows in stick tables; whoever owns the socket ends that with it."""
        self.told_at = now
        """When rules are asked, for those that want to know the time."""
        self.endpoint: Any = None
        """Whoever owns the sockets; only carried for the queues, never called."""
        self.received = 0
        """Bytes from the client."""
        self.sent = 0
        """Bytes for the client, for this log line."""
        self.accepted_at = now
        """When the connection came, or else when the request before this one was over."""
        self.handshake = 0.0
        """Seconds until its PROXY header was there."""
        self.outgoing: Place | None = None
        """Our end of the server connection, where a log format asks for it."""
        self.placed_at = inf
        self.assigned_at = inf
        self.connected_at = inf
        self.attempts = 0
        """Failed connection attempts."""
        self.redispatched = False
        self.why = ""
        """In words, for the log; empty while nothing went wrong."""
        self.silence: Silence | None = None
        """Whose it may be how long, in a tunnel."""

    # -- a server ---------------------------------------------------------------------

    def _enter(self, backend: Backend) -> None:
        """It was chosen."""
        self.backend = backend
        self.server_timeout = backend.server_timeout
        self.tunnel_timeout = backend.tunnel_timeout
        backend.enter()

    def _place(self, now: float, wanted: Server | None, avoid: Server | None = None) -> None:
        """Ask the backend for a server and go on from there."""
        backend = self.backend
        assert backend is not None
        if self.placed_at == inf:
            self.placed_at = now
        self.due = now + self.priority_offset
        server = backend.place(self, wanted, avoid, force=self.forces_persistence or backend.config.persist)
        if server is not None:
            self._assigned(server, now)
        elif self.waiting_in is not None:
            self.stage = QUEUED
            self.deadline = now + backend.config.timeout.queue
        else:
            self.why = f"no server of backend {backend.name} may serve"
            self._fail(503, "SC", now)

    def _queued_too_long(self, now: float) -> None:
        assert self.backend is not None
        self.assigned_at = now  # so long it waited
        limit = timeout("queue", self.backend.config.timeout.queue)
        self.why = f"{limit}: no server of backend {self.backend.name} was free"
        self._fail(503, "sQ", now)

    def from_queue(self, now: float) -> None:
        """Our turn came (`granted`), or the server that we waited for is gone."""
        if self.stage != QUEUED or self.waiting_in is not None:
            return  # a call that came too late: meanwhile we gave up, and perhaps wait again
        server, self.granted = self.granted, None
        if server is not None:
            self._assigned(server, now)
        else:
            self._place(now, self.wanted if self.forces_persistence else None)

    def _persists(self, facts: Facts) -> None:
        """Ask whether persistence is forced or ignored."""
        assert self.backend is not None
        for test, forces in self.backend.rules.persistence:
            if test(facts):
                self.forces_persistence = forces
                self.ignores_persistence = not forces
                break

    def _stick(self, facts: Facts, now: float) -> None:
        """Ask the stick rules: where does the client belong, and what is to be remembered?

        Of each table only the first rule that stores counts, as HAProxy has it.
        """
        backend, tick = self.backend, int(now * 1000)
        assert backend is not None
        noted: list[tuple[Table, Key]] = []
        for rule in backend.rules.stick:
            table = rule.table
            if rule.stores and _has(noted, table):
                continue
            if rule.test is not None and not rule.test(facts):
                continue
            key = rule.key(facts)
            if key is None:
                continue
            row = table.find(key, tick) if rule.matches else -1
            if row >= 0:
                if self.wanted is None:
                    server = backend.by_number.get(table.value(row, "server_id", tick))
                    if server is not None and (
                        server.usable or self.forces_persistence or backend.config.persist
                    ):
                        self.wanted = server
                table.touch(key, tick)
            if rule.stores and len(noted) < _NOTES:
                noted.append((table, key))
        self.noted = noted

    def _remember(self, facts: Facts, now: float) -> None:
        """The server has said something: what was noted is stored."""
        backend, server, noted = self.backend, self.server, self.noted
        assert backend is not None
        if server is None or noted is None:
            return
        self.noted = None
        said: list[tuple[Table, Key]] = []
        for rule in backend.rules.store_response:
            if not _has(said, rule.table) and (rule.test is None or rule.test(facts)):
                key = rule.key(facts)
                if key is not None and len(noted) + len(said) < _NOTES:
                    said.append((rule.table, key))
        if server.non_stick:
            return
        tick = int(now * 1000)
        for table, key in noted + said:
            row = table.touch(key, tick)
            if row >= 0:
                table.set_value(row, "server_id", server.number)

    def _assigned(self, server: Server, now: float) -> None:
        self.server = server
        self.holds_slot = True
        self.assigned_at = now
        self._connect(now)

    def _connect(self, now: float) -> None:
        assert self.backend is not None
        self.stage = CONNECTING
        self.orders |= CONNECT
        self.deadline = now + self.backend.connect_timeout

    def connected(self, now: float, *, reused: bool) -> None:
        """The server connection stands; `reused` when it came from the pool."""
        raise NotImplementedError

    def connect_later(self, now: float) -> None:
        """We lack a descriptor or memory: no fault of the server's, and soon over."""
        backend = self.backend
        assert backend is not None
        if now >= self.assigned_at + backend.config.timeout.connect:
            self.connect_failed(now, timed_out=False)
            return
        self.stage = RETRYING
        self.deadline = now + EXHAUSTED_DELAY

    def connect_failed(self, now: float, *, timed_out: bool, error: int = 0) -> None:
        """An attempt failed, with this error number: retry, redispatch or give up, in HAProxy's order."""
        backend, server = self.backend, self.server
        assert backend is not None
        assert server is not None
        self.orders |= DROP
        server.connect_errors += 1
        server.observed(4, False, "L4 unsuccessful connection")
        if self.attempts >= backend.config.retries or not backend.retries_connect:
            self.why = (
                unconnected(server, backend.config.timeout.connect, self.attempts)
                if timed_out
                else refused(server, error, self.attempts)
            )
            self._fail(503, "sC" if timed_out else "SC", now)
            return
        self.attempts += 1
        server.retries += 1
        if self._leaves(server) and len(backend.rotation) > 1:
            self._redispatch(now)
            return
        self.stage = RETRYING
        # A time-out has already been a wait.
        self.deadline = now if timed_out else now + min(RETRY_DELAY, backend.config.timeout.connect)

    def _leaves(self, failed: Server) -> bool:
        """May another server be tried?  A persistent client leaves its own only at the interval."""
        backend = self.backend
        assert backend is not None
        interval = backend.config.redispatch
        if not interval or not self.attempts or (self.forces_persistence and failed is self.wanted):
            return False
        if not failed.usable:
            return True
        rotation = backend.rotation
        if len(rotation) - (failed in rotation) < 1:
            return False
        if (failed is not self.wanted or self.redispatched) and len(rotation) > 1:
            return True
        # Every so many tries; or so many before the last.
        each = interval if interval > 0 else backend.config.retries + 1 + interval
        return each > 0 and self.attempts % each == 0

    def _redispatch(self, now: float) -> None:
        failed = self._release()
        self.redispatched = True
        self.server = None
        if failed is not None:
            failed.redispatches += 1
        self._place(now, None, failed)

    def _retry(self, now: float) -> None:
        """The wait before another attempt is over."""
        assert self.backend is not None
        assert self.server is not None
        if self._leaves(self.server):
            self._redispatch(now)
        else:
            self._connect(now)

    def _greeting(self, server: Server) -> bytes:
        """The PROXY header with which a connection to `server` begins."""
        source = Place(self.source, self.port)
        if server.send_proxy is ProxyVersion.V1:
            return version1(source, self.local)
        tlvs = []
        conveyed = self.conveyed
        authority = conveyed.tlv(AUTHORITY) if conveyed is not None else b""
        if "authority" in server.proxy_v2_options and authority:
            tlvs.append((AUTHORITY, authority))
        if "unique-id" in server.proxy_v2_options and self.about is not None:
            identity = self.about.unique_id
            if identity is not None:
                tlvs.append((UNIQUE_ID, identity))
        return version2(source, self.local, tuple(tlvs), checksum="crc32c" in server.proxy_v2_options)

    def _release(self) -> Server | None:
        """Give the slot back; `server` stays named for the log."""
        server = self.server
        if self.holds_slot and server is not None and self.backend is not None:
            self.holds_slot = False
            self.backend.release(server)
        return server

    def _leave(self) -> None:
        """Let go of queue, slot and connection, whatever we hold."""
        if self.backend is not None:
            self.backend.leave_queue(self)
        if self.stage >= CONNECTING:
            self.orders = (self.orders & ~(CONNECT | RELEASE | PARK)) | DROP
        self._release()
        self.stage = NONE
        self.to_server = b""

    def _admitted(self, now: float) -> bool:
        """Apply the rules about connections; false when it was rejected, before a byte was read."""
        frontend = self.frontend
        if frontend.asks and self.about is None:
            self.about = About(self)
        for rule in frontend.rules.connection:
            if rule.test is None or rule.test(self):
                verdict = rule.act(self)
                if isinstance(verdict, Allow):
                    break
                if isinstance(verdict, Reject):
                    self._reject(verdict, now)
                    return False
        if self.tracks is not None:
            self.tracks.admitted(int(now * 1000))
        return True

    def let_go(self, now: float) -> None:
        """The client's socket is closed: nothing is tracked any more."""
        tracks = self.tracks
        if tracks is not None:
            tick = int(now * 1000)
            if not self.frontend.http:
                tracks.carried(self.received, self.sent, tick)
            tracks.end(tick)

    def _reject(self, verdict: Reject, now: float) -> None:
        """End without an answer."""
        frontend = self.frontend
        frontend.refused("rejected by a rule")
        self.to_client = b""
        self.ended = True
        self.orders |= CLOSE | RESET | (SILENT if verdict.silent else 0)
        self.deadline = now

    def _fail(self, status: int, flags: str, now: float) -> None:
        """End the request with an error of ours (`status`) and the log flags."""
        raise NotImplementedError

    def _named(self) -> bytes:
        """`source:port` of a log line."""
        if not self._client:
            self._client = b"%b:%d" % (self.source.encode(), self.port)
        return self._client

    def forget_name(self) -> None:
        """A rule has given the client another."""
        self._client = b""

    def _no_server(self) -> bytes:
        """`backend/server` of a log line when there was no server."""
        side = self.backend.label if self.backend is not None else self.frontend.label
        return side + (b"/<CACHE>" if self.about is not None and self.about.is_kept else b"/<NOSRV>")

    def _tcplog(self, begun: float, flags: str, now: float) -> bytes:
        """A line of what `option tcplog` writes."""
        frontend, backend, server = self.frontend, self.backend, self.server
        placed, assigned, connected = self.placed_at, self.assigned_at, self.connected_at
        return b"%b [%b] %b %b %d/%d/%d %d %b %d/%d/%d/%d/%b%d %d/%d" % (
            self._named(),
            frontend.dates.stamp(begun),
            frontend.label,
            server.label if server is not None else self._no_server(),
            int((assigned - placed) * 1000) if placed != inf and assigned != inf else -1,
            int((connected - assigned) * 1000) if assigned != inf and connected != inf else -1,
            int((now - begun) * 1000),
            self.sent,
            flags.encode(),
            frontend.process.current,
            frontend.current,
            backend.current if backend is not None else 0,
            server.current if server is not None else 0,
            b"+" if self.redispatched else b"",
            self.attempts,
            self.server_queue,
            self.backend_queue,
        )

    def _went_wrong(self, flags: str, status: int) -> bool:
        """Was there an error, a retry or a failing server?  What a proxy answers itself (L) is none."""
        return (
            flags[0] not in "-L"
            or self.redispatched
            or status >= 500
            or (flags[0] == "-" and self.attempts > 0)
        )

    def _templated(self, level: int, flags: str, now: float) -> None:
        """Log by the frontend's format."""
        frontend = self.frontend
        assert frontend.line is not None
        line = self.about.line(frontend.line, flags, now)
        data = b"" if frontend.structured is None else self.about.line(frontend.structured, flags, now)
        frontend.lines += 1
        frontend.log(level, line, data)

    # -- a tunnel -----------------------------------------------------------------------

    def _open_tunnel(self, now: float) -> None:
        frontend = self.frontend
        assert self.backend is not None
        timeout = self.backend.config.timeout
        tunnel = self.tunnel_timeout
        self.silence = Silence(
            frontend.client_timeout if tunnel == inf else tunnel,
            self.server_timeout if tunnel == inf else tunnel,
            frontend.client_fin,
            timeout.server_fin,
            now,
        )
        self.stage = TUNNEL
        if self.client_ended:
            self.silence.client_ended(now)
        self.deadline = self.silence.deadline()

    def _tunnel_client_data(self, data: bytes, now: float) -> None:
        if self.client_ended:
            return  # it was silent for too long before
        silence = self.silence
        assert silence is not None
        if self.to_server:
            self.to_server += data
            silence.client_spoke(now, waiting=len(self.to_server), passed=False)
        else:
            self.to_server = data
            silence.client_spoke(now, waiting=len(data), passed=True)
        self.deadline = silence.deadline()

    def _tunnel_server_data(self, data: bytes, now: float) -> None:
        if self.server_ended:
            return
        silence = self.silence
        assert silence is not None
        self.sent += len(data)
        if self.to_client:
            self.to_client += data
            silence.server_spoke(now, waiting=len(self.to_client), passed=False)
        else:
            self.to_client = data
            silence.server_spoke(now, waiting=len(data), passed=True)
        self.deadline = silence.deadline()

    def _tunnel_client_took(self, now: float) -> None:
        silence = self.silence
        assert silence is not None
        silence.client_took(now, waiting=len(self.to_client), server_ended=self.server_ended)
        self.deadline = silence.deadline()
        self._end_when_over(now)

    def server_took(self, now: float) -> None:
        """The server is slow: not all could be sent, or some of what was held up went out."""
        if self.stage != TUNNEL:
            self.flushed(now)
            return
        silence = self.silence
        assert silence is not None
        silence.server_took(now, waiting=len(self.to_server), client_ended=self.client_ended)
        self.deadline = silence.deadline()
        self._end_when_over(now)

    def _tunnel_client_eof(self, now: float) -> None:
        silence = self.silence
        assert silence is not None
        self.client_ended = True
        self.orders |= SHUT_SERVER
        silence.client_ended(now)
        self.deadline = silence.deadline()
        self._end_when_over(now)

    def _tunnel_server_eof(self, now: float) -> None:
        silence = self.silence
        assert silence is not None
        self.server_ended = True
        self.orders |= SHUT_CLIENT
        silence.server_ended(now)
        self.deadline = silence.deadline()
        self._end_when_over(now)

    def _tunnel_timeout(self, now: float) -> None:
        """Whoever was silent for too long has ended; with one who takes nothing all of it has."""
        silence = self.silence
        assert silence is not None
        deaf = "cD" if silence.client_deaf_at <= now else "sD" if silence.server_deaf_at <= now else ""
        client, server = silence.client_silent_at <= now, silence.server_silent_at <= now
        if not silence.flags:
            silence.flags = "cD" if client else deaf or ("sD" if server else "")
            side, patience = silence.patience(silence.flags)
            took = "took nothing" if deaf == silence.flags and not client else "was silent"
            self.why = f"the {side} {took} for {spelled(patience)}" if side else ""
        if deaf:
            if deaf == "cD":
                self.to_client = b""
            self._end_tunnel(silence.flags, now)
            return
        self.deadline = silence.deadline()
        if client:
            self._tunnel_client_eof(now)
        if server and self.stage == TUNNEL:
            self._tunnel_server_eof(now)

    def _end_when_over(self, now: float) -> None:
        if self.client_ended and self.server_ended and not self.to_client and not self.to_server:
            self._end_tunnel(self._ended_as("--"), now)

    def _ended_as(self, flags: str) -> str:
        """The flags of a tunnel that ends: what happened first counts."""
        silence = self.silence
        return (silence.flags if silence is not None else "") or flags

    def _end_tunnel(self, flags: str, now: float) -> None:
        """All of it is over."""
        raise NotImplementedError

    # -- what the endpoint tells ----------------------------------------------------------

    def start(self, now: float) -> None:
        """The connection was accepted."""
        raise NotImplementedError

    def client_data(self, data: bytes, now: float) -> None:
        """Bytes from the client."""
        raise NotImplementedError

    def server_data(self, data: bytes, now: float) -> None:
        """Bytes from the server."""
        raise NotImplementedError

    def client_eof(self, now: float) -> None:
        """The client sends no more, but may still listen."""
        raise NotImplementedError

    def client_gone(self, now: float) -> None:
        """The client connection is broken."""
        raise NotImplementedError

    def server_eof(self, now: float, *, broken: bool) -> None:
        """The server sends no more; `broken` for a reset."""
        raise NotImplementedError

    def timeout(self, now: float) -> None:
        """`deadline` has passed."""
        raise NotImplementedError

    def again(self, now: float) -> None:
        """`AGAIN` was ordered and everything is sent."""
        raise NotImplementedError

    def flushed(self, now: float) -> None:
        """The client is slow: not all could be sent, or some of what was held up went out."""
        raise NotImplementedError

    def shut_down(self, now: float, *, at_once: bool, flag: str = "K") -> None:
        """The listener or the server is going: end now (`at_once`), or when the current request is served.

        `flag` is why, for the log: K by us, D the server went down, U a better one is back.
        """
        raise NotImplementedError

    def buffered(self) -> int:
        """Received bytes that wait for their turn (pipelined requests)."""
        return 0
