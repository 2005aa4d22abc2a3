"""Cross-checks of a backend and its servers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf

import attrs

from hapair.config.asks import ExternalCheck, MysqlCheck, PgsqlCheck, TcpCheck
from hapair.config.check_notify import ScriptMistake
from hapair.config.fields import spell, suggestion
from hapair.config.locate import Path
from hapair.config.model import Backend, Check, CheckKind, CookieMode, Mode, Node, ProxyVersion, Server
from hapair.config.problems import quoted
from hapair.config.report import Report


def check(name: str, backend: Backend, report: Report) -> None:
    """Report what does not go together in one backend."""
    path: Path = ("backend", name)
    if not backend.servers:
        report.warning(path, "it has no servers: every client is turned away", at_key=True)
        return
    missing = [key for key in ("connect", "server") if getattr(backend.timeout, key) == inf]
    if missing:
        keys = " and ".join(f"timeout.{key}" for key in missing)
        report.warning(path, f"{keys} not set: a server that hangs is waited for without end", at_key=True)
    if backend.mode is Mode.TCP:
        for key, value in (
            ("cookie", backend.cookie),
            ("forwardfor", backend.forwardfor),
            ("originalto", backend.originalto),
            ("forwarded", backend.forwarded),
            ("compression", backend.compression),
            ("http_server_close", backend.http_server_close),
            ("httpclose", backend.httpclose),
            ("http_buffer_request", backend.http_buffer_request),
            ("retry_on", backend.retry_on),
        ):
            if value and report.written((*path, key)):
                report.warning((*path, key), 'this has no effect without mode = "http"')
    _balance(backend, path, report)
    _cookie(backend, path, report)
    _quorum(backend, path, report)
    if report.written((*path, "fullconn")) and not any(server.minconn for server in backend.servers):
        report.warning((*path, "fullconn"), "this has no effect: no server has minconn")
    if all(server.backup or server.disabled or not server.weight for server in backend.servers):
        report.warning(
            path, "no server takes new clients: each is a backup, disabled or has weight 0", at_key=True
        )
    ids: dict[int, str] = {}
    cookies: dict[str, str] = {}
    for server in backend.servers:
        here = (*path, "server", server.name)
        first = ids.setdefault(server.id, server.name)
        if first != server.name:
            report.error((*here, "id"), f"id {server.id} is already used by server {first}")
        _limits(server, here, report)
        _persistence(backend, server, cookies, here, report)
        _proxy_header(server, here, report)
        _observe(backend, server, here, report)
        _slowstart(backend, server, here, report)
        _check(server, here, report)
        _http_check(server, path, report)


def _quorum(backend: Backend, path: Path, report: Report) -> None:
    """One that can be gained and lost, and a sorry server that there is."""
    servers = {server.name: server for server in backend.servers}
    sorry = servers.get(backend.sorry_server or "")
    if backend.sorry_server is not None and sorry is None:
        hint = suggestion(backend.sorry_server, servers)
        report.error((*path, "sorry_server"), f"there is no server {quoted(backend.sorry_server)}{hint}")
    elif sorry is not None and (sorry.backup or sorry.disabled or not sorry.weight):
        why = "a backup" if sorry.backup else "disabled" if sorry.disabled else "of weight 0"
        report.error((*path, "sorry_server"), f"server {sorry.name} is {why}: it would never serve")
    if not backend.quorum:
        if report.written((*path, "hysteresis")):
            report.warning((*path, "hysteresis"), "this has no effect without quorum")
        return
    total = sum(one.weight for one in backend.servers if not one.backup and one is not sorry)
    if backend.hysteresis >= backend.quorum:
        report.error(
            (*path, "hysteresis"),
            f"not less than quorum ({backend.quorum}): it would be lost with the last server only",
        )
    elif backend.quorum + backend.hysteresis > total:
        needed = backend.quorum + backend.hysteresis
        report.error(
            (*path, "quorum"),
            f"with hysteresis it needs {needed}, and all active servers together weigh {total}: "
            "it can never be gained",
        )
    if not any(server.check or server.track or server.agent_check for server in backend.servers):
        report.warning(
            (*path, "quorum"), "no server is checked: it is lost by an operator's doing only", at_key=True
        )


def _limits(server: Server, path: Path, report: Report) -> None:
    if server.minconn and server.minconn >= server.maxconn:
        report.warning(
            (*path, "minconn"),
            f"the limit is always {server.minconn}: it moves only below a greater maxconn",
        )
    if server.maxqueue and not server.maxconn:
        report.warning((*path, "maxqueue"), "this has no effect without maxconn: nobody waits")


_OF_REQUESTS = ("uri", "url_param", "hdr")
_OF_KEYS = ("source", "uri", "url_param", "hdr", "hash")


def _balance(backend: Backend, path: Path, report: Report) -> None:
    algorithm = backend.balance.algorithm
    if algorithm in _OF_REQUESTS and backend.mode is Mode.TCP:
        report.error((*path, "balance"), f'{algorithm} needs requests: mode = "http"')
    if report.written((*path, "hash_type")) and algorithm not in _OF_KEYS:
        report.warning((*path, "hash_type"), f"this has no effect: {algorithm} hashes nothing")
    bounded = algorithm == "random" or (algorithm in _OF_KEYS and backend.hash_type.consistent)
    if report.written((*path, "hash_balance_factor")) and not bounded:
        report.warning(
            (*path, "hash_balance_factor"),
            'this has no effect without hash_type = "consistent" or balance = "random"',
        )


def _slowstart(backend: Backend, server: Server, path: Path, report: Report) -> None:
    algorithm = backend.balance.algorithm
    fixed = algorithm == "static-rr" or (algorithm in _OF_KEYS and not backend.hash_type.consistent)
    if server.slowstart and fixed and not server.maxconn:
        report.warning(
            (*path, "slowstart"),
            f"this has no effect: weights do not move with {algorithm}, and there is no maxconn",
        )


def _cookie(backend: Backend, path: Path, report: Report) -> None:
    """Options of a cookie that go together, as HAProxy has it."""
    cookie = backend.cookie
    here: Path = (*path, "cookie")
    if cookie is None:
        for key in ("ignore_persist", "dynamic_cookie_key"):
            if report.written((*path, key)):
                report.warning((*path, key), "this has no effect without a cookie")
        if backend.force_persist and not backend.stick:
            report.warning((*path, "force_persist"), "this has no effect: nobody belongs to a server")
        return
    inserts = cookie.mode is CookieMode.INSERT
    if cookie.indirect and cookie.mode is CookieMode.REWRITE:
        report.error((*here, "indirect"), 'this cannot be with mode = "rewrite"')
    if cookie.preserve and not inserts and not cookie.indirect:
        report.error((*here, "preserve"), 'this needs mode = "insert" or indirect')
    for key in ("nocache", "postonly", "httponly", "secure", "domain", "maxidle", "maxlife", "attr"):
        if getattr(cookie, key) and not inserts:
            report.warning((*here, key), 'this has no effect without mode = "insert"')
    if cookie.dynamic and backend.dynamic_cookie_key is None:
        report.error((*here, "dynamic"), "this needs a dynamic_cookie_key in the backend")
    if not cookie.dynamic and report.written((*path, "dynamic_cookie_key")):
        report.warning((*path, "dynamic_cookie_key"), "this has no effect without cookie.dynamic")


def _persistence(
    backend: Backend, server: Server, cookies: dict[str, str], path: Path, report: Report
) -> None:
    if server.cookie is not None:
        if backend.cookie is None:
            report.warning((*path, "cookie"), f"this has no effect: backend {backend.name} has no cookie")
        first = cookies.setdefault(server.cookie, server.name)
        if first != server.name:
            report.warning((*path, "cookie"), f"server {first} has the same: its clients may end up here")
    elif backend.cookie is not None and backend.mode is Mode.HTTP and not backend.cookie.dynamic:
        report.warning(
            path,
            f"it has no cookie value: clients that come here are not kept by {quoted(backend.cookie.name)}",
            at_key=True,
        )


def _observe(backend: Backend, server: Server, path: Path, report: Report) -> None:
    """Traffic can only hasten what a check decides."""
    if server.observe is None:
        for key in ("error_limit", "on_error"):
            if report.written((*path, key)):
                report.warning((*path, key), "this has no effect without observe")
    elif server.check is None:
        report.error((*path, "observe"), "it needs a check: without one nothing would bring the server back")
    elif server.observe == 7 and backend.mode is Mode.TCP:
        report.error((*path, "observe"), 'there is no layer 7 without mode = "http"')


def _proxy_header(server: Server, path: Path, report: Report) -> None:
    if server.proxy_v2_options and server.send_proxy is not ProxyVersion.V2:
        report.error((*path, "proxy_v2_options"), 'this needs send_proxy = "v2"')
    check = server.check
    if check is not None and check.send_proxy is not None and check.kind is CheckKind.ICMP:
        report.warning((*path, "check"), "an ICMP echo begins with no PROXY header")


def _check(server: Server, path: Path, report: Report) -> None:
    """A check that cannot pass, or not as it is meant."""
    check = server.check
    if check is None:
        return
    here = (*path, "check")
    on_socket = server.host.startswith("/") and check.address is None
    if on_socket and check.kind is CheckKind.ICMP:
        report.error((*here, "type"), f"{server.host} is a socket: it cannot answer an ICMP echo")
    elif on_socket and check.port is not None:
        report.error((*here, "port"), f"{server.host} is a socket and has no port; addr would name a host")
    elif server.host.startswith("/") and check.address is not None and check.port is None:
        if check.kind is not CheckKind.ICMP:
            report.error((*here, "addr"), "the server is a socket: a port is needed to check another address")
    elif check.kind is CheckKind.ICMP and check.port is not None:
        report.warning((*here, "port"), "an ICMP echo has no port")
    _kind(check, here, report)
    if check.fastinter is not None and check.fastinter > check.inter:
        report.warning((*here, "fastinter"), f"longer than inter ({spell(check.inter)})")


def check_tracked(
    backend: Backend, backends: Mapping[str, Backend], names: Collection[str], report: Report
) -> None:
    """A server that follows another's check means one that has a check."""
    for server in backend.servers:
        if server.track is None:
            continue
        path = ("backend", backend.name, "server", server.name, "track")
        if server.check is not None:
            report.error(path, "it has a check of its own: only one of both can count")
        wanted, _, name = server.track.partition("/")
        if wanted not in names:
            report.error(path, f"there is no backend {quoted(wanted)}{suggestion(wanted, names)}")
        if wanted not in backends:
            continue
        found = next((one for one in backends[wanted].servers if one.name == name), None)
        if found is None:
            known = [one.name for one in backends[wanted].servers]
            report.error(path, f"backend {wanted} has no server {quoted(name)}{suggestion(name, known)}")
        elif found.track is not None:
            report.error(path, f"{server.track} tracks {found.track}: track that itself")
        elif found.check is None:
            report.error(path, f"{server.track} is not checked: there is nothing to follow")


def check_programs(
    backend: Backend, node: Node | None, report: Report, script_mistake: ScriptMistake | None
) -> None:
    """Report programs that cannot or must not be run."""
    for key in ("quorum_up", "quorum_down"):
        command = getattr(backend, key)
        if not command or node is None:
            continue
        if node.chroot is not None:
            report.error(
                ("backend", backend.name, key), f"no script can be run from inside node.chroot {node.chroot}"
            )
        elif script_mistake is not None:
            found = script_mistake(command[0], node)
            if found is not None:
                (report.error if found[0] == "error" else report.warning)(
                    ("backend", backend.name, key), found[1]
                )
    for server in backend.servers:
        ask = server.check.ask if server.check is not None else None
        if not isinstance(ask, ExternalCheck) or node is None:
            continue
        here = ("backend", backend.name, "server", server.name, "check", "external")
        path = (*here, "command")
        if ask.user is not None and node.user not in (None, ask.user):
            report.error((*here, "user"), f"the node becomes {node.user}, who can run nothing as {ask.user}")
        elif node.chroot is not None:
            report.error(path, f"no program can be run from inside node.chroot {node.chroot}")
        elif script_mistake is not None:
            as_whom = attrs.evolve(node, script_user=ask.user or node.script_user)
            found = script_mistake(ask.command[0], as_whom)
            if found is not None:
                (report.error if found[0] == "error" else report.warning)(path, found[1])


_MUST_SAY = {
    CheckKind.UDP: "udp = { payload = … }",
    CheckKind.TCP_CHECK: 'tcp_check = ["connect", …]',
    CheckKind.EXTERNAL: "external = { command = … }",
    CheckKind.FILE: "file = { file = … }",
}
_SECURABLE = (
    *(CheckKind.TCP, CheckKind.TCP_CHECK, CheckKind.HTTP, CheckKind.SMTP, CheckKind.REDIS),
    *(CheckKind.LDAP, CheckKind.FTP),
)
_UPGRADABLE = (CheckKind.SMTP, CheckKind.FTP, CheckKind.LDAP, CheckKind.PGSQL, CheckKind.MYSQL)


def _kind(check: Check, path: Path, report: Report) -> None:
    """What is said about kinds fits the one that is asked."""
    for kind in CheckKind:
        if kind is not check.kind and report.written((*path, kind.value)):
            report.error(
                (*path, kind.value), f"this has no effect: the check is of type {quoted(check.kind.value)}"
            )
    if check.ask is None and check.kind in _MUST_SAY:
        report.error((*path, "type"), f"this needs {_MUST_SAY[check.kind]}")
    if check.tls is not None and check.tls.starttls:
        _starttls(check, path, report)
    elif check.tls is not None and check.kind not in _SECURABLE:
        hint = "; starttls would" if check.kind in _UPGRADABLE else ""
        report.error((*path, "ssl"), f"a {check.kind.value} check speaks no TLS from the first byte{hint}")
    script_ssl = isinstance(check.ask, TcpCheck) and any(
        getattr(rule, "ssl", False) for rule in check.ask.rules
    )
    if check.tls is None and not script_ssl:
        for key in ("sni", "verify", "ca_file"):
            if report.written((*path, key)):
                report.warning((*path, key), "this has no effect without ssl or starttls")
    elif check.tls is not None and check.tls.ca_file is not None and not check.tls.verify:
        report.warning((*path, "ca_file"), 'this has no effect without verify = "required"')
    if isinstance(check.ask, MysqlCheck | PgsqlCheck):
        _database(check.ask, check.kind, path, report)


def _starttls(check: Check, path: Path, report: Report) -> None:
    here = (*path, "starttls")
    if check.kind not in _UPGRADABLE:
        known = ", ".join(kind.value for kind in _UPGRADABLE)
        report.error(here, f"a {check.kind.value} check cannot ask for TLS; these can: {known}")
    elif report.written((*path, "ssl")):
        report.error(here, "TLS is spoken from the first byte (ssl), or asked for: only one of both")
    if isinstance(check.ask, MysqlCheck) and (check.ask.user is None or check.ask.version == "pre-41"):
        report.error(here, "a MySQL server speaks TLS only with who logs in: it needs a user, and no pre-41")


def _database(ask: MysqlCheck | PgsqlCheck, kind: CheckKind, path: Path, report: Report) -> None:
    here = (*path, kind.value)
    if ask.expect is not None and ask.query is None:
        report.error((*here, "expect"), "there is no query that could give it")
    if isinstance(ask, MysqlCheck):
        if ask.user is None and (ask.query is not None or ask.password):
            report.error(here, "a user is needed to log in", at_key=True)
        if ask.version == "pre-41" and (ask.password or ask.query is not None):
            report.error(
                (*here, "version"), "before 4.1 there is only a login without password, and no query"
            )
        if ask.user is None:
            report.warning(
                path,
                "without a user the server counts every check as a failed login, "
                "and blocks this host after max_connect_errors of them",
                at_key=True,
            )


def _http_check(server: Server, path: Path, report: Report) -> None:
    http = server.check.http if server.check is not None else None
    if (
        http is not None
        and http.version == "HTTP/1.1"
        and all(name.lower() != "host" for name, _ in http.headers)
    ):
        report.warning(
            (*path, "httpchk"),
            "HTTP/1.1 without a Host header, to which a server must answer 400 (RFC 9112 section 3.2): "
            'no check passes; use HTTP/1.0, or a table with headers = { Host = "…" }',
        )
