"""`hapair status`: ask the running node over its runtime socket, show it as tables or as JSON."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table

PATIENCE = 5.0
"""Seconds for the node to answer: it may be busy, or frozen."""
FAULT = 2
_COLOURS = {"MASTER": "green", "BACKUP": "cyan", "FAULT": "bold red", "UP": "green", "DOWN": "bold red"}


def status(file: Path | None, path: Path | None, *, as_json: bool) -> int:
    """Print the state of a node; returns the exit code."""
    if path is None:
        path = _socket_of(file)
        if path is None:
            return 1
    try:
        report = json.loads(ask(path, "show status"))
    except (OSError, ValueError) as error:
        click.echo(f"hapair: {_why(path, error)}", err=True)
        return 1
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        from rich.console import Console

        console = Console(highlight=False)
        for part in tables(report):
            console.print(part)
    return FAULT if any(router["state"] == "FAULT" for router in report["vrrp"]) else 0


def _socket_of(file: Path | None) -> Path | None:
    """The runtime socket that the configuration names; says why there is none."""
    from pathlib import Path

    from hapair.cli.check import load

    if file is None:
        click.echo("hapair: name the node's file, or its runtime socket with --socket", err=True)
        return None
    loaded = load(file)
    if loaded is None:
        return None
    if loaded.config.api.socket is None:
        click.echo(f'hapair: {file} has no runtime socket: add [api] socket = "/run/hapair.sock"', err=True)
        return None
    return Path(loaded.config.api.socket)


def ask(path: Path, command: str) -> str:
    """Return the node's answer to one command.

    Raises:
        OSError: it cannot be asked, or does not answer within PATIENCE seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(os.fspath(path))
        sock.sendall(command.encode() + b"\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return answer.decode()


def _why(path: Path, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return f"there is no {path}: the node does not run, or has another api.socket"
        case ConnectionRefusedError():
            return f"nobody listens on {path}: the node has died"
        case PermissionError():
            return f"you may not use {path}: ask as its owner or as root"
        case TimeoutError():
            return f"no answer on {path} within {PATIENCE:.0f} s: the node is frozen or overloaded"
        case OSError():
            return f"cannot ask on {path}: {error.strerror or error}"
        case _:
            return f"what answers on {path} is no hapair of this version"


def escape(text: str) -> str:
    """Text that rich must not take for markup."""
    return text.replace("[", r"\[")


def tables(report: dict[str, Any]) -> list[RenderableType]:
    """What people see."""
    parts: list[RenderableType] = []
    if report["vrrp"]:
        parts.append(_routers(report))
        parts += [_details(router) for router in report["vrrp"]]
    if report["servers"]:
        parts.append(_servers(report["servers"]))
    if report.get("workers"):
        parts.append(_workers(report["workers"]))
    return parts or [escape(f"{report['node']}: neither routers nor servers")]


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _routers(report: dict[str, Any]) -> Table:
    table = _table(
        f"{report['node']}, hapair {report['version']}",
        "instance", "state", "since", "priority", "addresses, gate", "peer", "last transition",
    )  # fmt: skip
    for router in report["vrrp"]:
        base, effective = router["priority"], router["effective_priority"]
        peer = router["peer"]
        table.add_row(
            escape(router["name"]),
            _coloured(router["state"]),
            age(router["since"]),
            str(base) if base == effective else f"{effective} (of {base})",
            "\n".join(_gate(router, address) for address in router.get("addresses", ())),
            f"{peer['address']} priority {peer['priority']}, {age(peer['heard'])} ago"
            if peer
            else "none heard",
            escape(router["cause"]),
        )
    return table


def _gate(router: dict[str, Any], address: str) -> str:
    """An address, and whether connections to it are accepted here."""
    return f"{address} {'[green]open[/]' if router['gates'][address] else 'closed'}"


def _details(router: dict[str, Any]) -> str:
    parts = [f"{router['adverts_sent']} adverts sent", f"{router['adverts_received']} received"]
    parts += [f"{count} dropped ({reason})" for reason, count in sorted(router["drops"].items())]
    if router.get("misplaced_addresses"):
        parts.append(f"{router['misplaced_addresses']} misplaced addresses removed")
    if router.get("duplicate_master_seconds"):
        parts.append(f"two masters for {router['duplicate_master_seconds']:.1f} s")
    if router.get("address_conflicts"):
        parts.append(
            f"{router['address_conflicts']} claims of our addresses, last by {router['conflicting_mac']}"
        )
    parts.append(f"{router['transitions']} transition{'s' * (router['transitions'] != 1)}")
    why = f"\n  {router['why']}" if router["why"] else ""
    return escape(f"  {router['name']}: {', '.join(parts)}{why}")


def _servers(servers: list[dict[str, Any]]) -> Table:
    table = _table("", "backend", "server", "state", "sessions", "check", "last result")
    for server in servers:
        table.add_row(
            escape(server["backend"]),
            escape(server["server"]),
            _coloured(server["status"]),
            str(server["sessions"]),
            f"{server['check']} in {server.get('last_duration_ms', 0)} ms" if server["check"] else "",
            escape(
                "\n".join(text for text in (server["last_result"], server.get("last_details", "")) if text)
            ),
        )
    return table


def _workers(workers: list[dict[str, Any]]) -> Table:
    table = _table("", "worker", "pid", "sessions")
    for number, worker in enumerate(workers, 1):
        table.add_row(str(number), str(worker["pid"]), str(worker["sessions"]))
    return table


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state.split(maxsplit=1)[0])
    return f"[{colour}]{escape(state)}[/]" if colour else escape(state)


def age(seconds: float) -> str:
    """`3.2s`, `5m12s`, `2h05m`, `3d04h`: two units at most."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for size, unit, below, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // below:02}{smaller}"
    raise AssertionError(seconds)
