"""Routes and rules of a virtual router in the kernel (`kernel.ports.Routes`).

A netlink socket of its own: a request is answered before `send` returns, so nothing here waits.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct

import trio

from hapair.config.model import VirtualRoute, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.ports import Link
from hapair.vrrp import routes

log = logging.getLogger("hapair.kernel")

_ERROR = struct.Struct("=IHHIIi")
_GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_MISSING = 0


class NetlinkRoutes:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._complaints: set[tuple[str, int]] = set()
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError as error:
            raise KernelError("open a netlink socket", error.errno or 0, error.strerror or "") from error
        self._socket.setblocking(False)

    async def add(self, instance: VrrpInstance) -> None:
        """Put them in place; those that are there stay.

        What the kernel refuses is logged, once: a MASTER without a route serves more than none.
        """
        for route in instance.virtual_routes:
            await trio.lowlevel.checkpoint()
            index = self._index(route)
            number = self._ask(routes.add_route(route, index)) if index else errno.ENODEV
            self._judge(f"({instance.name}) virtual route {route.destination}", number)
        for rule in instance.virtual_rules:
            await trio.lowlevel.checkpoint()
            number = self._ask(routes.add_rule(rule))
            self._judge(
                f"({instance.name}) virtual rule {rule.priority}", 0 if number == errno.EEXIST else number
            )

    async def remove(self, instance: VrrpInstance) -> None:
        """Take them away, rules first; nothing happens when they are not there."""
        for request in self.deletions(instance):
            await trio.lowlevel.checkpoint()
            number = self._ask(request)
            if number and number not in _GONE:
                log.warning("(%s) a virtual route or rule stays: %s", instance.name, os.strerror(number))

    def deletions(self, instance: VrrpInstance) -> tuple[bytes, ...]:
        """The requests that remove all of them, for the guard."""
        indexes = [(route, self._index(route)) for route in instance.virtual_routes]
        return (
            *(routes.delete_rule(rule) for rule in instance.virtual_rules),
            *(routes.delete_route(route, index) for route, index in indexes if index),
        )

    def close(self) -> None:
        self._socket.close()

    def _index(self, route: VirtualRoute) -> int:
        if route.dev is None or route.dev == self._link.name:
            return self._link.index
        try:
            return socket.if_nametoindex(route.dev)
        except OSError:
            return _MISSING

    def _ask(self, request: bytes) -> int:
        """Send one request; returns the kernel's errno, 0 for done."""
        try:
            self._socket.send(request)
            *_, number = _ERROR.unpack_from(self._socket.recv(4096))
        except OSError as error:
            return error.errno or errno.EIO
        return -int(number)

    def _judge(self, what: str, number: int) -> None:
        if not number:
            self._complaints = {complaint for complaint in self._complaints if complaint[0] != what}
        elif (what, number) not in self._complaints:
            self._complaints.add((what, number))
            log.error("%s cannot be added: %s; trying again", what, os.strerror(number))
