"""Tables as written -> what they mean: [defaults] merged in, HAProxy's fallbacks applied."""

from __future__ import annotations

from math import inf
from typing import Any, TypeVar, cast

import attrs

from hapair.config.model import (
    Backend,
    Check,
    CheckKind,
    Frontend,
    HttpCheck,
    LogFormat,
    Mode,
    Server,
    Timeouts,
)
from hapair.config.written import BackendTable, CheckTable, DefaultsTable, FrontendTable, ServerTable

T = TypeVar("T")


def frontend(name: str, written: FrontendTable, defaults: DefaultsTable, maxconn: int) -> Frontend:
    """A frontend; without a `maxconn` of its own it may use the whole process' (`maxconn`)."""
    table = _inherit(written, defaults)
    mode = table.mode or Mode.TCP
    log_format = table.log_format or None
    if log_format is LogFormat.HTTPLOG and mode is Mode.TCP:
        log_format = LogFormat.TCPLOG  # as HAProxy falls back: there is no request to log
    return Frontend(
        name=name,
        bind=table.bind,
        mode=mode,
        maxconn=table.maxconn or maxconn,
        timeout=_timeouts(table.timeout),
        log_format=log_format,
        forwardfor=table.forwardfor or None,
        http_server_close=bool(table.http_server_close),
        dontlognull=bool(table.dontlognull),
        acl=dict(table.acl),
        use_backend=table.use_backend,
        default_backend=table.default_backend,
        stats=table.stats or None,
    )


def backend(name: str, written: BackendTable, defaults: DefaultsTable) -> Backend:
    """A backend and its servers."""
    table = _inherit(written, defaults)
    standard = Backend(name)
    return Backend(
        name=name,
        servers=tuple(
            _server(server, position, one, table.httpchk or None)
            for position, (server, one) in enumerate(table.server.items(), 1)
        ),
        mode=table.mode or standard.mode,
        balance=table.balance or standard.balance,
        timeout=_timeouts(table.timeout),
        retries=standard.retries if table.retries is None else table.retries,
        redispatch=bool(table.redispatch),
        abortonclose=bool(table.abortonclose),
        http_server_close=bool(table.http_server_close),
        forwardfor=table.forwardfor or None,
        cookie=table.cookie or None,
    )


def _server(name: str, position: int, written: ServerTable, httpchk: HttpCheck | None) -> Server:
    host, port = written.address
    return Server(
        name=name,
        id=written.id or position,
        host=host,
        port=port,
        weight=written.weight,
        cookie=written.cookie,
        maxconn=written.maxconn,
        maxqueue=written.maxqueue,
        backup=written.backup,
        disabled=written.disabled,
        check=_check(written.check, httpchk) if written.check else None,
    )


def _check(written: CheckTable, httpchk: HttpCheck | None) -> Check:
    """`httpchk` makes every check of a backend an HTTP check, whatever its mode; `type` overrides."""
    kind = written.type or (CheckKind.HTTP if httpchk else CheckKind.TCP)
    return Check(
        kind=kind,
        http=(httpchk or HttpCheck()) if kind is CheckKind.HTTP else None,
        address=written.addr,
        port=written.port,
        inter=written.inter,
        fastinter=written.fastinter,
        downinter=written.downinter,
        rise=written.rise,
        fall=written.fall,
    )


def _inherit(table: T, defaults: object) -> T:
    """`table` with what it does not say (None) taken from `defaults`, where that has such a key."""
    values: dict[str, Any] = {}
    for field in attrs.fields(type(cast("Any", table))):
        own = getattr(table, field.name)
        if field.name == "timeout":
            values["timeout"] = _inherit(own, cast("Any", defaults).timeout)
        elif own is None:
            values[field.name] = getattr(defaults, field.name)
    return cast("T", attrs.evolve(cast("Any", table), **values))


def _timeouts(written: object) -> Timeouts:
    """Unset is for ever; but keep-alive falls back to a request's time, the queue to connecting's."""
    given = {name: value for name, value in attrs.asdict(cast("Any", written)).items() if value is not None}
    timeouts = Timeouts(**given)
    if timeouts.queue == inf:
        timeouts = attrs.evolve(timeouts, queue=timeouts.connect)
    if timeouts.http_keep_alive == inf:
        timeouts = attrs.evolve(timeouts, http_keep_alive=timeouts.http_request)
    return timeouts
