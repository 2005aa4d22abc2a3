"""What was found out about one tracked thing, and how it is read.  Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import attrs

from hapair.config.model import IPAddress, IPNetwork, TrackRoute

_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,9})\s*")


@attrs.frozen
class Found:
    """How a tracked thing is now."""

    ok: bool
    why: str = ""
    """What is wrong, as a predicate: `is down`; empty while it is well."""
    value: int | None = None
    """What a tracked file says; None for everything else."""


@attrs.frozen
class Route:
    destination: IPNetwork
    via: IPAddress | None
    dev: str


def file_says(text: str | None) -> Found | None:
    """Return what a tracked file means; None when it holds no number.

    A file that is not there says 0, as in keepalived: that is how an operator ends its effect.
    """
    if text is None:
        return Found(ok=True, value=0)
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    value = int(found[1])
    return Found(ok=value == 0, value=value)


_ROUTE_UP, _ROUTE_REJECT = 0x1, 0x200


def ipv4_routes(table: str) -> list[Route]:
    """Read /proc/net/route: the main table, addresses in hexadecimal of the host's byte order."""
    routes = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 8 or not _usable(words[3]):
            continue
        destination, gateway, mask = (_ipv4(words[i]) for i in (1, 2, 7))
        network = IPv4Network((destination, str(mask)))
        routes.append(Route(network, gateway if int(gateway) else None, words[0]))
    return routes


def ipv6_routes(table: str) -> list[Route]:
    """Read /proc/net/ipv6_route."""
    routes = []
    for line in table.splitlines():
        words = line.split()
        if len(words) != 10 or not _usable(words[8]):
            continue
        network = IPv6Network((bytes.fromhex(words[0]), int(words[1], 16)))
        gateway = IPv6Address(bytes.fromhex(words[4]))
        routes.append(Route(network, gateway if int(gateway) else None, words[9]))
    return routes


def _usable(flags: str) -> bool:
    return int(flags, 16) & (_ROUTE_UP | _ROUTE_REJECT) == _ROUTE_UP


def _ipv4(text: str) -> IPv4Address:
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))


def routes_say(routes: Iterable[Route], wanted: TrackRoute) -> Found:
    """Return whether a route is there, as far as it is described."""
    for route in routes:
        if (
            route.destination == wanted.destination
            and wanted.via in (None, route.via)
            and wanted.dev in (None, route.dev)
        ):
            return Found(ok=True)
    via = f" via {wanted.via}" if wanted.via is not None else ""
    dev = f" dev {wanted.dev}" if wanted.dev is not None else ""
    return Found(ok=False, why=f"is missing ({wanted.destination}{via}{dev})")


def processes_say(running: int, name: str, quorum: int) -> Found:
    """Return whether enough processes of a name run."""
    if running >= quorum:
        return Found(ok=True)
    return Found(ok=False, why=f"has {running} running ({name}), needs {quorum}")
