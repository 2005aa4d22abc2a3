"""The node's rtnetlink: pyroute2 for what is rare, ready-made requests for what a failover waits for."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from hapair.errors import KernelError

_ERROR = struct.Struct("=IHHIIi")
_ENOUGH = 65536
"""Bytes: an error comes with the request that it is about."""


@attrs.frozen
class RouteSocket:
    library: Any
    """pyroute2.IPRoute; a call takes 0.3 ms."""
    _socket: socket.socket

    def ask(self, request: bytes) -> int:
        """Send one request that wants an acknowledgement; returns the kernel's errno, 0 for done.

        The kernel has answered before `send` returns, so nothing here waits: some 10 µs.
        """
        try:
            self._socket.send(request)
            *_, number = _ERROR.unpack_from(self._socket.recv(_ENOUGH))
        except OSError as error:
            return error.errno or errno.EIO
        return -int(number)


@contextmanager
def route_socket() -> Iterator[RouteSocket]:
    """Open what all routers of the node share.

    Raises:
        KernelError: the kernel has no such socket for us.
    """
    from pyroute2 import IPRoute

    try:
        requests = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
    except OSError as error:
        raise KernelError("open a netlink socket", error.errno or 0, error.strerror or "") from error
    with requests, IPRoute() as library:
        yield RouteSocket(library, requests)
