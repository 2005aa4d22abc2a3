"""One server of a backend at run time: what it is, whether it may be used, and what it carries.  Hot.

Pure: no sockets, no clock.  `proxy.backend` decides what it gets.
"""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Any

from hapair.balance.balancer import SCALE
from hapair.config.model import HttpReuse
from hapair.proxy.origin import Origin
from hapair.proxy.queue import Queue

if TYPE_CHECKING:
    from hapair.config import model
    from hapair.proxy.backend import Backend
    from hapair.proxy.tally import Tally


class Server:
    """One server: what it is, whether it may be used, and what it carries now."""

    __slots__ = (
        "address",
        "administrative",
        "back_at",
        "backend",
        "backup",
        "bytes_in",
        "bytes_out",
        "checked",
        "connect_errors",
        "cookie",
        "current",
        "entry",
        "error_limit",
        "errors_in_row",
        "highest",
        "host",
        "idle",
        "idle_elsewhere",
        "index",
        "initial_weight",
        "keep_alive",
        "label",
        "max_reuse",
        "maxconn",
        "maxqueue",
        "minconn",
        "name",
        "non_stick",
        "number",
        "observe",
        "origin",
        "pool_max_conn",
        "pool_purge_delay",
        "port",
        "private",
        "proxy_v2_options",
        "queue",
        "queued_elsewhere",
        "redispatches",
        "response_errors",
        "retired",
        "retries",
        "send_proxy",
        "slowstart",
        "suspended",
        "tally",
        "tells_outgoing",
        "throttle",
        "total",
        "up",
        "warmth",
        "weight",
    )

    def __init__(self, backend: Backend, index: int, config: model.Server, address: object) -> None:
        self.backend = backend
        self.index = index
        self.name = config.name
        self.label = f"{backend.name}/{config.name}".encode("latin-1", "replace")
        """Both names as a log line has them."""
        self.number = config.id
        self.non_stick = config.non_stick
        """Stick rules do not remember that it served."""
        self.host = config.host
        self.port = config.port
        self.address = address
        """What `connect` takes; opaque here."""
        self.weight = self.initial_weight = config.weight
        self.backup = config.backup
        self.maxconn = max(config.maxconn, config.minconn) or inf
        self.minconn = config.minconn or self.maxconn
        self.maxqueue = config.maxqueue or inf
        self.pool_max_conn = config.pool_max_conn
        self.pool_purge_delay = config.pool_purge_delay
        self.max_reuse = inf if config.max_reuse is None else config.max_reuse
        self.keep_alive = backend.config.srvtcpka
        """Its connections are probed by the kernel."""
        self.send_proxy = config.send_proxy
        self.proxy_v2_options = config.proxy_v2_options
        self.origin = Origin(config.source) if config.source is not None else None
        """Where its connections come from; None: the kernel's choice."""
        self.private = (
            backend.config.http_reuse is HttpReuse.NEVER
            or config.send_proxy is not None
            or (config.source is not None and bool(config.source.usesrc))
        )
        """A connection belongs to one client: it is his, or it began with his name or comes from him."""
        self.tells_outgoing = False
        """Rules of its backend want to know our address towards it."""
        self.cookie = config.cookie.encode() if config.cookie is not None else None
        self.checked = config.check is not None
        self.up = True
        """What the health checks say; a server starts up (HAProxy's law)."""
        self.administrative = "maint" if config.disabled else "ready"
        """`ready`, `drain` or `maint`."""
        self.suspended = False
        """It stands aside: for the sorry server, or as one that is not needed."""
        self.current = 0
        """Requests (HTTP) or connections (TCP) that hold a slot now."""
        self.tally: Tally | None = None
        self.entry = -1
        """Where other workers see what runs here."""
        self.queued_elsewhere = 0
        self.idle_elsewhere = 0
        """In the workers, as of the last look; for whoever shows it."""
        self.queue = Queue()
        self.idle: list[Any] = []
        """Connections without a request, the latest last; opaque here."""
        self.retired = False
        """A reload replaced it: what still runs on it is the last, and no connection is kept."""
        self.slowstart = ceil(config.slowstart)
        """Whole seconds, as HAProxy counts them."""
        self.back_at = -inf
        """When it came back, while it is not yet at its full; else -inf."""
        self.warmth = SCALE
        """Sixteenths of its weight that it has now."""
        self.throttle = 100
        """Percent of its limit that it has now."""
        self.total = 0
        self.highest = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.observe = config.observe or 0
        """4 or 7: the layer at which traffic tells of its health; 0: it does not."""
        self.error_limit = config.error_limit
        self.errors_in_row = 0
        self.connect_errors = 0
        self.response_errors = 0
        self.retries = 0
        self.redispatches = 0

    def limit(self) -> float:
        """Slots that it has now: `minconn`, more as its backend fills, `maxconn` when that is full."""
        limit = self.maxconn
        if self.minconn != self.maxconn:
            backend = self.backend
            load = backend.current
            if self.tally is not None:
                load += self.tally.elsewhere(backend.entry)
            if load < backend.fullconn:
                limit = max(self.minconn, load * self.maxconn // backend.fullconn)
        return limit if self.throttle == 100 else max(1, limit * self.throttle // 100)

    def full(self) -> bool:
        """Are all slots taken, here and in the other workers?"""
        if self.tally is None:
            return self.current >= self.limit()
        return self.current + self.tally.elsewhere(self.entry) >= self.limit()

    def warm_up(self, now: float) -> bool:
        """Begin, or go on, to grow to its full; returns whether it is still on the way."""
        if self.back_at == -inf:
            return False
        elapsed, whole = int(now - self.back_at), self.slowstart
        if not self.up or elapsed >= whole:
            self.back_at, self.warmth, self.throttle = -inf, SCALE, 100
            return False
        self.warmth = (SCALE * elapsed + whole) // whole if elapsed else 1
        self.throttle = 100 * elapsed // whole
        return True

    def observed(self, layer: int, ok: bool, what: str) -> None:
        """Count what traffic told of it; a failed connection counts at both layers, a good one at its own."""
        if layer != self.observe and (ok or not self.observe or layer == 7):
            return
        if ok:
            self.errors_in_row = 0
            return
        self.errors_in_row += 1
        if self.errors_in_row >= self.error_limit:
            self.errors_in_row = 0
            self.backend.suspected.append((self, what))

    @property
    def usable(self) -> bool:
        """May it serve at all, if only persistent sessions?"""
        return self.up and self.administrative != "maint" and not self.suspended

    @property
    def eligible(self) -> bool:
        """May the balancing send new sessions here?"""
        return self.up and self.administrative == "ready" and self.weight > 0 and not self.suspended
