"""How a probe's connection begins, and what it says about a server when there is none."""

from __future__ import annotations

import errno
import os
import socket

from hapair.config.model import ProxyVersion
from hapair.health.probes.outcome import Finding
from hapair.proxy.proxy_protocol import Place, local, version1

UNREACHABLE = {
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENOENT,  # there is no such unix socket
    errno.EAGAIN,  # its queue is full
}


_IP_BIND_ADDRESS_NO_PORT = 24


def come_from(sock: socket.socket, source: str) -> None:
    """Let a probe come from an address, while this node has it: on a BACKUP it may be a VIP.

    Raises:
        OSError: something else forbids it.
    """
    if not _fits(source, sock.family):
        return
    if sock.type == socket.SOCK_STREAM:
        # The port is chosen in connect: only then is it known which ones are taken for that server.
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    try:
        sock.bind((source, 0))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise


def usable(source: str, family: int) -> str:
    """The same address, if it is one of this node now, else none."""
    if not _fits(source, family):
        return ""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((source, 0))
        except OSError:
            return ""
    return source


def _fits(source: str, family: int) -> bool:
    """A check may have an address of its own, of another family."""
    return source != "" and family == (socket.AF_INET6 if ":" in source else socket.AF_INET)


def greeting(version: ProxyVersion, sock: socket.socket) -> bytes:
    """The header of a connection of our own, as HAProxy's checks send it."""
    if version is ProxyVersion.V2:
        return local()
    here, there = sock.getsockname(), sock.getpeername()
    if not isinstance(here, tuple):
        here = there = ("", 0)
    return version1(Place(*here[:2]), Place(*there[:2]))


def of_connect(code: int | None, *, ping: bool = False) -> Finding:
    """The finding on a server that could not be reached; SOCKERR when that says nothing about the server."""
    if code == errno.ETIMEDOUT:
        return Finding("L4TOUT")
    info = os.strerror(code or errno.EIO)
    if code not in UNREACHABLE:
        return Finding("SOCKERR", info)
    return Finding("L3CON" if ping else "L4CON", info)
