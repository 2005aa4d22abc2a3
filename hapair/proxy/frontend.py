"""A frontend at run time: where a request goes and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hapair.config.model import LogFormat, Mode
from hapair.http1.head import Request
from hapair.http1.rewrite import forwarded_for
from hapair.rules.acl import compile_acl, compile_condition

if TYPE_CHECKING:
    from hapair.config import model
    from hapair.http1.rewrite import ForwardedFor
    from hapair.proxy.backend import Backend
    from hapair.proxy.log_line import Dates
    from hapair.rules.facts import Facts


class Process:
    """What the whole process counts."""

    __slots__ = ("current", "highest", "maxconn", "on_empty", "total", "waiting")

    def __init__(self, maxconn: int) -> None:
        self.on_empty: Callable[[], None] = lambda: None
        """Called when the last client has left."""
        self.waiting: list[Any] = []
        """Listeners that hold back until there is room; opaque here."""
        self.maxconn = maxconn
        self.current = 0
        self.highest = 0
        self.total = 0


Log = Callable[[int, bytes], None]
Responder = Callable[[Request], bytes | None]


class Frontend:
    """One frontend: compiled rules, shared counters.  Sessions hold on to theirs across a reload."""

    __slots__ = (
        "backends",
        "bytes_in",
        "bytes_out",
        "client_timeout",
        "config",
        "current",
        "dates",
        "forwardfor_rules",
        "highest",
        "http",
        "keep_alive_timeout",
        "log",
        "log_format",
        "name",
        "process",
        "refusals",
        "request_errors",
        "request_timeout",
        "requests",
        "responder",
        "responses",
        "routes",
        "stopping",
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
    ) -> None:
        self.config = config
        self.name = config.name
        self.backends = backends
        """Every backend by name; a reload changes what is in it."""
        self.process = process
        self.dates = dates
        self.log = log
        """Takes (severity, line); buffers, never blocks."""
        self.responder = responder
        """Answers requests itself (statistics); None from it: route as usual."""
        self.http = config.mode is Mode.HTTP
        self.client_timeout = config.timeout.client
        self.request_timeout = config.timeout.http_request
        self.keep_alive_timeout = config.timeout.http_keep_alive
        self.log_format: LogFormat | None = config.log_format
        acls = {name: compile_acl(expressions) for name, expressions in config.acl.items()}
        self.routes: list[tuple[Callable[[Facts], bool] | None, str]] = [
            (compile_condition(use.condition, acls) if use.condition is not None else None, use.backend)
            for use in config.use_backend
        ]
        if config.default_backend is not None:
            self.routes.append((None, config.default_backend))
        self.stopping = False
        self.current = 0
        self.highest = 0
        self.total = 0
        self.requests = 0
        self.request_errors = 0
        self.refusals: dict[str, int] = {}
        """Reason -> how often; the reasons are ours, so there are few."""
        self.responses = [0] * 6
        """By the first digit of the status; 0 for any other."""
        self.bytes_in = 0
        self.bytes_out = 0
        self.forwardfor_rules: dict[str, tuple[Backend, ForwardedFor | None]] = {}

    def route(self, facts: Facts) -> Backend | None:
        """The first `use_backend` whose condition holds, else the default."""
        for test, name in self.routes:
            if test is None or test(facts):
                return self.backends[name]
        return None

    def forwarded_for(self, backend: Backend) -> ForwardedFor | None:
        """The X-Forwarded-For rule of this frontend with `backend`."""
        known = self.forwardfor_rules.get(backend.name)
        if known is not None and known[0] is backend:
            return known[1]
        rule = forwarded_for(self.config.forwardfor, backend.config.forwardfor)
        self.forwardfor_rules[backend.name] = backend, rule
        return rule

    def adopt_counters(self, before: Frontend) -> None:
        """Go on counting where the frontend of the same name was before a reload."""
        self.total = before.total
        self.highest = before.highest
        self.requests = before.requests
        self.request_errors = before.request_errors
        self.refusals = dict(before.refusals)
        self.responses = list(before.responses)
        self.bytes_in = before.bytes_in
        self.bytes_out = before.bytes_out

    def refused(self, why: str) -> None:
        """Count a request that was not let in, by reason."""
        self.request_errors += 1
        self.refusals[why] = self.refusals.get(why, 0) + 1
