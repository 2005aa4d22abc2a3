"""Cross-checks of a backend and its servers."""

from __future__ import annotations

from math import inf

from hapair.config.fields import spell
from hapair.config.locate import Path
from hapair.config.model import Backend, CheckKind, Mode, Server
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
            ("http_server_close", backend.http_server_close),
        ):
            if value and report.written((*path, key)):
                report.warning((*path, key), 'this has no effect without mode = "http"')
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
        _persistence(backend, server, cookies, here, report)
        _check(server, here, report)
        _http_check(server, path, report)


def _persistence(
    backend: Backend, server: Server, cookies: dict[str, str], path: Path, report: Report
) -> None:
    if server.cookie is not None:
        if backend.cookie is None:
            report.warning((*path, "cookie"), f"this has no effect: backend {backend.name} has no cookie")
        first = cookies.setdefault(server.cookie, server.name)
        if first != server.name:
            report.warning((*path, "cookie"), f"server {first} has the same: its clients may end up here")
    elif backend.cookie is not None and backend.mode is Mode.HTTP:
        report.warning(
            path,
            f"it has no cookie value: clients that come here are not kept by {quoted(backend.cookie.name)}",
            at_key=True,
        )


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
    if check.fastinter is not None and check.fastinter > check.inter:
        report.warning((*here, "fastinter"), f"longer than inter ({spell(check.inter)})")


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
