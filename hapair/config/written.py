"""Frontends, backends and servers as they are written.

What they do not say is looked up elsewhere ([defaults], the backend's httpchk;
`config.resolve` does it), so None means "not written" and False "written to be off".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from hapair.config.model import (
    Bind,
    CheckKind,
    Cookie,
    ForwardFor,
    HttpCheck,
    LogFormat,
    Mode,
    Stats,
    UseBackend,
)

Off = Literal[False]


@attrs.frozen
class CheckTable:
    type: CheckKind | None = None
    addr: str | None = None
    port: int | None = None
    inter: float = 2.0
    fastinter: float | None = None
    downinter: float | None = None
    rise: int = 2
    fall: int = 3


@attrs.frozen
class ServerTable:
    address: tuple[str, int]
    id: int | None = None
    weight: int = 1
    cookie: str | None = None
    maxconn: int = 0
    maxqueue: int = 0
    backup: bool = False
    disabled: bool = False
    check: CheckTable | Off = False


@attrs.frozen
class ClientTimeouts:
    http_request: float | None = None
    client: float | None = None
    http_keep_alive: float | None = None


@attrs.frozen
class ServerTimeouts:
    connect: float | None = None
    server: float | None = None
    check: float | None = None
    queue: float | None = None


@attrs.frozen
class AllTimeouts:
    http_request: float | None = None
    connect: float | None = None
    client: float | None = None
    server: float | None = None
    http_keep_alive: float | None = None
    check: float | None = None
    queue: float | None = None


@attrs.frozen
class FrontendTable:
    bind: tuple[Bind, ...]
    mode: Mode | None = None
    maxconn: int | None = None
    timeout: ClientTimeouts = ClientTimeouts()
    log_format: LogFormat | Off | None = None
    forwardfor: ForwardFor | Off | None = None
    http_server_close: bool | None = None
    dontlognull: bool | None = None
    acl: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    use_backend: tuple[UseBackend, ...] = ()
    default_backend: str | None = None
    stats: Stats | Off = False


@attrs.frozen
class BackendTable:
    server: Mapping[str, ServerTable] = attrs.field(factory=dict)
    mode: Mode | None = None
    balance: str | None = None
    timeout: ServerTimeouts = ServerTimeouts()
    retries: int | None = None
    redispatch: bool | None = None
    abortonclose: bool | None = None
    http_server_close: bool | None = None
    forwardfor: ForwardFor | Off | None = None
    httpchk: HttpCheck | Off | None = None
    cookie: Cookie | Off | None = None


@attrs.frozen
class DefaultsTable:
    """What frontends and backends inherit; each takes the keys that it has itself."""

    mode: Mode | None = None
    maxconn: int | None = None
    timeout: AllTimeouts = AllTimeouts()
    log_format: LogFormat | Off | None = None
    forwardfor: ForwardFor | Off | None = None
    http_server_close: bool | None = None
    dontlognull: bool | None = None
    default_backend: str | None = None
    balance: str | None = None
    retries: int | None = None
    redispatch: bool | None = None
    abortonclose: bool | None = None
    httpchk: HttpCheck | Off | None = None
    cookie: Cookie | Off | None = None
