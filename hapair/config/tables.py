"""Every table of node.toml and every key of it, with its parser.

Most tables are read straight into the values of `config.model`, whose defaults
count; those that inherit into the classes of `config.written`.

Longer than most files: it is the list of all keys, in the order of the documentation.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

import attrs

from hapair.config import (
    addresses,
    balancing,
    caches,
    fields,
    sources,
    stick,
    tables_check,
    tables_notify,
    tables_users,
)
from hapair.config.compression import compression
from hapair.config.fields import FieldError, shown, string
from hapair.config.model import (
    ERROR_STATUSES,
    Api,
    Bind,
    CapturedCookie,
    CapturedHeader,
    Captures,
    ChecksumForm,
    Cookie,
    CookieMode,
    Forwarded,
    ForwardFor,
    HttpCheck,
    HttpLimits,
    HttpReuse,
    InitialState,
    Log,
    LogFormat,
    LogHeader,
    Mode,
    Node,
    OnError,
    OriginalTo,
    Peers,
    ProxyVersion,
    Scope,
    Stats,
    StickTable,
    SyncGroup,
    UseBackend,
    UseServer,
    Vip,
    VirtualRoute,
    VirtualRule,
    VrrpInstance,
)
from hapair.config.shape import OWN_NAME, Parser, array, named, one_or_more, switch, table
from hapair.config.tracks import track
from hapair.config.written import (
    AllTimeouts,
    BackendTable,
    BindTable,
    CheckTable,
    ClientTimeouts,
    DefaultsTable,
    FrontendTable,
    ServerTable,
    ServerTimeouts,
)

T = TypeVar("T")


_HTTPCHK = re.compile(r"(?:(?P<method>[A-Z]+) +)?(?P<uri>[/*][!-~]*)(?: +(?P<version>\S+))?")
_AUTH = re.compile(r"([^:\x00-\x1f]+):([^\x00-\x1f]+)")
_AUTH_PASS = re.compile(r"[!-~]{1,8}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def auth(value: object) -> tuple[str, str]:
    """`user:password`.  What was written is never repeated."""
    found = _AUTH.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise FieldError('expected "user:password" (what is written here is not shown)')
    return found[1], found[2]


def auth_pass(value: object) -> str:
    """VRRPv2's simple password.  What was written is never repeated."""
    if not isinstance(value, str) or not _AUTH_PASS.fullmatch(value):
        raise FieldError(
            "expected 1..8 printable characters without blanks (what is written here is not shown)"
        )
    return value


_interval = fields.integer(-100, 100)


def redispatch(value: object) -> int:
    """HAProxy's interval; on means -1, only the last retry, and off 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _interval(value)
    return -1 if fields.boolean(value) else 0


_retryable = fields.choice(
    *"none conn-failure empty-response junk-response response-timeout all-retryable-errors".split(),
    *"401 403 404 408 425 500 501 502 503 504".split(),
)


def _retry_event(value: object) -> str:
    """A word, or a status as a number."""
    return _retryable(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


_retry_events = one_or_more(_retry_event, at_least=1)


def retry_on(value: object) -> tuple[str, ...]:
    """HAProxy's retry-on; `none` stands alone."""
    events = _retry_events(value)
    if "none" in events and len(events) > 1:
        raise FieldError('"none" stands alone: nothing is tried again')
    return events


_vip_table = table(
    Vip,
    address=addresses.vip,
    dev=fields.interface,
    scope=fields.member(Scope),
    label=fields.interface,
)


def _vip(value: object) -> Vip:
    """An address, or a table that says more of it."""
    return _vip_table(value) if isinstance(value, dict) else Vip(addresses.vip(value))


def httpchk(value: object) -> HttpCheck:
    """A request in HAProxy's words, or a table."""
    if not isinstance(value, str):
        return tables_check.http_check_table(value)
    found = _HTTPCHK.fullmatch(value)
    if found is None:
        raise FieldError(f'{shown(value)} is not a request such as "GET /health" or "HEAD / HTTP/1.1"')
    version = found["version"]
    if version is not None and version not in ("HTTP/1.0", "HTTP/1.1"):
        raise FieldError(f'{shown(version)} is not "HTTP/1.0" or "HTTP/1.1"', found.start("version"))
    return HttpCheck(found["method"] or "OPTIONS", tables_check.http_uri(found["uri"]), version or "HTTP/1.0")


_cookie_table = table(
    Cookie,
    name=fields.http_token,
    mode=fields.member(CookieMode),
    indirect=fields.boolean,
    nocache=fields.boolean,
    postonly=fields.boolean,
    preserve=fields.boolean,
    httponly=fields.boolean,
    secure=fields.boolean,
    domain=one_or_more(fields.domain),
    maxidle=fields.whole_seconds,
    maxlife=fields.whole_seconds,
    dynamic=fields.boolean,
    attr=one_or_more(fields.matching(r"[ -:<-~]+", "an attribute: without control characters and ;", 256)),
)


def cookie(value: object) -> Cookie:
    """A name, or a table."""
    return Cookie(fields.http_token(value)) if isinstance(value, str) else _cookie_table(value)


_page_file = named(fields.matching(r"/[^\x00]+", "the absolute path of a file", 4095))
_pages = fields.choice(*map(str, ERROR_STATUSES))


def errorfile(value: object) -> dict[str, str]:
    """Status -> file."""
    return {_pages(status): path for status, path in _page_file(value).items()}


def _acl(value: object) -> dict[str, tuple[str, ...]]:
    expressions = one_or_more(lambda one: string(one, 'an expression such as "path_beg /static"'), at_least=1)
    return named(expressions)(value)


def _timeouts(cls: type[T]) -> Parser[T]:
    keys: Any = dict.fromkeys((field.name for field in attrs.fields(cast("Any", cls))), fields.timeout)
    return table(cls, **keys)


_named_format = fields.member(LogFormat)


def log_format(value: object) -> LogFormat | str:
    """A name, or a text with HAProxy's variables."""
    if isinstance(value, str) and "%" in value:
        if _CONTROL.search(value):
            raise FieldError("a log line has no control characters")
        return value
    return _named_format(value)


_log_format = switch(log_format)
_capture_length = fields.integer(1, 8192, "a log line is no longer")
_captured_header_table = table(CapturedHeader, name=fields.http_token, len=_capture_length)


def _captured_header(value: object) -> CapturedHeader:
    """A name, or a table."""
    return (
        CapturedHeader(fields.http_token(value)) if isinstance(value, str) else _captured_header_table(value)
    )


_captured_cookie_table = table(
    CapturedCookie,
    name=fields.matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=?", "the beginning of a cookie's name", 256),
    len=_capture_length,
)


def _captured_cookie(value: object) -> CapturedCookie:
    """The beginning of a name, or a table."""
    return _captured_cookie_table({"name": value} if isinstance(value, str) else value)


_capture = table(
    Captures,
    request_headers=one_or_more(_captured_header),
    response_headers=one_or_more(_captured_header),
    cookie=_captured_cookie,
)


def unique_id_format(value: object) -> str:
    """A text with HAProxy's variables."""
    text = string(value, 'a text such as "%{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid"')
    if _CONTROL.search(text):
        raise FieldError("it has no control characters")
    return text


def log_format_sd(value: object) -> str:
    """Structured data with HAProxy's variables."""
    text = string(value, "structured data such as '[example@32473 bytes=\"%B\"]'")
    if _CONTROL.search(text):
        raise FieldError("it has no control characters")
    if not (text.startswith("[") and text.endswith("]")):
        raise FieldError(f"{shown(text)} is not in brackets: RFC 5424 section 6.3")
    return text


_unique_id_format = switch(unique_id_format)
_log_format_sd = switch(log_format_sd)
_unique_id_header = switch(fields.http_token)
_forwardfor = switch(
    table(
        ForwardFor,
        rename={"exceptions": "except"},
        exceptions=one_or_more(addresses.cidr),
        header=fields.http_token,
        if_none=fields.boolean,
    ),
    ForwardFor,
)
_originalto = switch(
    table(
        OriginalTo,
        rename={"exceptions": "except"},
        exceptions=one_or_more(addresses.cidr),
        header=fields.http_token,
    ),
    OriginalTo,
)
_forwarded = switch(
    one_or_more(fields.member(Forwarded), at_least=1), lambda: (Forwarded.PROTO, Forwarded.FOR)
)
_accept_proxy = switch(one_or_more(addresses.cidr, at_least=1), tuple)
_bind_table = table(BindTable, address=addresses.bind, accept_proxy=_accept_proxy, transparent=fields.boolean)


def _bind(value: object) -> Bind:
    """An address, or a table that says more of it."""
    if not isinstance(value, dict):
        return addresses.bind(value)
    written = _bind_table(value)
    accept = None if written.accept_proxy is False else written.accept_proxy
    return attrs.evolve(written.address, accept_proxy=accept, transparent=written.transparent)


_httpchk = switch(httpchk, HttpCheck)
_cookie = switch(cookie)
_mode = fields.member(Mode)
_http_limits = table(
    HttpLimits,
    request_line=fields.integer(256, 65536, "each client may make us keep so much"),
    head=fields.integer(1024, 65536, "each client may make us keep so much"),
    headers=fields.integer(10, 1000),
)
_SAMPLE = re.compile(r"([0-9]{1,6}(?:-[0-9]{1,6})?(?:,[0-9]{1,6}(?:-[0-9]{1,6})?)*):([1-9][0-9]{0,5})")


def sample(value: object) -> str:
    """HAProxy's `sample`: ranges that do not overlap, and of how many lines they are."""
    text = string(value)
    found = _SAMPLE.fullmatch(text)
    if found is None:
        raise FieldError(f'{shown(text)} is not a sample such as "1-3,7:10"')
    least = 1
    for one in found[1].split(","):
        low, _, high = one.partition("-")
        if not least <= int(low) <= int(high or low) <= int(found[2]):
            raise FieldError(f"{shown(text)}: {one} does not ascend within 1..{found[2]}")
        least = int(high or low) + 1
    return text


_log = table(
    Log,
    target=addresses.log_target,
    facility=fields.facility,
    level=fields.level,
    minlevel=fields.level,
    format=fields.member(LogHeader),
    len=fields.integer(80, 8192),
    sample=sample,
)

_log_word = fields.matching(r"[!-~]+", "a word of a log header: printable, without blanks", 48)


_log_host = switch(fields.matching(r"[!-~]+", "a host name, or true for this host's", 255), lambda: True)


node = table(
    Node,
    name=fields.name,
    log=one_or_more(_log),
    log_tag=_log_word,
    log_send_hostname=_log_host,
    maxconn=fields.positive,
    maxcomprate=fields.natural,
    workers=fields.workers,
    user=fields.account,
    group=fields.account,
    chroot=fields.file_path,
    pidfile=fields.file_path,
    hard_stop_after=fields.delay,
    guard_timeout=fields.interval,
    script_user=fields.account,
    notify_fifo=fields.file_path,
    state_file=fields.matching(r"/(?:[^\x00/]+/)*[^\x00/]+", "the absolute path of a file", 4095),
    event_log=tables_notify.event_log,
)

userlist = tables_users.userlist
cache = caches.cache

peers = table(Peers, listen=addresses.peer, peer=addresses.peer)

api = table(Api, socket=fields.socket_path, listen=addresses.listen)

vrrp = table(
    VrrpInstance,
    rename=OWN_NAME,
    name=fields.name,
    interface=fields.interface,
    virtual_router_id=fields.vrid,
    addresses=array(_vip, at_least=1),
    excluded_addresses=array(_vip),
    virtual_routes=array(
        table(
            VirtualRoute,
            destination=addresses.destination,
            via=addresses.own,
            dev=fields.interface,
            src=addresses.own,
            metric=fields.natural,
            table=fields.integer(1, 2**32 - 1),
        )
    ),
    virtual_rules=array(
        table(
            VirtualRule,
            rename={"source": "from"},
            source=addresses.cidr,
            to=addresses.cidr,
            table=fields.integer(1, 2**32 - 1),
            priority=fields.integer(1, 32765),
        )
    ),
    priority=fields.priority,
    version=fields.integer(2, 3),
    auth_pass=auth_pass,
    advert_interval=fields.advert_interval,
    state=fields.member(InitialState),
    startup_delay=fields.delay,
    down_timer_adverts=fields.integer(1, 100),
    skew=fields.boolean,
    preempt=fields.boolean,
    preempt_delay=fields.delay,
    source_address=addresses.own,
    unicast_peers=array(addresses.own),
    multicast=fields.boolean,
    checksum=fields.member(ChecksumForm),
    garp_count=fields.integer(1, 100),
    garp_delay=fields.delay,
    garp_refresh=fields.delay,
    garp_refresh_repeat=fields.integer(1, 100),
    garp_lower_prio_repeat=fields.integer(1, 100),
    garp_lower_prio_delay=fields.delay,
    garp_interval=fields.delay,
    gna_interval=fields.delay,
    use_vmac=fields.boolean,
    vmac_interface=fields.interface,
    vmac_xmit_base=fields.boolean,
    accept=fields.boolean,
    promote_secondaries=fields.boolean,
    track=one_or_more(track),
    **tables_notify.hooks,
)

sync_group = table(
    SyncGroup,
    rename=OWN_NAME,
    name=fields.name,
    instances=array(fields.name, at_least=1),
    **tables_notify.hooks,
)

_layer = fields.choice("layer4", "layer7")


def _observe(value: object) -> int:
    return int(_layer(value)[-1])


stick_table = table(
    StickTable,
    type=fields.choice(*stick.TYPES),
    length=fields.integer(1, 1024),
    size=stick.size,
    expire=fields.delay,
    nopurge=fields.boolean,
    store=one_or_more(stick.stored),
)

_checked = switch(tables_check.check, CheckTable)

server = table(
    ServerTable,
    address=addresses.server,
    id=fields.positive,
    weight=fields.weight,
    cookie=fields.cookie_value,
    maxconn=fields.natural,
    minconn=fields.natural,
    maxqueue=fields.natural,
    backup=fields.boolean,
    slowstart=fields.delay,
    disabled=fields.boolean,
    pool_max_conn=fields.natural,
    pool_purge_delay=fields.delay,
    max_reuse=fields.natural,
    non_stick=fields.boolean,
    send_proxy=switch(fields.member(ProxyVersion), lambda: ProxyVersion.V1),
    proxy_v2_options=one_or_more(fields.choice("crc32c", "authority", "unique-id")),
    source=sources.source,
    check=_checked,
    observe=_observe,
    error_limit=fields.positive,
    on_error=fields.member(OnError),
    on_marked_down=fields.choice("shutdown-sessions"),
    on_marked_up=fields.choice("shutdown-backup-sessions"),
    agent_check=switch(tables_check.agent_check),
    track=fields.matching(r"[A-Za-z0-9_.:-]+/[A-Za-z0-9_.:-]+", '"backend/server"', 129),
)

frontend = table(
    FrontendTable,
    bind=one_or_more(_bind, at_least=1),
    mode=_mode,
    maxconn=fields.positive,
    timeout=_timeouts(ClientTimeouts),
    log_format=_log_format,
    log_format_sd=_log_format_sd,
    capture=_capture,
    unique_id_format=_unique_id_format,
    unique_id_header=_unique_id_header,
    forwardfor=_forwardfor,
    originalto=_originalto,
    compression=compression,
    http_server_close=fields.boolean,
    httpclose=fields.boolean,
    http_buffer_request=fields.boolean,
    http_body_min_rate=fields.natural,
    http_limits=_http_limits,
    dontlognull=fields.boolean,
    dontlog_normal=fields.boolean,
    logasap=fields.boolean,
    log_tag=_log_word,
    log_separate_errors=fields.boolean,
    rate_limit_sessions=fields.natural,
    backlog=fields.positive,
    clitcpka=fields.boolean,
    tcpka=fields.boolean,
    tcp_request_inspect_delay=fields.delay,
    acl=_acl,
    http_request=one_or_more(string),
    http_response=one_or_more(string),
    errorfile=errorfile,
    http_error=one_or_more(string),
    http_after_response=one_or_more(string),
    tcp_request_connection=one_or_more(string),
    tcp_request_session=one_or_more(string),
    tcp_request_content=one_or_more(string),
    monitor_uri=fields.uri_path,
    monitor_fail=string,
    use_backend=array(
        table(UseBackend, rename={"condition": "if"}, backend=string, condition=string),
    ),
    default_backend=string,
    stick_table=stick_table,
    stats=switch(table(Stats, uri=fields.uri_path, auth=one_or_more(auth)), Stats),
)

backend = table(
    BackendTable,
    server=named(server),
    mode=_mode,
    balance=balancing.balance,
    hash_type=balancing.hash_type,
    hash_balance_factor=balancing.balance_factor,
    allbackups=fields.boolean,
    timeout=_timeouts(ServerTimeouts),
    retries=fields.natural,
    redispatch=redispatch,
    retry_on=retry_on,
    srvtcpka=fields.boolean,
    tcpka=fields.boolean,
    fullconn=fields.positive,
    abortonclose=fields.boolean,
    http_server_close=fields.boolean,
    httpclose=fields.boolean,
    http_buffer_request=fields.boolean,
    http_reuse=fields.member(HttpReuse),
    forwardfor=_forwardfor,
    originalto=_originalto,
    compression=compression,
    forwarded=_forwarded,
    httpchk=_httpchk,
    check=_checked,
    source=sources.source,
    acl=_acl,
    http_request=one_or_more(string),
    http_response=one_or_more(string),
    errorfile=errorfile,
    http_error=one_or_more(string),
    tcp_response_content=one_or_more(string),
    stick_table=stick_table,
    stick=one_or_more(string),
    dynamic_cookie_key=string,
    persist=fields.boolean,
    force_persist=one_or_more(string),
    ignore_persist=one_or_more(string),
    quorum=fields.positive,
    hysteresis=fields.natural,
    quorum_up=tables_notify.command,
    quorum_down=tables_notify.command,
    sorry_server=string,
    use_server=array(table(UseServer, rename={"condition": "if"}, server=string, condition=string)),
    cookie=_cookie,
)

defaults = table(
    DefaultsTable,
    mode=_mode,
    maxconn=fields.positive,
    timeout=_timeouts(AllTimeouts),
    log_format=_log_format,
    log_format_sd=_log_format_sd,
    unique_id_format=_unique_id_format,
    unique_id_header=_unique_id_header,
    forwardfor=_forwardfor,
    originalto=_originalto,
    compression=compression,
    http_server_close=fields.boolean,
    httpclose=fields.boolean,
    http_buffer_request=fields.boolean,
    http_body_min_rate=fields.natural,
    http_limits=_http_limits,
    http_reuse=fields.member(HttpReuse),
    dontlognull=fields.boolean,
    dontlog_normal=fields.boolean,
    logasap=fields.boolean,
    log_tag=_log_word,
    log_separate_errors=fields.boolean,
    rate_limit_sessions=fields.natural,
    backlog=fields.positive,
    clitcpka=fields.boolean,
    tcpka=fields.boolean,
    tcp_request_inspect_delay=fields.delay,
    default_backend=string,
    balance=balancing.balance,
    hash_type=balancing.hash_type,
    hash_balance_factor=balancing.balance_factor,
    allbackups=fields.boolean,
    retries=fields.natural,
    redispatch=redispatch,
    retry_on=retry_on,
    srvtcpka=fields.boolean,
    fullconn=fields.positive,
    abortonclose=fields.boolean,
    forwarded=_forwarded,
    httpchk=_httpchk,
    check=_checked,
    cookie=_cookie,
    dynamic_cookie_key=string,
    persist=fields.boolean,
    errorfile=errorfile,
    http_error=one_or_more(string),
)
