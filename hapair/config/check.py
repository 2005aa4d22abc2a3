"""Cross-checks: what is right by itself in each table, but not together.

Two separate products cannot find most of these: that a frontend listens on an
address that nobody has, that a router can never yield, that a backend is never
used.  Only tables that are right by themselves are looked at, so that one
mistake is told once.

Longer than most files: each check is short, and a new one is looked for here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from ipaddress import IPv4Address, ip_address
from math import inf

import attrs

from hapair.config import (
    check_backend,
    check_log,
    check_notify,
    check_peers,
    check_sync_group,
    check_track,
    check_transparent,
    check_users,
    check_vrrp,
)
from hapair.config.fields import suggestion
from hapair.config.locate import Path
from hapair.config.model import (
    Api,
    Backend,
    Cache,
    Email,
    Frontend,
    IPAddress,
    Mode,
    Node,
    Peers,
    StickTable,
    SyncGroup,
    Track,
    Tracker,
    UserList,
    VrrpInstance,
)
from hapair.config.problems import dotted, quoted
from hapair.config.report import Report
from hapair.config.stick import no_kind_twice

AclMistake = Callable[[str], tuple[int, str] | None]
ConditionMistake = Callable[[str, Collection[str]], tuple[int, str] | None]
RuleMistake = Callable[[str, str, Collection[str]], tuple[int, str] | None]
"""Offset and message; `hapair.rules` has them, which configuration may not import."""

FRONTEND_RULES = (
    "http_request http_response http_after_response http_error "
    "tcp_request_connection tcp_request_session tcp_request_content"
).split()
BACKEND_RULES = ["http_request", "http_response", "http_error", "tcp_response_content", "stick"]


@attrs.frozen
class Draft:
    """The tables of a file that are right by themselves."""

    node: Node | None
    api: Api | None
    email: Email | None
    mails: bool
    """Is there an [email]?  Also when there is a mistake in it."""
    vrrp: Mapping[str, VrrpInstance]
    frontends: Mapping[str, Frontend]
    backends: Mapping[str, Backend]
    backend_names: frozenset[str]
    """All of them: a backend with a mistake in it does exist."""
    frontend_names: frozenset[str] = frozenset()
    sync_groups: Mapping[str, SyncGroup] = attrs.field(factory=dict)
    instance_names: frozenset[str] = frozenset()
    """Also those with a mistake in them."""
    trackers: Mapping[tuple[str, str], Tracker] = attrs.field(factory=dict)
    stick_tables: Mapping[str, StickTable] = attrs.field(factory=dict)
    caches: Mapping[str, Cache] = attrs.field(factory=dict)
    peers: Peers | None = None
    userlists: Mapping[str, UserList] = attrs.field(factory=dict)
    tracker_names: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """Kind -> the names of the tables [track_KIND.NAME], all of them."""


def cross_check(
    draft: Draft,
    report: Report,
    *,
    local_addresses: Container[IPAddress] = (),
    acl_mistake: AclMistake | None = None,
    condition_mistake: ConditionMistake | None = None,
    rule_mistake: RuleMistake | None = None,
    script_mistake: check_notify.ScriptMistake | None = None,
    transparency_mistake: check_transparent.TransparencyMistake | None = None,
) -> None:
    """Report what does not go together.

    `local_addresses` are known to be addresses of this node; a bind to another one,
    that is no VIP either, gets a warning.
    """
    check_vrrp.check(draft.vrrp, draft.node, report)
    check_sync_group.check(draft.sync_groups, draft.vrrp, draft.instance_names, report)
    check_track.check(draft.trackers, draft.vrrp, draft.node, report, script_mistake)
    check_notify.check(
        draft.vrrp, draft.sync_groups, draft.node, draft.email, report, script_mistake, mails=draft.mails
    )
    for name, backend in draft.backends.items():
        check_backend.check(name, backend, report)
        check_backend.check_tracked(backend, draft.backends, draft.backend_names, report)
        check_backend.check_programs(backend, draft.node, report, script_mistake)
        _backend_rules(backend, report, acl_mistake, condition_mistake)
        check_rules(backend, BACKEND_RULES, ("backend", name), report, rule_mistake)
        _hashed(backend, report, rule_mistake)
    check_transparent.check(draft.frontends, draft.backends, draft.node, report, transparency_mistake)
    _stick_tables(draft, report)
    check_peers.check(draft, report)
    check_users.check(draft.userlists, report)
    _tracks(draft, report)
    _routes(draft, report)
    _listeners(draft, report)
    for name, frontend in draft.frontends.items():
        path = ("frontend", name)
        _rules(frontend, path, report, acl_mistake, condition_mistake)
        check_rules(frontend, FRONTEND_RULES, path, report, rule_mistake)
        if frontend.monitor_fail is not None:
            where = (*path, "monitor_fail")
            check_condition(frontend.monitor_fail, frontend.acl, where, report, condition_mistake)
        check_log.check(frontend, path, draft.node, report, rule_mistake)
        _frontend(frontend, path, draft.node, report)
        _reachable(frontend, path, draft.vrrp, local_addresses, report)


def _stick_tables(draft: Draft, report: Report) -> None:
    """A name means one table, and a table has one of each kind."""
    places: dict[str, Path] = {}
    found: list[tuple[Path, str, StickTable]] = [
        (("stick_table", name), name, table) for name, table in draft.stick_tables.items()
    ]
    found += [
        ((section, name, "stick_table"), name, place.stick_table)
        for section, all_places in (("frontend", draft.frontends), ("backend", draft.backends))
        for name, place in all_places.items()
        if place.stick_table is not None
    ]
    for path, name, table in found:
        first = places.setdefault(name, path)
        if first != path:
            report.error(path, f"{dotted(first)} has the same name: rules could mean either", at_key=True)
        twice = no_kind_twice(table)
        if twice:
            report.error((*path, "store"), f"{twice} is stored twice")
        if table.nopurge and not table.expire:
            report.warning(path, "nopurge without expire: once it is full it stays so", at_key=True)


def _tracks(draft: Draft, report: Report) -> None:
    for name, instance in draft.vrrp.items():
        for i, track in enumerate(instance.track):
            path = ("vrrp", name, "track", i)
            check_track_exists(track, path, draft, report)
            backends = [draft.backends[one] for one in track.watched_backends if one in draft.backends]
            for backend in backends:
                count = len(backend.real_servers)
                if track.least > count:
                    report.error(
                        path,
                        f"backend {backend.name} never has {track.least} servers, it consists of "
                        f"{count}: this node would never be MASTER",
                    )
                elif all(_holds_always(one, track.least) for one in backends):
                    report.warning(
                        path, f"always holds: enough servers of backend {backend.name} have no check"
                    )


def _holds_always(backend: Backend, least: int) -> bool:
    return (
        sum(
            server.check is None and server.track is None and not server.disabled
            for server in backend.real_servers
        )
        >= least
    )


def check_track_exists(track: Track, path: Path, draft: Draft, report: Report) -> None:
    """Whoever tracks something means one that there is; an interface may come and go."""
    if track.kind == "backend":
        check_exists(track.name, path, draft, report)
    elif track.kind == "frontend":
        known = draft.frontend_names
        if track.name not in known:
            report.error(path, f"there is no frontend {quoted(track.name)}{suggestion(track.name, known)}")
        frontend = draft.frontends.get(track.name)
        if frontend is not None and not (frontend.use_backend or frontend.default_backend):
            report.error(path, f"frontend {track.name} uses no backend: nothing of it can fail")
    elif track.kind != "interface":
        known = draft.tracker_names.get(track.kind, frozenset())
        if track.name not in known:
            report.error(
                path, f"there is no track_{track.kind} {quoted(track.name)}{suggestion(track.name, known)}"
            )


def check_exists(backend: str, path: Path, draft: Draft, report: Report) -> None:
    """Whoever names a backend means one that there is."""
    if backend not in draft.backend_names:
        report.error(path, f"there is no backend {quoted(backend)}{suggestion(backend, draft.backend_names)}")


def _routes(draft: Draft, report: Report) -> None:
    """Backends that are named exist, speak the same mode, and those that exist are used."""
    used = {
        track.name for instance in draft.vrrp.values() for track in instance.track if track.kind == "backend"
    }
    for name, frontend in draft.frontends.items():
        targets: list[tuple[Path, str]] = [
            (("frontend", name, "use_backend", i, "backend"), use.backend)
            for i, use in enumerate(frontend.use_backend)
        ]
        if frontend.default_backend is not None:
            targets.append((("frontend", name, "default_backend"), frontend.default_backend))
        elif frontend.stats is None and not frontend.use_backend:
            report.warning(("frontend", name), "it has no backend: every client is turned away", at_key=True)
        for path, target in targets:
            if "%[" in target:
                used |= draft.backends.keys()  # any of them may be meant
                continue
            used.add(target)
            check_exists(target, path, draft, report)
            backend = draft.backends.get(target)
            if backend is not None and backend.mode is not frontend.mode:
                report.error(
                    path,
                    f"backend {target} has mode {quoted(backend.mode.value)}, "
                    f"this frontend {quoted(frontend.mode.value)}",
                )
            if backend is not None:
                _loops(frontend, backend, report)
    for name in draft.backends:
        if name not in used:
            report.warning(("backend", name), "no frontend uses this backend", at_key=True)


def _loops(frontend: Frontend, backend: Backend, report: Report) -> None:
    """A server that is the very frontend which sends clients there."""
    for server in backend.servers:
        for bind in frontend.bind:
            same_address = (
                bind.port is not None and server.port == bind.port and server.host == str(bind.host)
            )
            if same_address or (bind.path is not None and bind.path == server.host):
                report.warning(
                    ("backend", backend.name, "server", server.name, "address"),
                    f"frontend {frontend.name} listens there and sends clients here: they go in circles",
                )


def _listeners(draft: Draft, report: Report) -> None:
    """No two listeners want the same address and port."""
    taken: list[tuple[Path, IPAddress | None, int]] = []
    others: dict[str, Path] = {}
    if draft.api is not None and draft.api.listen is not None:
        taken.append((("api", "listen"), ip_address(draft.api.listen[0]), draft.api.listen[1]))
    if draft.api is not None and draft.api.socket is not None:
        others[draft.api.socket] = ("api", "socket")
    for name, frontend in draft.frontends.items():
        for i, bind in enumerate(frontend.bind):
            path = ("frontend", name, "bind", i)
            if bind.port is None:
                first = others.setdefault(bind.path or bind.text, path)
                found = first if first is not path else None
            else:
                found = next((p for p, h, n in taken if n == bind.port and _overlap(h, bind.host)), None)
                taken.append((path, bind.host, bind.port))
            if found is not None:
                report.error(path, f"{quoted(bind.text)} is already taken by {dotted(found)}")


def _overlap(one: IPAddress | None, other: IPAddress | None) -> bool:
    """Would the kernel refuse the second listener on one port?  None is every IPv4 address."""
    one, other = one or IPv4Address(0), other or IPv4Address(0)
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)


def _rules(
    frontend: Frontend,
    path: Path,
    report: Report,
    acl_mistake: AclMistake | None,
    condition_mistake: ConditionMistake | None,
) -> None:
    for name, expressions in frontend.acl.items():
        for i, expression in enumerate(expressions):
            check_acl(expression, (*path, "acl", name, i), report, acl_mistake)
    for i, use in enumerate(frontend.use_backend):
        if use.condition is not None:
            where = (*path, "use_backend", i, "if")
            check_condition(use.condition, frontend.acl, where, report, condition_mistake)
    for i, use in enumerate(frontend.use_backend):
        if use.condition is None and (
            i < len(frontend.use_backend) - 1 or frontend.default_backend is not None
        ):
            report.warning(
                (*path, "use_backend", i), 'without "if" this always applies: what follows is never used'
            )


def _backend_rules(
    backend: Backend,
    report: Report,
    acl_mistake: AclMistake | None,
    condition_mistake: ConditionMistake | None,
) -> None:
    path: Path = ("backend", backend.name)
    for name, expressions in backend.acl.items():
        for i, expression in enumerate(expressions):
            check_acl(expression, (*path, "acl", name, i), report, acl_mistake)
    for key in ("force_persist", "ignore_persist"):
        for i, condition in enumerate(getattr(backend, key)):
            check_condition(condition, backend.acl, (*path, key, i), report, condition_mistake)
    names = [server.name for server in backend.servers]
    for i, use in enumerate(backend.use_server):
        where = (*path, "use_server", i)
        if use.server not in names:
            report.error(
                (*where, "server"), f"there is no server {quoted(use.server)}{suggestion(use.server, names)}"
            )
        if use.condition is not None:
            check_condition(use.condition, backend.acl, (*where, "if"), report, condition_mistake)


_AS_A_RULE = "set-var(txn.key) "
"""What makes a rule of a sample that is read while a request is there."""


def _hashed(backend: Backend, report: Report, rule_mistake: RuleMistake | None) -> None:
    """The sample of `balance = "hash ..."`."""
    expression = backend.balance.expression
    if expression and rule_mistake is not None:
        found = rule_mistake("http_request", _AS_A_RULE + expression, list(backend.acl))
        if found is not None:
            at = len("hash ") + max(0, found[0] - len(_AS_A_RULE))
            report.error(("backend", backend.name, "balance"), found[1], offset=at)


def check_rules(
    side: Frontend | Backend, kinds: list[str], path: Path, report: Report, rule_mistake: RuleMistake | None
) -> None:
    """Lists of rules that the rules understand, and that the mode has a use for."""
    for kind in kinds:
        texts: tuple[str, ...] = getattr(side, kind)
        inherited = kind == "http_error" and not report.written((*path, kind))
        if texts and kind.startswith("http_") and side.mode is Mode.TCP and not inherited:
            report.warning((*path, kind), 'this has no effect without mode = "http"')
        for i, text in enumerate(texts):
            wanted = f"{kind} backend" if kind.startswith("http_re") and isinstance(side, Backend) else kind
            found = rule_mistake(wanted, text, list(side.acl)) if rule_mistake is not None else None
            if found is not None:
                report.error((*path, kind, i), found[1], offset=found[0])


def check_acl(expression: str, path: Path, report: Report, acl_mistake: AclMistake | None) -> None:
    """An ACL expression that the rules understand."""
    found = acl_mistake(expression) if acl_mistake is not None else None
    if found is not None:
        report.error(path, found[1], offset=found[0])


def check_condition(
    condition: str,
    acls: Collection[str],
    path: Path,
    report: Report,
    condition_mistake: ConditionMistake | None,
) -> None:
    """A condition over these ACLs that the rules understand."""
    found = condition_mistake(condition, list(acls)) if condition_mistake is not None else None
    if found is not None:
        report.error(path, found[1], offset=found[0])


def _frontend(frontend: Frontend, path: Path, node: Node | None, report: Report) -> None:
    if frontend.timeout.client == inf:
        report.warning(
            path, "timeout.client is not set: a client that vanishes is kept for ever", at_key=True
        )
    if node is not None and frontend.maxconn > node.maxconn:
        report.warning(
            (*path, "maxconn"), f"never reached: node.maxconn lets only {node.maxconn} clients in altogether"
        )
    if frontend.tcp_request_inspect_delay and frontend.mode is Mode.HTTP:
        where = (*path, "tcp_request_inspect_delay")
        if report.written(where):
            report.warning(where, 'this has no effect without mode = "tcp": a request is always waited for')
    limits = frontend.http_limits
    if limits.request_line is not None and limits.request_line > limits.head:
        where = (*path, "http_limits", "request_line")
        if report.written(where):
            report.warning(where, f"never reached: the whole head may have {limits.head} bytes")
    if frontend.mode is Mode.TCP:
        if frontend.stats is not None:
            report.error((*path, "stats"), 'the statistics page needs mode = "http"')
        for key, value in (
            ("forwardfor", frontend.forwardfor),
            ("originalto", frontend.originalto),
            ("compression", frontend.compression),
            ("http_server_close", frontend.http_server_close),
            ("httpclose", frontend.httpclose),
            ("http_buffer_request", frontend.http_buffer_request),
            ("http_limits", frontend.http_limits),
        ):
            if value and report.written((*path, key)):
                report.warning((*path, key), 'this has no effect without mode = "http"')


def _reachable(
    frontend: Frontend,
    path: Path,
    vrrp: Mapping[str, VrrpInstance],
    local_addresses: Container[IPAddress],
    report: Report,
) -> None:
    """Binding succeeds for any address (IP_FREEBIND), so a slip in one is silent at run time."""
    vips = {vip.ip for instance in vrrp.values() for vip in instance.held}
    closed = {
        vip.ip: instance.name for instance in vrrp.values() if not instance.accept for vip in instance.held
    }
    for i, bind in enumerate(frontend.bind):
        host = bind.host
        if host in closed:
            message = f"nothing arrives at {host}: vrrp.{closed[host]} has accept = false"
            report.error((*path, "bind", i), message)
        if (
            bind.transparent
            or host is None
            or host.is_unspecified
            or host.is_loopback
            or host in vips
            or host in local_addresses
        ):
            continue
        near = suggestion(str(host), [str(vip) for vip in vips])
        report.warning(
            (*path, "bind", i),
            f"{host} is no VIP of this node and not known to be another address of it{near}",
        )
