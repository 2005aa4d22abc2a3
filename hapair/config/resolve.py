"""Tables as written -> what they mean: [defaults] merged in, HAProxy's fallbacks applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Literal, TypeVar, cast

import attrs

from hapair.config.asks import Ask, DnsCheck, MysqlCheck, PgsqlCheck, RedisCheck, SmtpCheck, Tls
from hapair.config.model import (
    Backend,
    Check,
    CheckKind,
    Frontend,
    HttpCheck,
    LogFormat,
    Mode,
    ProxyVersion,
    Server,
    Source,
    Timeouts,
    VrrpInstance,
)
from hapair.config.written import BackendTable, CheckTable, DefaultsTable, FrontendTable, ServerTable

T = TypeVar("T")

ASK_BY_DEFAULT: dict[CheckKind, Ask] = {
    CheckKind.DNS: DnsCheck(),
    CheckKind.SMTP: SmtpCheck(),
    CheckKind.MYSQL: MysqlCheck(),
    CheckKind.PGSQL: PgsqlCheck(),
    CheckKind.REDIS: RedisCheck(),
}
WITHOUT_ADDRESS = (CheckKind.ICMP, CheckKind.EXTERNAL, CheckKind.FILE)


def frontend(name: str, written: FrontendTable, defaults: DefaultsTable, maxconn: int) -> Frontend:
    """A frontend; without a `maxconn` of its own it may use the whole process' (`maxconn`)."""
    table = _inherit(written, defaults)
    mode = table.mode or Mode.TCP
    standard = Frontend(name, ())
    log_format = table.log_format or None
    if mode is Mode.TCP and log_format in (LogFormat.HTTPLOG, LogFormat.HTTPSLOG, LogFormat.CLF):
        log_format = LogFormat.TCPLOG  # as HAProxy falls back: there is no request to log
    return Frontend(
        name=name,
        bind=table.bind,
        mode=mode,
        maxconn=table.maxconn or maxconn,
        timeout=_client_timeouts(table.timeout, defaults),
        log_format=log_format,
        capture=table.capture,
        unique_id_format=table.unique_id_format or None,
        unique_id_header=table.unique_id_header or None,
        forwardfor=table.forwardfor or None,
        originalto=table.originalto or None,
        compression=table.compression or None,
        http_server_close=bool(table.http_server_close),
        httpclose=bool(table.httpclose),
        http_buffer_request=bool(table.http_buffer_request),
        http_body_min_rate=500 if table.http_body_min_rate is None else table.http_body_min_rate,
        http_limits=table.http_limits or standard.http_limits,
        log_format_sd=table.log_format_sd or None,
        dontlognull=bool(table.dontlognull),
        dontlog_normal=bool(table.dontlog_normal),
        logasap=bool(table.logasap),
        log_tag=table.log_tag,
        log_separate_errors=bool(table.log_separate_errors),
        rate_limit_sessions=table.rate_limit_sessions or 0,
        backlog=table.backlog or standard.backlog,
        clitcpka=bool(table.clitcpka or table.tcpka),
        tcp_request_inspect_delay=table.tcp_request_inspect_delay or 0.0,
        acl=dict(table.acl),
        http_request=table.http_request,
        http_response=table.http_response,
        errorfile=table.errorfile or {},
        http_error=table.http_error or (),
        http_after_response=table.http_after_response,
        tcp_request_connection=table.tcp_request_connection,
        tcp_request_session=table.tcp_request_session,
        tcp_request_content=table.tcp_request_content,
        monitor_uri=table.monitor_uri,
        monitor_fail=table.monitor_fail,
        use_backend=table.use_backend,
        default_backend=table.default_backend,
        stick_table=table.stick_table,
        stats=table.stats or None,
    )


def backend(name: str, written: BackendTable, defaults: DefaultsTable) -> Backend:
    """A backend and its servers."""
    table = _inherit(written, defaults)
    common = _with_common(written.check, defaults.check or None)
    standard = Backend(name)
    return Backend(
        name=name,
        servers=tuple(
            _server(server, position, _checked(one, common), table.httpchk or None, table.source)
            for position, (server, one) in enumerate(table.server.items(), 1)
        ),
        mode=table.mode or standard.mode,
        balance=table.balance or standard.balance,
        hash_type=table.hash_type or standard.hash_type,
        hash_balance_factor=table.hash_balance_factor or 0,
        allbackups=bool(table.allbackups),
        timeout=_timeouts(table.timeout),
        retries=standard.retries if table.retries is None else table.retries,
        redispatch=table.redispatch or 0,
        retry_on=standard.retry_on if table.retry_on is None else table.retry_on,
        srvtcpka=bool(table.srvtcpka or table.tcpka),
        fullconn=table.fullconn,
        abortonclose=bool(table.abortonclose),
        http_server_close=bool(table.http_server_close),
        httpclose=bool(table.httpclose),
        http_buffer_request=bool(table.http_buffer_request),
        http_reuse=table.http_reuse or standard.http_reuse,
        forwardfor=table.forwardfor or None,
        originalto=table.originalto or None,
        compression=table.compression or None,
        forwarded=table.forwarded or (),
        acl=dict(table.acl),
        http_request=table.http_request,
        http_response=table.http_response,
        errorfile=table.errorfile or {},
        http_error=table.http_error or (),
        tcp_response_content=table.tcp_response_content,
        use_server=table.use_server,
        stick_table=table.stick_table,
        stick=table.stick,
        cookie=table.cookie or None,
        dynamic_cookie_key=table.dynamic_cookie_key,
        persist=bool(table.persist),
        force_persist=table.force_persist,
        ignore_persist=table.ignore_persist,
        quorum=table.quorum or int(bool(table.sorry_server or table.quorum_up or table.quorum_down)),
        hysteresis=table.hysteresis,
        quorum_up=table.quorum_up,
        quorum_down=table.quorum_down,
        sorry_server=table.sorry_server,
    )


def filled(backend: Backend, frontends: Iterable[Frontend]) -> Backend:
    """A backend whose limits move is full, as HAProxy has it, at a tenth of what may come in."""
    if backend.fullconn is not None or not any(server.minconn for server in backend.servers):
        return backend
    coming = sum(frontend.maxconn for frontend in frontends if backend.name in _targets(frontend))
    return attrs.evolve(backend, fullconn=max(1, (coming + 9) // 10))


def _server(
    name: str, position: int, written: ServerTable, httpchk: HttpCheck | None, source: Source | None
) -> Server:
    host, port = written.address
    return Server(
        name=name,
        id=written.id or position,
        host=host,
        port=port,
        weight=written.weight,
        cookie=written.cookie,
        maxconn=written.maxconn,
        minconn=written.minconn,
        maxqueue=written.maxqueue,
        backup=written.backup,
        slowstart=written.slowstart,
        disabled=written.disabled,
        pool_max_conn=written.pool_max_conn,
        pool_purge_delay=written.pool_purge_delay,
        max_reuse=written.max_reuse,
        non_stick=written.non_stick,
        send_proxy=written.send_proxy or None,
        proxy_v2_options=written.proxy_v2_options,
        source=written.source or source,
        check=_check(written.check, httpchk, written.send_proxy or None) if written.check else None,
        observe=written.observe,
        error_limit=written.error_limit,
        on_error=written.on_error,
        on_marked_down=written.on_marked_down,
        on_marked_up=written.on_marked_up,
        agent_check=written.agent_check or None,
        track=written.track,
    )


def _check(written: CheckTable, httpchk: HttpCheck | None, send_proxy: ProxyVersion | None) -> Check:
    """`httpchk` makes every check of a backend an HTTP check, whatever its mode; `type` overrides.

    So does a table of another kind.

    A check goes to the very place where traffic goes begins as traffic does (HAProxy's check-send-proxy).
    """
    kind = written.type or next(iter(written.kinds), CheckKind.HTTP if httpchk else CheckKind.TCP)
    greets = written.send_proxy
    if greets is None:
        elsewhere = written.addr is not None or written.port is not None or kind in WITHOUT_ADDRESS
        greets = send_proxy is not None and not elsewhere
    first, urls = written.http or httpchk or HttpCheck(), written.urls or ()
    standard = Check()
    if urls and written.http is None:
        first, urls = urls[0], urls[1:]
    return Check(
        kind=kind,
        http=first if kind is CheckKind.HTTP else None,
        urls=urls if kind is CheckKind.HTTP else (),
        ask=getattr(written, kind.value, None) or ASK_BY_DEFAULT.get(kind)
        if kind is not CheckKind.HTTP
        else None,
        tls=Tls(written.sni, written.verify == "required", written.ca_file, bool(written.starttls))
        if written.ssl or written.starttls
        else None,
        address=written.addr,
        port=written.port,
        inter=standard.inter if written.inter is None else written.inter,
        fastinter=written.fastinter,
        downinter=written.downinter,
        rise=written.rise or standard.rise,
        fall=written.fall or standard.fall,
        send_proxy=(send_proxy or ProxyVersion.V1) if greets else None,
        delay_before_retry=written.delay_before_retry,
        warmup=written.warmup,
        jitter=standard.jitter if written.jitter is None else written.jitter,
        init_state=written.init_state or standard.init_state,
        shared=written.shared is not False,
    )


def _checked(server: ServerTable, common: CheckTable | None) -> ServerTable:
    """`server` with the check that it has after all; who tracks another needs no common one."""
    if server.check is None and server.track is not None:
        return server
    return attrs.evolve(server, check=_with_common(server.check, common))


def _with_common(own: CheckTable | Literal[False] | None, common: CheckTable | None) -> CheckTable | None:
    """`own` with what it does not say taken from `common`; None for no check.

    Of what is said of kinds it takes only what is said of its own kind, if it names one.
    """
    if own is None or common is None or own is False:
        return common if own is None else own or None
    kind = own.type or next(iter(own.kinds), None)
    foreign = {one.value for one in CheckKind if one is not kind}
    if kind is not CheckKind.HTTP:
        foreign.add("urls")
    foreign = {"type", *foreign} if kind is not None else set()
    values = {
        field.name: getattr(common, field.name)
        for field in attrs.fields(CheckTable)
        if getattr(own, field.name) is None and field.name not in foreign
    }
    return attrs.evolve(own, **values)


def _inherit(table: T, defaults: object) -> T:
    """`table` with what it does not say (None) taken from `defaults`, where that has such a key."""
    values: dict[str, Any] = {}
    for field in attrs.fields(type(cast("Any", table))):
        own = getattr(table, field.name)
        if field.name == "timeout":
            values["timeout"] = _inherit(own, cast("Any", defaults).timeout)
        elif own is None:
            values[field.name] = getattr(defaults, field.name, None)
    return cast("T", attrs.evolve(cast("Any", table), **values))


def _client_timeouts(written: object, defaults: DefaultsTable) -> Timeouts:
    """A tarpit holds as long as a connection to a server may take, as HAProxy has it."""
    timeouts = _timeouts(written)
    if timeouts.tarpit == inf and defaults.timeout.connect is not None:
        timeouts = attrs.evolve(timeouts, tarpit=defaults.timeout.connect)
    return timeouts


def _timeouts(written: object) -> Timeouts:
    """Unset is for ever; but keep-alive falls back to a request's time, the queue to connecting's."""
    given = {name: value for name, value in attrs.asdict(cast("Any", written)).items() if value is not None}
    timeouts = Timeouts(**given)
    if timeouts.queue == inf:
        timeouts = attrs.evolve(timeouts, queue=timeouts.connect)
    if timeouts.http_keep_alive == inf:
        timeouts = attrs.evolve(timeouts, http_keep_alive=timeouts.http_request)
    return timeouts


def instance(written: VrrpInstance, frontends: Mapping[str, Frontend]) -> VrrpInstance:
    """A router knows which backends its tracked frontends use."""
    tracks = tuple(
        attrs.evolve(track, backends=_targets(frontends[track.name]))
        if track.kind == "frontend" and track.name in frontends
        else track
        for track in written.track
    )
    return attrs.evolve(written, track=tracks)


def _targets(frontend: Frontend) -> tuple[str, ...]:
    named = [use.backend for use in frontend.use_backend if "%[" not in use.backend]
    named += [frontend.default_backend] if frontend.default_backend else []
    return tuple(dict.fromkeys(named))
