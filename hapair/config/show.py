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

from hapair.config.asks import Ask, TcpCheck, UdpCheck
from hapair.config.balancing import spell_balance, spell_hash_type
from hapair.config.expand import escape
from hapair.config.fields import spell
from hapair.config.model import (
    Backend,
    Bind,
    Check,
    Cookie,
    Frontend,
    HttpCheck,
    NodeConfig,
    Server,
    Stats,
    Timeouts,
    User,
    Vip,
    VrrpInstance,
)
from hapair.config.tables_check import spell_octets
from hapair.config.tracks import written

_CLIENT_TIMEOUTS = ("http_request", "client", "http_keep_alive", "tarpit", "client_fin")
_SERVER_TIMEOUTS = ("connect", "server", "check", "queue", "tunnel", "server_fin")
_DURATIONS = frozenset(
    "hard_stop_after guard_timeout advert_interval startup_delay preempt_delay garp_delay garp_refresh "
    "garp_lower_prio_delay garp_interval gna_interval slowstart pool_purge_delay tcp_request_inspect_delay "
    "expire inter fastinter downinter delay_before_retry warmup notify_timeout timeout interval "
    "maxidle maxlife max_age".split()
)
"""Fields that are seconds, beside the timeouts."""


def show(config: NodeConfig) -> str:
    """The configuration as text."""
    tree: dict[str, Any] = {"node": _plain(config.node), "api": _plain(config.api)}
    if config.peers is not None:
        tree["peers"] = {"listen": _host_port(*config.peers.listen), "peer": _host_port(*config.peers.peer)}
    tree["vrrp"] = {name: _vrrp(instance) for name, instance in config.vrrp.items()}
    tree["sync_group"] = {
        name: _plain(group, without=("name",)) for name, group in config.sync_groups.items()
    }
    for (kind, name), tracker in config.trackers.items():
        tree.setdefault(f"track_{kind}", {})[name] = _plain(tracker, without=("name",))
    tree["stick_table"] = {name: _plain(one) for name, one in config.stick_tables.items()}
    tree["cache"] = {name: _plain(one) for name, one in config.caches.items()}
    tree["userlist"] = {
        name: {"user": {who: _user(user) for who, user in one.users.items()}, "group": _toml(one.groups)}
        for name, one in config.userlists.items()
    }
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
    for key in ("addresses", "excluded_addresses"):
        if vips := getattr(instance, key):
            shown[key] = [_vip(vip) for vip in vips]
    shown["track"] = [escape(written(track)) for track in instance.track]
    return shown


def _vip(vip: Vip) -> str | dict[str, Any]:
    return str(vip) if vip == Vip(vip.address) else _plain(vip)


def _user(user: User) -> dict[str, Any]:
    key = "insecure_password" if user.insecure else "password"
    return {key: escape(user.password), "groups": list(user.groups)}


def _frontend(frontend: Frontend) -> dict[str, Any]:
    shown = _plain(frontend, without=("name", "timeout"))
    shown["bind"] = [_bind(bind) for bind in frontend.bind]
    shown["timeout"] = _timeouts(frontend.timeout, _CLIENT_TIMEOUTS)
    shown["use_backend"] = [_renamed(_plain(use), "condition", "if") for use in frontend.use_backend]
    _show_exceptions(shown)
    if frontend.stats is not None:
        shown["stats"] = _stats(frontend.stats)
    return shown


def _show_exceptions(shown: dict[str, Any]) -> None:
    for key in ("forwardfor", "originalto"):
        if key in shown:
            shown[key] = _renamed(shown[key], "exceptions", "except")


def _bind(bind: Bind) -> str | dict[str, Any]:
    address = escape(bind.text)
    more: dict[str, Any] = {}
    if bind.accept_proxy is not None:
        more["accept_proxy"] = [str(one) for one in bind.accept_proxy] or True
    if bind.transparent:
        more["transparent"] = True
    return {"address": address, **more} if more else address


def _stats(stats: Stats) -> dict[str, Any]:
    return {"uri": escape(stats.uri), "auth": [escape(f"{user}:{password}") for user, password in stats.auth]}


def _backend(backend: Backend) -> dict[str, Any]:
    shown = _plain(backend, without=("name", "servers", "timeout"))
    if not backend.quorum:
        del shown["quorum"]
    if not backend.hysteresis:
        del shown["hysteresis"]
    shown["balance"] = escape(spell_balance(backend.balance))
    shown["hash_type"] = spell_hash_type(backend.hash_type)
    shown["timeout"] = _timeouts(backend.timeout, _SERVER_TIMEOUTS)
    shown["use_server"] = [_renamed(_plain(use), "condition", "if") for use in backend.use_server]
    _show_exceptions(shown)
    if isinstance(backend.cookie, Cookie):
        shown["cookie"] = _plain(backend.cookie)
    shown["server"] = {server.name: _server(server) for server in backend.servers}
    return shown


def _server(server: Server) -> dict[str, Any]:
    address = server.host if server.host.startswith("/") else _host_port(server.host, server.port)
    shown = {
        "address": escape(address),
        **_plain(server, without=("name", "host", "port", "check", "agent_check", "source")),
    }
    if server.source is not None:
        shown["source"] = escape(server.source.text)
    if server.observe is not None:
        shown["observe"] = f"layer{server.observe}"
    if server.agent_check is not None:
        agent = _plain(server.agent_check, without=("send",))
        shown["agent_check"] = {
            **agent,
            **({"send": escape(spell_octets(server.agent_check.send))} if server.agent_check.send else {}),
        }
    if server.check is not None:
        shown["check"] = _check(server.check)
    return shown


def _check(check: Check) -> dict[str, Any]:
    shown = _plain(check, without=("http", "urls", "ask", "tls", "send_proxy"))
    if check.http is not None:
        shown["http"] = _http(check.http)
        if check.urls:
            shown["urls"] = [_http(one) for one in check.urls]
    if check.ask is not None:
        shown[check.kind.value] = _ask(check.ask)
    if check.tls is not None:
        verify = "required" if check.tls.verify else "none"
        how = "starttls" if check.tls.starttls else "ssl"
        shown |= {how: True, **_plain(check.tls, without=("verify", "starttls")), "verify": verify}
    return {
        **_renamed(_renamed(shown, "kind", "type"), "address", "addr"),
        "send_proxy": bool(check.send_proxy),
    }


def _http(http: HttpCheck) -> dict[str, Any]:
    shown = _plain(http, without=("headers", "expect"))
    if not http.body:
        del shown["body"]
    if http.headers:
        shown["headers"] = {name: escape(value) for name, value in http.headers}
    if http.expect:
        shown["expect"] = [escape(expect.text) for expect in http.expect]
    return shown


def _ask(ask: Ask) -> Any:
    if isinstance(ask, TcpCheck):
        return [escape(rule.text) for rule in ask.rules]
    shown = {key: value for key, value in _plain(ask).items() if value != ""}
    if isinstance(ask, UdpCheck):
        shown["payload"] = escape(spell_octets(ask.payload))
        if ask.reply is not None:
            shown["reply"] = escape(spell_octets(ask.reply))
    return shown


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
