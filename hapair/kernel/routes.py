"""Routes and rules of a virtual router in the kernel (`kernel.ports.Routes`)."""

from __future__ import annotations

import errno
import logging
import os
import socket

import trio

from hapair.config.model import VirtualRoute, VrrpInstance
from hapair.kernel.ports import Link
from hapair.kernel.route_socket import RouteSocket
from hapair.vrrp import routes

log = logging.getLogger("hapair.kernel")

_GONE = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_MISSING = 0


class NetlinkRoutes:
    def __init__(self, route: RouteSocket, link: Link) -> None:
        self._route = route
        self._link = link
        self._complaints: set[tuple[str, int]] = set()

    async def add(self, instance: VrrpInstance) -> None:
        """Put them in place; those that are there stay.

        What the kernel refuses is logged, once: a MASTER without a route serves more than none.
        """
        for route in instance.virtual_routes:
            await trio.lowlevel.checkpoint()
            index = self._index(route)
            number = self._route.ask(routes.add_route(route, index)) if index else errno.ENODEV
            self._judge(f"({instance.name}) virtual route {route.destination}", number)
        for rule in instance.virtual_rules:
            await trio.lowlevel.checkpoint()
            number = self._route.ask(routes.add_rule(rule))
            self._judge(
                f"({instance.name}) virtual rule {rule.priority}", 0 if number == errno.EEXIST else number
            )

    async def remove(self, instance: VrrpInstance) -> None:
        """Take them away, rules first; nothing happens when they are not there."""
        for request in self.deletions(instance):
            await trio.lowlevel.checkpoint()
            number = self._route.ask(request)
            if number and number not in _GONE:
                log.warning("(%s) a virtual route or rule stays: %s", instance.name, os.strerror(number))

    def deletions(self, instance: VrrpInstance) -> tuple[bytes, ...]:
        """The requests that remove all of them, for the guard."""
        indexes = [(route, self._index(route)) for route in instance.virtual_routes]
        return (
            *(routes.delete_rule(rule) for rule in instance.virtual_rules),
            *(routes.delete_route(route, index) for route, index in indexes if index),
        )

    def _index(self, route: VirtualRoute) -> int:
        if route.dev is None or route.dev == self._link.name:
            return self._link.index
        try:
            return socket.if_nametoindex(route.dev)
        except OSError:
            return _MISSING

    def _judge(self, what: str, number: int) -> None:
        if not number:
            self._complaints = {complaint for complaint in self._complaints if complaint[0] != what}
        elif (what, number) not in self._complaints:
            self._complaints.add((what, number))
            log.error("%s cannot be added: %s; trying again", what, os.strerror(number))
