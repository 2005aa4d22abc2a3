"""Server names to socket addresses, once: at start and at a reload, never while requests wait."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hapair.errors import StartError

if TYPE_CHECKING:
    from hapair.config.model import Backend, NodeConfig, Server

Address = tuple[int, object]
"""(family, what `connect` takes)."""

Addresses = Mapping[str, Address]
"""By host and port as configured: see `key`."""


def key(server: Server) -> str:
    """What distinguishes a server's address."""
    return f"{server.host} {server.port}"


def resolve_all(config: NodeConfig) -> dict[str, Address]:
    """The addresses of every server.  Blocks while names are looked up: a thread's work once we run.

    Raises:
        StartError: a name is unknown.
    """
    found: dict[str, Address] = {}
    for backend in config.backends.values():
        for server in backend.servers:
            if key(server) not in found:
                found[key(server)] = _resolve(backend, server)
    return found


def _resolve(backend: Backend, server: Server) -> Address:
    if server.host.startswith("/"):
        return socket.AF_UNIX, server.host
    try:
        six = ip_address(server.host).version == 6
    except ValueError:
        pass
    else:
        return (socket.AF_INET6 if six else socket.AF_INET), (server.host, server.port)
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        where = f"backend.{backend.name}.server.{server.name}"
        raise StartError(f"{where}: cannot resolve {server.host}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return family, address
