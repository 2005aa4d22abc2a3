"""Every table of node.toml and every key of it, with its parser.

Most tables are read straight into the values of `config.model`, whose defaults
count; those that inherit into the classes of `config.written`.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast

import attrs

from hapair.config import addresses, fields, tables_notify
from hapair.config.fields import FieldError, shown, string
from hapair.config.model import (
    Api,
    CheckKind,
    ChecksumForm,
    Cookie,
    CookieMode,
    ForwardFor,
    HttpCheck,
    InitialState,
    Log,
    LogFormat,
    Mode,
    Node,
    Stats,
    SyncGroup,
    UseBackend,
    VirtualRoute,
    VirtualRule,
    VrrpInstance,
)
from hapair.config.shape import OWN_NAME, Parser, array, named, one_or_more, switch, table
from hapair.config.tracks import track
from hapair.config.written import (
    AllTimeouts,
    BackendTable,
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


def redispatch(value: object) -> bool:
    """On or off; HAProxy's interval -1 is what on means."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value not in (-1, 0):
            raise FieldError(
                f"{value} is not offered: true (or -1) lets the last retry choose another server"
            )
        return value == -1
    return fields.boolean(value)


def _http_headers(value: object) -> tuple[tuple[str, str], ...]:
    return tuple(named(fields.header_value, fields.http_token)(value).items())


_http_version = fields.choice("HTTP/1.0", "HTTP/1.1")
_http_uri = fields.matching(r"\*|/[!-\"$-~]*", "a path that starts with /, or *")
_http_check_table = table(
    HttpCheck, method=fields.http_token, uri=_http_uri, version=_http_version, headers=_http_headers
)


def httpchk(value: object) -> HttpCheck:
    """A request in HAProxy's words, or a table."""
    if not isinstance(value, str):
        return _http_check_table(value)
    found = _HTTPCHK.fullmatch(value)
    if found is None:
        raise FieldError(f'{shown(value)} is not a request such as "GET /health" or "HEAD / HTTP/1.1"')
    version = found["version"]
    if version is not None and version not in ("HTTP/1.0", "HTTP/1.1"):
        raise FieldError(f'{shown(version)} is not "HTTP/1.0" or "HTTP/1.1"', found.start("version"))
    return HttpCheck(found["method"] or "OPTIONS", _http_uri(found["uri"]), version or "HTTP/1.0")


_cookie_table = table(
    Cookie,
    name=fields.http_token,
    mode=fields.member(CookieMode),
    indirect=fields.boolean,
    nocache=fields.boolean,
    httponly=fields.boolean,
    secure=fields.boolean,
    domain=fields.domain,
)


def cookie(value: object) -> Cookie:
    """A name, or a table."""
    return Cookie(fields.http_token(value)) if isinstance(value, str) else _cookie_table(value)


def _acl(value: object) -> dict[str, tuple[str, ...]]:
    expressions = one_or_more(lambda one: string(one, 'an expression such as "path_beg /static"'), at_least=1)
    return named(expressions)(value)


def _timeouts(cls: type[T]) -> Parser[T]:
    keys: Any = dict.fromkeys((field.name for field in attrs.fields(cast("Any", cls))), fields.timeout)
    return table(cls, **keys)


_log_format = switch(fields.member(LogFormat))
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
_httpchk = switch(httpchk, HttpCheck)
_cookie = switch(cookie)
_mode = fields.member(Mode)
_log = table(Log, target=addresses.log_target, facility=fields.facility, level=fields.level)

node = table(
    Node,
    name=fields.name,
    log=one_or_more(_log),
    maxconn=fields.positive,
    user=fields.account,
    group=fields.account,
    chroot=fields.file_path,
    pidfile=fields.file_path,
    hard_stop_after=fields.delay,
    guard_timeout=fields.interval,
    script_user=fields.account,
    notify_fifo=fields.file_path,
    event_log=tables_notify.event_log,
)

api = table(Api, socket=fields.socket_path, listen=addresses.listen)

vrrp = table(
    VrrpInstance,
    rename=OWN_NAME,
    name=fields.name,
    interface=fields.interface,
    virtual_router_id=fields.vrid,
    addresses=array(addresses.vip, at_least=1),
    excluded_addresses=array(addresses.vip),
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

check = table(
    CheckTable,
    type=fields.member(CheckKind),
    addr=addresses.host,
    port=fields.port,
    inter=fields.interval,
    fastinter=fields.interval,
    downinter=fields.interval,
    rise=fields.positive,
    fall=fields.positive,
)

server = table(
    ServerTable,
    address=addresses.server,
    id=fields.positive,
    weight=fields.weight,
    cookie=fields.cookie_value,
    maxconn=fields.natural,
    maxqueue=fields.natural,
    backup=fields.boolean,
    disabled=fields.boolean,
    check=switch(check, CheckTable),
)

frontend = table(
    FrontendTable,
    bind=one_or_more(addresses.bind, at_least=1),
    mode=_mode,
    maxconn=fields.positive,
    timeout=_timeouts(ClientTimeouts),
    log_format=_log_format,
    forwardfor=_forwardfor,
    http_server_close=fields.boolean,
    dontlognull=fields.boolean,
    acl=_acl,
    use_backend=array(
        table(UseBackend, rename={"condition": "if"}, backend=string, condition=string),
    ),
    default_backend=string,
    stats=switch(table(Stats, uri=fields.uri_path, auth=one_or_more(auth)), Stats),
)

backend = table(
    BackendTable,
    server=named(server),
    mode=_mode,
    balance=fields.balance,
    timeout=_timeouts(ServerTimeouts),
    retries=fields.natural,
    redispatch=redispatch,
    abortonclose=fields.boolean,
    http_server_close=fields.boolean,
    forwardfor=_forwardfor,
    httpchk=_httpchk,
    cookie=_cookie,
)

defaults = table(
    DefaultsTable,
    mode=_mode,
    maxconn=fields.positive,
    timeout=_timeouts(AllTimeouts),
    log_format=_log_format,
    forwardfor=_forwardfor,
    http_server_close=fields.boolean,
    dontlognull=fields.boolean,
    default_backend=string,
    balance=fields.balance,
    retries=fields.natural,
    redispatch=redispatch,
    abortonclose=fields.boolean,
    httpchk=_httpchk,
    cookie=_cookie,
)
