"""The near end of a connection to a server, where the configuration has a say in it (`source`)."""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hapair.proxy.origin import Origin

    Standing = tuple[str, int]
    """Address and port of whom we stand for."""

logger = logging.getLogger("hapair.dataplane")

_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_IP_BIND_ADDRESS_NO_PORT: Final = 24
_TRIES: Final = 10
"""Ports of a range that are tried for one connection, as HAProxy does."""


def make_transparent(sock: socket.SocketType, *, on: bool = True) -> None:
    """Let a socket have an address that is not ours.

    Raises:
        OSError: EPERM without CAP_NET_ADMIN or CAP_NET_RAW.
    """
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, on)
    elif sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, on)


def change_transparency(sock: socket.SocketType, *, on: bool) -> None:
    """Of a socket that listens already; what cannot be done is logged, for a commit cannot fail."""
    try:
        make_transparent(sock, on=on)
    except OSError as error:
        logger.error("a listener cannot be made transparent: %s; restart hapair", error.strerror)


def may_be_transparent() -> bool:
    """Whether this process still has the right to it."""
    with socket.socket() as probe:
        try:
            make_transparent(probe)
        except OSError:
            return False
    return True


def bind_near_end(sock: socket.SocketType, origin: Origin, standing: Standing | None) -> int:
    """Bind before `connect`; returns the port that it takes from the range, else 0.

    Raises:
        OSError: it cannot be bound: no port is free, the client is of another family, no right to it.
    """
    if standing is not None:
        host, port = standing
        if (":" in host) != (sock.family == socket.AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, "the client is of another family than the server")
        make_transparent(sock)
    else:
        host, port = origin.address, 0
    free = origin.free
    if free is None:
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif host:
            # The port is chosen in connect: only then is it known which ones are taken for that server.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        if host or port:
            sock.bind((host, port))
        return 0
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host = host or ("::" if sock.family == socket.AF_INET6 else "0.0.0.0")
    for _ in range(min(_TRIES, len(free))):
        port = free.popleft()
        try:
            sock.bind((host, port))
        except OSError:
            free.append(port)
            continue
        return port
    raise OSError(errno.EADDRNOTAVAIL, "no port of the range is free")
