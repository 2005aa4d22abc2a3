"""A frontend at run time: where a request goes and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from hapair.config.model import LogFormat, Mode
from hapair.http1.head import STANDARD, Limits, Request
from hapair.http1.memo import LONGEST, Memo
from hapair.http1.rewrite import marks
from hapair.proxy.compression import compression
from hapair.proxy.faults import Faults
from hapair.proxy.rate import Rate
from hapair.proxy.ruled import FrontendRules
from hapair.tables.directory import NO_TABLES, Directory

if TYPE_CHECKING:
    from hapair.config import model
    from hapair.http1.rewrite import Marks
    from hapair.proxy.backend import Backend
    from hapair.proxy.compression import Compression
    from hapair.proxy.log_line import Dates
    from hapair.proxy.tally import Tally
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import References
    from hapair.rules.values import Value


class Process:
    """What the whole process counts."""

    __slots__ = (
        "comp_rate",
        "current",
        "draw",
        "entry",
        "faults",
        "highest",
        "maxcomprate",
        "maxconn",
        "node",
        "numbered",
        "on_empty",
        "pid",
        "tally",
        "total",
        "variables",
        "waiting",
    )

    def __init__(self, maxconn: int) -> None:
        self.on_empty: Callable[[], None] = lambda: None
        """Called when the last client has left."""
        self.waiting: list[Any] = []
        """Listeners that hold back until there is room; opaque here."""
        self.maxconn = maxconn
        self.maxcomprate = 0
        """Bytes a second that are compressed at most; 0 for any number."""
        self.comp_rate = Rate()
        """Of bytes before compression; counted only where it is limited."""
        self.node = ""
        self.pid = 0
        self.draw: Callable[[int], int] = lambda _below: 0
        """A number from 0 by chance; whoever owns the process gives it."""
        self.faults = Faults()
        self.current = 0
        self.highest = 0
        self.total = 0
        self.numbered = 0
        """Requests and streams that were given a number of their own (%rt)."""
        self.variables: dict[str, Value | None] = {}
        """Those of rules whose names begin with `proc.`; they outlive a reload."""
        self.tally: Tally | None = None
        """What the other workers do; None without any."""
        self.entry = -1

    def full(self) -> bool:
        """Are there as many clients as may be, here and in the other workers?"""
        if self.tally is None:
            return self.current >= self.maxconn
        return self.current + self.tally.elsewhere(self.entry) >= self.maxconn

    def compresses_enough(self, now: float) -> bool:
        """Is so much compressed that a response which begins now is left as it is (maxcomprate)?"""
        limit = self.maxcomprate
        if not limit:
            return False
        return self.comp_rate.over(limit if self.tally is None else self.tally.part(limit), now)


Log = Callable[[int, bytes, bytes], None]
"""Severity, line, and structured data for RFC 5424."""
Responder = Callable[[Request], bytes | None]


class Frontend:
    """One frontend: compiled rules, shared counters.  Sessions hold on to theirs across a reload."""

    __slots__ = (
        "asks",
        "backends",
        "body_rate",
        "buffers",
        "by_path",
        "bytes_in",
        "bytes_out",
        "cache_hits",
        "cache_lookups",
        "client_fin",
        "client_timeout",
        "comp_in",
        "comp_out",
        "comp_rsp",
        "compresses",
        "compression_for",
        "config",
        "current",
        "dates",
        "default_backend",
        "dontlog_normal",
        "dontlognull",
        "entry",
        "highest",
        "http",
        "httpclose",
        "id_header",
        "idle_timeout",
        "inspect_delay",
        "judges_ends",
        "label",
        "limits",
        "line",
        "lines",
        "log",
        "log_clean",
        "log_format",
        "logasap",
        "marks_for",
        "monitor_uri",
        "name",
        "patience",
        "process",
        "rate",
        "refusals",
        "request_errors",
        "request_timeout",
        "requests",
        "responder",
        "response_limits",
        "responses",
        "routes",
        "rules",
        "separates_errors",
        "server_close",
        "stopping",
        "structured",
        "tarpit",
        "tcplog",
        "tells_outgoing",
        "total",
    )

    def __init__(
        self,
        config: model.Frontend,
        backends: Mapping[str, Backend],
        process: Process,
        dates: Dates,
        log: Log,
        responder: Responder | None = None,
        tables: Directory = NO_TABLES,
        log_clean: Log | None = None,
        references: References | None = None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.label = config.name.encode("latin-1", "replace")
        """The name in a log line."""
        self.backends = backends
        """Every backend by name; a reload changes what is in it."""
        self.process = process
        self.dates = dates
        self.log = log
        """Buffers, never blocks."""
        self.log_clean = log_clean or log
        """The same for a line that is known to have no control character."""
        self.responder = responder
        """Answers requests itself (statistics); None from it: route as usual."""
        self.http = config.mode is Mode.HTTP
        self.client_timeout = config.timeout.client
        self.client_fin = config.timeout.client_fin
        self.inspect_delay = config.tcp_request_inspect_delay
        self.request_timeout = config.timeout.http_request
        self.patience = min(config.timeout.http_request, config.timeout.client)
        """Seconds that a request may take to come."""
        self.idle_timeout = min(config.timeout.http_keep_alive, config.timeout.client)
        self.httpclose = config.httpclose
        self.server_close = config.http_server_close or config.httpclose
        self.buffers = config.http_buffer_request
        limits = config.http_limits
        self.limits = Limits(limits.request_line or limits.head, limits.head, limits.headers)
        """Of requests."""
        self.response_limits = Limits(
            head=max(limits.head, STANDARD.head), headers=max(limits.headers, STANDARD.headers)
        )
        """Servers are trusted with no less than what is usual."""
        self.body_rate = config.http_body_min_rate
        self.log_format: LogFormat | str | None = config.log_format
        self.tcplog = config.log_format is LogFormat.TCPLOG
        self.dontlognull = config.dontlognull
        self.dontlog_normal = config.dontlog_normal
        self.separates_errors = config.log_separate_errors
        self.judges_ends = config.dontlog_normal or config.log_separate_errors
        """Logging depends on whether it went well."""
        self.logasap = config.logasap and config.log_format is not None
        self.default_backend = config.default_backend
        self.rules = FrontendRules(config, tables, references)
        self.line = self.rules.line
        """Makes the log lines; None where the session writes httplog or tcplog itself, which is faster."""
        self.structured = self.rules.structured
        """Makes their structured data."""
        self.lines = 0
        """Lines that were made so."""
        self.id_header = config.unique_id_header.encode() if config.unique_id_header is not None else b""
        """Tells servers each request's own number."""
        self.tells_outgoing = self.rules.outgoing
        """Somebody wants to know our address towards the server."""
        self.asks = self.rules.asks
        """Its rules want an `About` of each request."""
        self.routes = self.rules.routes
        self.by_path = Memo() if self.rules.by_path else None
        """Where paths were routed to, by name, when nothing else counts."""
        self.compresses = config.compression is not None
        self.monitor_uri = config.monitor_uri.encode() if config.monitor_uri is not None else b""
        self.tarpit = config.timeout.tarpit if config.timeout.tarpit != inf else 10.0
        self.stopping = False
        self.current = 0
        self.highest = 0
        self.total = 0
        self.rate = Rate()
        """Of accepted connections; counted only where it is limited."""
        self.requests = 0
        self.request_errors = 0
        self.refusals: dict[str, int] = {}
        """Reason -> how often; the reasons are ours, so there are few."""
        self.responses = [0] * 6
        """By the first digit of the status; 0 for any other."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.cache_lookups = self.cache_hits = 0
        self.comp_in = self.comp_out = self.comp_rsp = 0
        """Bytes before and after compression, and the responses."""
        self.entry = -1
        self.marks_for: dict[str, tuple[Backend, Marks | None]] = {}
        self.compression_for: dict[str, tuple[Backend | None, Compression | None]] = {}

    def full(self) -> bool:
        """As `Process.full`, by the frontend's own limit."""
        tally = self.process.tally
        if tally is None:
            return self.current >= self.config.maxconn
        return self.current + tally.elsewhere(self.entry) >= self.config.maxconn

    def tell_current(self) -> None:
        """Let the other workers know what runs here."""
        process = self.process
        if process.tally is not None:
            process.tally.note(process.entry, process.current)
            process.tally.note(self.entry, self.current)

    def route(self, facts: Facts) -> Backend | None:
        """The first `use_backend` whose condition holds, else the default."""
        memo = self.by_path
        if memo is None:
            return self._ruled(facts)
        path = facts.path
        if len(path) > LONGEST:
            return self._ruled(facts)
        name: str | None = memo.find(path)
        if name is not None:
            return self.backends[name]
        backend = self._ruled(facts)
        if backend is not None:
            memo.keep(path, backend.name)
        return backend

    def _ruled(self, facts: Facts) -> Backend | None:
        for test, name, chosen in self.routes:
            if test is None or test(facts):
                if chosen is None:
                    return self.backends[name]
                backend = self.backends.get(chosen(facts).decode("latin-1"))
                if backend is not None and backend.http == self.http:
                    return backend
                break  # HAProxy's law: a name that leads nowhere is for the default
        default = self.default_backend
        return self.backends[default] if default is not None else None

    def marks(self, backend: Backend) -> Marks | None:
        """The headers about the client that requests to `backend` get."""
        known = self.marks_for.get(backend.name)
        if known is not None and known[0] is backend:
            return known[1]
        made = marks(self.config, backend.config)
        self.marks_for[backend.name] = backend, made
        return made

    def compression(self, backend: Backend | None) -> Compression | None:
        """What is compressed of what `backend`, or a cache before any backend is chosen, answers."""
        name = backend.name if backend is not None else ""
        known = self.compression_for.get(name)
        if known is not None and known[0] is backend:
            return known[1]
        made = compression(self.config, backend.config if backend is not None else None)
        self.compression_for[name] = backend, made
        return made

    def adopt_counters(self, before: Frontend) -> None:
        """Go on counting where the frontend of the same name was before a reload."""
        self.total = before.total
        self.highest = before.highest
        self.rate = before.rate
        self.requests = before.requests
        self.request_errors = before.request_errors
        self.refusals = dict(before.refusals)
        self.responses = list(before.responses)
        self.lines = before.lines
        self.bytes_in = before.bytes_in
        self.bytes_out = before.bytes_out
        self.cache_lookups, self.cache_hits = before.cache_lookups, before.cache_hits
        self.comp_in, self.comp_out, self.comp_rsp = before.comp_in, before.comp_out, before.comp_rsp

    def refused(self, why: str) -> None:
        """Count a request that was not let in, by reason."""
        self.request_errors += 1
        self.refusals[why] = self.refusals.get(why, 0) + 1
