"""One client connection, without its socket: what every mode has in common.

A machine that mutates only itself (the data plane's dialect of purity).  The
endpoint calls it with bytes, ends and timeouts; afterwards it reads

- `to_client`, `to_server`: bytes to send, the machine never touches them again
  but to append;
- `orders`: what else to do, one bit each;
- `deadline`: when to call `timeout`; `inf` for never.

Getting a server (place, queue, connect, retry, redispatch) and relaying a
tunnel are the same for TCP and HTTP and live here.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapair.proxy.backend import Backend, Server
    from hapair.proxy.frontend import Frontend

# Orders to the endpoint.
CONNECT = 1
"""Get a connection to `server`: a pooled one if `may_reuse`, else a new one."""
RELEASE = 2
"""The server connection is clean: it may serve somebody else."""
DROP = 4
"""Close the server connection."""
AGAIN = 8
"""Call `again` once `to_client` and `to_server` are empty."""
CLOSE = 16
"""Close the client connection once `to_client` is empty."""
RESET = 32
"""Close it so that the client cannot take what it got for complete."""
LINGER = 64
"""With CLOSE: the client may still be sending; let it read our answer first."""
SHUT_CLIENT = 128
"""Tell the client that nothing more comes, once `to_client` is empty."""
SHUT_SERVER = 256
"""The same towards the server, once `to_server` is empty."""

# Where a session stands with its server.
NONE, QUEUED, CONNECTING, RETRYING, WAITING, RECEIVING, RECEIVED, TUNNEL = range(8)

RETRY_DELAY = 1.0
"""Seconds before the same server is tried again; at most `timeout connect`."""


class Session:
    """Base of the HTTP and TCP machines."""

    def __init__(self, frontend: Frontend, source: str, port: int, now: float) -> None:
        self.frontend = frontend
        self.source = source
        self.port = port
        self.to_client = b""
        self.to_server = b""
        self.orders = 0
        self.deadline = inf
        self.backend: Backend | None = None
        self.server: Server | None = None
        self.stage = NONE
        self._wanted: Server | None = None
        """The server that the client's cookie names."""
        self.may_reuse = False
        self.client_ended = False
        """The client will send no more."""
        self.server_ended = False
        self.ended = False
        """Nothing more happens here; the endpoint only flushes and closes."""
        self.holds_slot = False
        """`server` counts us; false once it only names who served, for the log."""
        self.waiting_in: deque[Any] | None = None
        self.granted: Server | None = None
        self.server_queue = 0
        """Our place in the server's queue, from 1; 0 when we did not wait there."""
        self.backend_queue = 0
        self.endpoint: Any = None
        """Whoever owns the sockets; only carried for the queues, never called."""
        self.received = 0
        """Bytes from the client."""
        self.sent = 0
        """Bytes for the client, for this log line."""
        self.accepted_at = now
        self.placed_at = inf
        self.assigned_at = inf
        self.connected_at = inf
        self.attempts = 0
        """Failed connection attempts."""
        self.redispatched = False

    # -- a server ---------------------------------------------------------------------

    def _place(self, now: float, wanted: Server | None, avoid: Server | None = None) -> None:
        """Ask the backend for a server and go on from there."""
        backend = self.backend
        assert backend is not None
        if self.placed_at == inf:
            self.placed_at = now
        server = backend.place(self, wanted, avoid)
        if server is not None:
            self._assigned(server, now)
        elif self.waiting_in is not None:
            self.stage = QUEUED
            self.deadline = now + backend.config.timeout.queue
        else:
            self._fail(503, "SC", now)

    def from_queue(self, now: float) -> None:
        """Our turn came (`granted`), or the server that we waited for is gone."""
        if self.stage != QUEUED or self.waiting_in is not None:
            return  # a call that came too late: meanwhile we gave up, and perhaps wait again
        server, self.granted = self.granted, None
        if server is not None:
            self._assigned(server, now)
        else:
            self._place(now, None)

    def _assigned(self, server: Server, now: float) -> None:
        self.server = server
        self.holds_slot = True
        self.assigned_at = now
        self._connect(now)

    def _connect(self, now: float) -> None:
        assert self.backend is not None
        self.stage = CONNECTING
        self.orders |= CONNECT
        self.deadline = now + self.backend.config.timeout.connect

    def connected(self, now: float, *, reused: bool) -> None:
        """The server connection stands; `reused` when it came from the pool."""
        raise NotImplementedError

    def connect_failed(self, now: float, *, timed_out: bool) -> None:
        """An attempt failed: retry, redispatch or give up, in HAProxy's order."""
        backend, server = self.backend, self.server
        assert backend is not None
        assert server is not None
        self.orders |= DROP
        server.connect_errors += 1
        retries = backend.config.retries
        if self.attempts >= retries:
            self._fail(503, "sC" if timed_out else "SC", now)
            return
        self.attempts += 1
        server.retries += 1
        if self._leaves(server):
            self._redispatch(now)
            return
        self.stage = RETRYING
        # A time-out has already been a wait.
        self.deadline = now if timed_out else now + min(RETRY_DELAY, backend.config.timeout.connect)

    def _leaves(self, failed: Server) -> bool:
        """May another server be tried?  A persistent client leaves its own only at the last try."""
        backend = self.backend
        assert backend is not None
        if not backend.config.redispatch:
            return False
        last = self.attempts == backend.config.retries
        return not failed.usable or (len(backend.rotation) > 1 and (last or failed is not self._wanted))

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
            self.orders = (self.orders & ~(CONNECT | RELEASE)) | DROP
        self._release()
        self.stage = NONE
        self.to_server = b""

    def _fail(self, status: int, flags: str, now: float) -> None:
        """End the request with an error of ours (`status`) and the log flags."""
        raise NotImplementedError

    def _log_names(self) -> str:
        """`frontend backend/server` of a log line."""
        backend = self.backend.name if self.backend is not None else self.frontend.name
        return f"{self.frontend.name} {backend}/{self.server.name if self.server is not None else '<NOSRV>'}"

    def _log_load(self) -> str:
        """`ac/fc/bc/sc/rc sq/bq` of a log line."""
        frontend, backend, server = self.frontend, self.backend, self.server
        return (
            f"{frontend.process.current}/{frontend.current}/{backend.current if backend is not None else 0}/"
            f"{server.current if server is not None else 0}/"
            f"{'+' if self.redispatched else ''}{self.attempts} {self.server_queue}/{self.backend_queue}"
        )

    # -- a tunnel -----------------------------------------------------------------------

    def _open_tunnel(self, now: float) -> None:
        self.stage = TUNNEL
        self._tunnel_moved(now)

    def _tunnel_moved(self, now: float) -> None:
        """Something passed: the idle time starts again."""
        assert self.backend is not None
        self.deadline = now + min(self.frontend.client_timeout, self.backend.config.timeout.server)

    def _tunnel_client_data(self, data: bytes, now: float) -> None:
        self.to_server = self.to_server + data if self.to_server else data
        self._tunnel_moved(now)

    def _tunnel_server_data(self, data: bytes, now: float) -> None:
        self.to_client = self.to_client + data if self.to_client else data
        self.sent += len(data)
        self._tunnel_moved(now)

    def _tunnel_client_eof(self, now: float) -> None:
        self.client_ended = True
        self.orders |= SHUT_SERVER
        self._tunnel_moved(now)

    def _tunnel_server_eof(self, now: float) -> None:
        self.server_ended = True
        self.orders |= SHUT_CLIENT
        self._tunnel_moved(now)

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
        """A receiver is slow: not all could be sent, or some of what was held up went out."""
        raise NotImplementedError

    def shut_down(self, now: float, *, at_once: bool) -> None:
        """The listener is going: end now (`at_once`), or as soon as the current request is served."""
        raise NotImplementedError

    def buffered(self) -> int:
        """Received bytes that wait for their turn (pipelined requests)."""
        return 0
