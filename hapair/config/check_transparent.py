"""Cross-checks of `source` and of transparent binds: where they are impossible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from hapair.config.locate import Path
from hapair.config.model import Backend, Frontend, IPAddress, Mode, Node, Server
from hapair.config.report import Report

TransparencyMistake = Callable[[], str | None]
"""Why this process could not be transparent; the application knows."""


def check(
    frontends: Mapping[str, Frontend],
    backends: Mapping[str, Backend],
    node: Node | None,
    report: Report,
    transparency_mistake: TransparencyMistake | None,
) -> None:
    """Report sources that cannot be, and transparency where this node cannot have it."""
    asks: list[Path] = []
    for name, backend in backends.items():
        for server in backend.servers:
            if server.source is None:
                continue
            here: Path = ("backend", name, "server", server.name, "source")
            path = here if report.written(here) else ("backend", name, "source")
            _source(server, backend, path, report)
            if server.source.usesrc:
                asks.append(path)
    for name, frontend in frontends.items():
        for i, bind in enumerate(frontend.bind):
            if not bind.transparent:
                continue
            path = ("frontend", name, "bind", i, "transparent")
            if bind.port is None:
                report.error(path, f"{bind.text} has no address: nobody's connections could be taken there")
            asks.append(path)
    why = transparency_mistake() if asks and transparency_mistake is not None else None
    for path in asks:
        if why is not None:
            report.error(path, why)
        elif node is not None and node.chroot is not None:
            report.error(path, f"nft, which this needs, cannot be run from inside node.chroot {node.chroot}")


def _source(server: Server, backend: Backend, path: Path, report: Report) -> None:
    assert server.source is not None
    if server.host.startswith("/"):
        report.error(path, f"server {server.name} is a socket: connections to it come from no address")
    elif server.source.address is not None:
        literal = _literal(server.host)
        if literal is not None and literal.version != server.source.address.version:
            versions = f"IPv{literal.version}, and {server.source.address} is not"
            report.error(path, f"server {server.name} is {versions}")
    if server.source.usesrc == "hdr_ip" and backend.mode is Mode.TCP:
        report.error(path, 'hdr_ip needs requests: mode = "http"')


def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
