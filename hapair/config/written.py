"""Frontends, backends and servers as they are written.

What they do not say is looked up elsewhere ([defaults], the backend's httpchk;
`config.resolve` does it), so None means "not written" and False "written to be off".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from hapair.config.asks import (
    AgentCheck,
    DnsCheck,
    ExternalCheck,
    FileCheck,
    IcmpCheck,
    MysqlCheck,
    PgsqlCheck,
    RedisCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)
from hapair.config.model import (
    Balance,
    Bind,
    Captures,
    CheckKind,
    Compression,
    Cookie,
    Forwarded,
    ForwardFor,
    HashType,
    HttpCheck,
    HttpLimits,
    HttpReuse,
    InitState,
    IPNetwork,
    LogFormat,
    Mode,
    OnError,
    OriginalTo,
    ProxyVersion,
    Source,
    Stats,
    StickTable,
    UseBackend,
    UseServer,
)

Off = Literal[False]


@attrs.frozen
class CheckTable:
    """A server's check, or what a backend's or all servers' checks have in common."""

    type: CheckKind | None = None
    addr: str | None = None
    port: int | None = None
    inter: float | None = None
    fastinter: float | None = None
    downinter: float | None = None
    rise: int | None = None
    fall: int | None = None
    send_proxy: bool | None = None
    delay_before_retry: float | None = None
    warmup: float | None = None
    jitter: int | None = None
    init_state: InitState | None = None
    shared: bool | None = None
    http: HttpCheck | None = None
    urls: tuple[HttpCheck, ...] | None = None
    ssl: bool | None = None
    starttls: bool | None = None
    sni: str | None = None
    verify: str | None = None
    ca_file: str | None = None
    icmp: IcmpCheck | None = None
    udp: UdpCheck | None = None
    tcp_check: TcpCheck | None = None
    dns: DnsCheck | None = None
    smtp: SmtpCheck | None = None
    mysql: MysqlCheck | None = None
    pgsql: PgsqlCheck | None = None
    redis: RedisCheck | None = None
    external: ExternalCheck | None = None
    file: FileCheck | None = None

    @property
    def kinds(self) -> tuple[CheckKind, ...]:
        """Those of which something is said."""
        return tuple(
            kind
            for kind in CheckKind
            if getattr(self, kind.value, None) is not None or (kind is CheckKind.HTTP and self.urls)
        )


@attrs.frozen
class ServerTable:
    address: tuple[str, int]
    id: int | None = None
    weight: int = 1
    cookie: str | None = None
    maxconn: int = 0
    minconn: int = 0
    maxqueue: int = 0
    backup: bool = False
    slowstart: float = 0.0
    disabled: bool = False
    pool_max_conn: int = 64
    pool_purge_delay: float = 5.0
    max_reuse: int | None = None
    non_stick: bool = False
    send_proxy: ProxyVersion | Off = False
    proxy_v2_options: tuple[str, ...] = ()
    source: Source | None = None
    check: CheckTable | Off | None = None
    observe: int | None = None
    error_limit: int = 10
    on_error: OnError = OnError.FAIL_CHECK
    on_marked_down: str | None = None
    on_marked_up: str | None = None
    agent_check: AgentCheck | Off = False
    track: str | None = None


@attrs.frozen
class BindTable:
    """A bind of which more is said than its address."""

    address: Bind
    accept_proxy: tuple[IPNetwork, ...] | Off = False
    transparent: bool = False


@attrs.frozen
class ClientTimeouts:
    http_request: float | None = None
    client: float | None = None
    http_keep_alive: float | None = None
    tarpit: float | None = None
    client_fin: float | None = None


@attrs.frozen
class ServerTimeouts:
    connect: float | None = None
    server: float | None = None
    check: float | None = None
    queue: float | None = None
    tunnel: float | None = None
    server_fin: float | None = None


@attrs.frozen
class AllTimeouts:
    http_request: float | None = None
    connect: float | None = None
    client: float | None = None
    server: float | None = None
    http_keep_alive: float | None = None
    check: float | None = None
    queue: float | None = None
    tunnel: float | None = None
    tarpit: float | None = None
    client_fin: float | None = None
    server_fin: float | None = None


@attrs.frozen
class FrontendTable:
    bind: tuple[Bind, ...]
    mode: Mode | None = None
    maxconn: int | None = None
    timeout: ClientTimeouts = ClientTimeouts()
    log_format: LogFormat | str | Off | None = None
    log_format_sd: str | Off | None = None
    capture: Captures | None = None
    unique_id_format: str | Off | None = None
    unique_id_header: str | Off | None = None
    forwardfor: ForwardFor | Off | None = None
    originalto: OriginalTo | Off | None = None
    compression: Compression | Off | None = None
    http_server_close: bool | None = None
    httpclose: bool | None = None
    http_buffer_request: bool | None = None
    http_body_min_rate: int | None = None
    http_limits: HttpLimits | None = None
    dontlognull: bool | None = None
    dontlog_normal: bool | None = None
    logasap: bool | None = None
    log_tag: str | None = None
    log_separate_errors: bool | None = None
    rate_limit_sessions: int | None = None
    backlog: int | None = None
    clitcpka: bool | None = None
    tcpka: bool | None = None
    tcp_request_inspect_delay: float | None = None
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    http_request: tuple[str, ...] = ()
    errorfile: Mapping[str, str] | None = None
    http_error: tuple[str, ...] | None = None
    http_response: tuple[str, ...] = ()
    http_after_response: tuple[str, ...] = ()
    tcp_request_connection: tuple[str, ...] = ()
    tcp_request_session: tuple[str, ...] = ()
    tcp_request_content: tuple[str, ...] = ()
    monitor_uri: str | None = None
    monitor_fail: str | None = None
    use_backend: tuple[UseBackend, ...] = ()
    default_backend: str | None = None
    stick_table: StickTable | None = None
    stats: Stats | Off = False


@attrs.frozen
class BackendTable:
    check: CheckTable | Off | None = None
    server: Mapping[str, ServerTable] = attrs.field(factory=dict)
    mode: Mode | None = None
    balance: Balance | None = None
    hash_type: HashType | None = None
    hash_balance_factor: int | None = None
    allbackups: bool | None = None
    timeout: ServerTimeouts = ServerTimeouts()
    retries: int | None = None
    redispatch: int | None = None
    retry_on: tuple[str, ...] | None = None
    srvtcpka: bool | None = None
    tcpka: bool | None = None
    fullconn: int | None = None
    abortonclose: bool | None = None
    http_server_close: bool | None = None
    httpclose: bool | None = None
    http_buffer_request: bool | None = None
    http_reuse: HttpReuse | None = None
    forwardfor: ForwardFor | Off | None = None
    originalto: OriginalTo | Off | None = None
    compression: Compression | Off | None = None
    forwarded: tuple[Forwarded, ...] | Off | None = None
    httpchk: HttpCheck | Off | None = None
    source: Source | None = None
    cookie: Cookie | Off | None = None
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    http_request: tuple[str, ...] = ()
    errorfile: Mapping[str, str] | None = None
    http_error: tuple[str, ...] | None = None
    http_response: tuple[str, ...] = ()
    tcp_response_content: tuple[str, ...] = ()
    use_server: tuple[UseServer, ...] = ()
    stick_table: StickTable | None = None
    stick: tuple[str, ...] = ()
    dynamic_cookie_key: str | None = None
    persist: bool | None = None
    force_persist: tuple[str, ...] = ()
    ignore_persist: tuple[str, ...] = ()
    quorum: int | None = None
    hysteresis: int = 0
    quorum_up: tuple[str, ...] = ()
    quorum_down: tuple[str, ...] = ()
    sorry_server: str | None = None


@attrs.frozen
class DefaultsTable:
    """What frontends and backends inherit; each takes the keys that it has itself."""

    mode: Mode | None = None
    maxconn: int | None = None
    timeout: AllTimeouts = AllTimeouts()
    log_format: LogFormat | str | Off | None = None
    log_format_sd: str | Off | None = None
    unique_id_format: str | Off | None = None
    unique_id_header: str | Off | None = None
    forwardfor: ForwardFor | Off | None = None
    originalto: OriginalTo | Off | None = None
    compression: Compression | Off | None = None
    http_server_close: bool | None = None
    httpclose: bool | None = None
    http_buffer_request: bool | None = None
    http_body_min_rate: int | None = None
    http_limits: HttpLimits | None = None
    http_reuse: HttpReuse | None = None
    dontlognull: bool | None = None
    dontlog_normal: bool | None = None
    logasap: bool | None = None
    log_tag: str | None = None
    log_separate_errors: bool | None = None
    rate_limit_sessions: int | None = None
    backlog: int | None = None
    clitcpka: bool | None = None
    tcpka: bool | None = None
    tcp_request_inspect_delay: float | None = None
    default_backend: str | None = None
    balance: Balance | None = None
    hash_type: HashType | None = None
    hash_balance_factor: int | None = None
    allbackups: bool | None = None
    retries: int | None = None
    redispatch: int | None = None
    retry_on: tuple[str, ...] | None = None
    srvtcpka: bool | None = None
    fullconn: int | None = None
    abortonclose: bool | None = None
    forwarded: tuple[Forwarded, ...] | Off | None = None
    httpchk: HttpCheck | Off | None = None
    check: CheckTable | Off | None = None
    cookie: Cookie | Off | None = None
    dynamic_cookie_key: str | None = None
    persist: bool | None = None
    errorfile: Mapping[str, str] | None = None
    http_error: tuple[str, ...] | None = None
