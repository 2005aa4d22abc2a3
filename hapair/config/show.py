"""NodeConfig -> node.toml with every value spelled out; it loads again to an equal NodeConfig.

[defaults] and environment variables are gone: what is shown is what counts.
Passwords are shown too, since the text must work.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf
from typing import Any

import attrs
import tomli_w

from hapair.config.expand import escape
from hapair.config.fields import spell
from hapair.config.model import (
    Backend,
    Check,
    Cookie,
    Frontend,
    NodeConfig,
    Server,
    Stats,
    Timeouts,
    VrrpInstance,
)
from hapair.config.tracks import written

_CLIENT_TIMEOUTS = ("http_request", "client", "http_keep_alive")
_SERVER_TIMEOUTS = ("connect", "server", "check", "queue")
_DURATIONS = frozenset(
    "hard_stop_after guard_timeout advert_interval startup_delay preempt_delay garp_delay garp_refresh "
    "garp_lower_prio_delay garp_interval gna_interval "
    "inter fastinter downinter notify_timeout timeout interval".split()
)
"""Fields that are seconds, beside the timeouts."""


def show(config: NodeConfig) -> str:
    """The configuration as text."""
    tree: dict[str, Any] = {"node": _plain(config.node), "api": _plain(config.api)}
    tree["vrrp"] = {name: _vrrp(instance) for name, instance in config.vrrp.items()}
    tree["sync_group"] = {
        name: _plain(group, without=("name",)) for name, group in config.sync_groups.items()
    }
    for (kind, name), tracker in config.trackers.items():
        tree.setdefault(f"track_{kind}", {})[name] = _plain(tracker, without=("name",))
    tree["frontend"] = {name: _frontend(frontend) for name, frontend in config.frontends.items()}
    tree["backend"] = {name: _backend(backend) for name, backend in config.backends.items()}
    if config.email is not None:
        shown = _renamed(_renamed(_plain(config.email), "sender", "from"), "recipients", "to")
        tree["email"] = {**shown, "smtp_server": _host_port(*config.email.smtp_server)}
    if config.api.listen is not None:
        tree["api"]["listen"] = _host_port(*config.api.listen)
    return tomli_w.dumps({key: section for key, section in tree.items() if section})


def _vrrp(instance: VrrpInstance) -> dict[str, Any]:
    shown = _plain(instance, without=("name",))
    shown["virtual_rules"] = [_renamed(_plain(rule), "source", "from") for rule in instance.virtual_rules]
    shown["track"] = [escape(written(track)) for track in instance.track]
    return shown


def _frontend(frontend: Frontend) -> dict[str, Any]:
    shown = _plain(frontend, without=("name", "timeout"))
    shown["bind"] = [escape(bind.text) for bind in frontend.bind]
    shown["timeout"] = _timeouts(frontend.timeout, _CLIENT_TIMEOUTS)
    shown["use_backend"] = [_renamed(_plain(use), "condition", "if") for use in frontend.use_backend]
    if frontend.forwardfor is not None:
        shown["forwardfor"] = _renamed(_plain(frontend.forwardfor), "exceptions", "except")
    if frontend.stats is not None:
        shown["stats"] = _stats(frontend.stats)
    return shown


def _stats(stats: Stats) -> dict[str, Any]:
    return {"uri": escape(stats.uri), "auth": [escape(f"{user}:{password}") for user, password in stats.auth]}


def _backend(backend: Backend) -> dict[str, Any]:
    shown = _plain(backend, without=("name", "servers", "timeout"))
    shown["timeout"] = _timeouts(backend.timeout, _SERVER_TIMEOUTS)
    if backend.forwardfor is not None:
        shown["forwardfor"] = _renamed(_plain(backend.forwardfor), "exceptions", "except")
    if isinstance(backend.cookie, Cookie):
        shown["cookie"] = _plain(backend.cookie)
    for server in backend.servers:
        if server.check is not None and server.check.http is not None:
            # One request for a whole backend: that is how it was written, too.
            shown["httpchk"] = _plain(server.check.http, without=("headers",))
            if server.check.http.headers:
                shown["httpchk"]["headers"] = {
                    name: escape(value) for name, value in server.check.http.headers
                }
    shown["server"] = {server.name: _server(server) for server in backend.servers}
    return shown


def _server(server: Server) -> dict[str, Any]:
    address = server.host if server.host.startswith("/") else _host_port(server.host, server.port)
    shown = {"address": escape(address), **_plain(server, without=("name", "host", "port", "check"))}
    if server.check is not None:
        shown["check"] = _check(server.check)
    return shown


def _check(check: Check) -> dict[str, Any]:
    return _renamed(_renamed(_plain(check, without=("http",)), "kind", "type"), "address", "addr")


def _timeouts(timeouts: Timeouts, keys: tuple[str, ...]) -> dict[str, str]:
    return {key: spell(seconds) for key in keys if (seconds := getattr(timeouts, key)) != inf}


def _plain(value: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table of what is set; attrs classes inside become tables as well."""
    shown = {}
    for field in attrs.fields(type(value)):
        content = getattr(value, field.name)
        if field.name not in without and content not in (None, (), {}):
            shown[field.name] = spell(content) if field.name in _DURATIONS else _toml(content)
    return shown


def _toml(value: Any) -> Any:
    match value:
        case bool() | int():
            return value
        case str():
            return escape(value)
        case Enum():
            return value.value
        case tuple():
            return [_toml(one) for one in value]
        case Mapping():
            return {key: _toml(one) for key, one in value.items()}
        case _ if attrs.has(type(value)):
            return _plain(value)
        case _:
            return str(value)


def _renamed(table: dict[str, Any], field: str, key: str) -> dict[str, Any]:
    return {key if name == field else name: content for name, content in table.items()}


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
