"""The VIPs of one router (`kernel.ports.Addresses`).

Changes are made in the loop, one address at a time with a checkpoint between: they take some
10 µs, where a trip through a thread would wait for a place in a busy loop just when the VIP must go.

Addresses are added as keepalived adds them, with their subnet route and scope global
unless told otherwise, and with a lifetime after which the kernel drops them by itself.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from typing import Any

import trio

from hapair.config.model import IPAddress, IPInterface, Vip
from hapair.errors import KernelError
from hapair.kernel.ports import Link, LinkOf, Placed
from hapair.kernel.route_socket import RouteSocket
from hapair.vrrp.addresses import add_address, delete_address, scope_of

_FAMILIES = {4: 2, 6: 10}
"""AF_INET, AF_INET6."""


class NetlinkAddresses:
    """`link` is the router's own interface; without `link_of` all VIPs belong there."""

    def __init__(self, route: RouteSocket, link: Link, link_of: LinkOf | None = None) -> None:
        self._route = route
        self._link = link
        self._link_of = link_of or (lambda _: link)

    async def prepare(self) -> None:
        """Nothing: an interface of the operator's is his business."""

    async def dismiss(self) -> None:
        """Nothing."""

    def index_of(self, vip: Vip) -> int:
        """Of the interface where `vip` belongs; 0 while there is none."""
        return self._link_of(vip).index

    def deletions(self, vips: tuple[Vip, ...]) -> tuple[bytes, ...]:
        """The netlink requests that take `vips` off, for the guard."""
        return tuple(delete_address(index, vip) for vip in vips if (index := self.index_of(vip)))

    async def add(self, vip: Vip, lifetime: int | None) -> None:
        """Put `vip` on its interface or renew its lifetime.

        No checkpoint: clients wait for what a new MASTER does next.

        Raises:
            KernelError: ENODEV when the interface has vanished; whatever else the kernel says.
        """
        index = self.index_of(vip)
        number = self._route.ask(add_address(index, vip, lifetime)) if index else errno.ENODEV
        if number:
            raise KernelError(f"add {vip} to {self._link_of(vip).name}", number, os.strerror(number))

    async def remove(self, vip: Vip) -> None:
        """Take `vip` off; nothing happens when it, or the interface, is not there."""
        await trio.lowlevel.checkpoint()
        index = self.index_of(vip)
        number = self._route.ask(delete_address(index, vip, acknowledged=True)) if index else 0
        if number and number not in (errno.EADDRNOTAVAIL, errno.ENODEV):
            raise KernelError(f"remove {vip} from {self._link_of(vip).name}", number, os.strerror(number))

    async def present(self) -> frozenset[IPInterface]:
        """Every address on the interface now."""
        await trio.lowlevel.checkpoint()
        return frozenset(self._all())

    async def everywhere(self, addresses: frozenset[IPAddress]) -> list[Placed]:
        """Where these are now: on any interface, with any prefix."""
        await trio.lowlevel.checkpoint()
        with translated("list all addresses"):
            messages = [
                message
                for family in {_FAMILIES[address.version] for address in addresses}
                for message in self._route.library.get_addr(family=family)
            ]
        return [
            Placed(message["index"], _name_of(message["index"]), interface_of(message))
            for message in messages
            if interface_of(message).ip in addresses
        ]

    async def remove_misplaced(self, placed: Placed) -> None:
        """Take it off; nothing happens when it, or the interface, is not there."""
        await trio.lowlevel.checkpoint()
        doing = f"remove {placed.address} from {placed.ifname}"
        with translated(doing, fine=(errno.EADDRNOTAVAIL, errno.ENODEV)):
            self._route.library.addr(
                "del",
                index=placed.index,
                address=str(placed.address.ip),
                prefixlen=placed.address.network.prefixlen,
                family=_FAMILIES[placed.address.version],
            )

    def first(self, family: int, *, besides: tuple[Vip, ...]) -> IPAddress | None:
        """Return the interface's first address that is not one of `besides`: the source of adverts.

        `family` is 4, or 6: then it is link-local (RFC 9568 section 5.1.2.1).
        """
        vips = {vip.ip for vip in besides}
        return next(
            (
                address.ip
                for address in self._all()
                if address.version == family
                and address.ip not in vips
                and (family == 4 or address.ip.is_link_local)
            ),
            None,
        )

    def check_scopes(self, vips: tuple[Vip, ...]) -> None:
        """Linux has one scope for all addresses of a subnet: better to hear of it now than in a failover.

        Raises:
            KernelError: EINVAL, as the kernel would say.
        """
        for vip in vips:
            index = self.index_of(vip)
            if vip.version == 4 and index:
                for message in self._route.library.get_addr(index=index, family=_FAMILIES[4]):
                    if interface_of(message).network == vip.network and message["scope"] != scope_of(vip):
                        doing = f"add {vip} with scope {vip.scope.value if vip.scope else 'global'}"
                        raise KernelError(doing, errno.EINVAL, f"{interface_of(message)} has another")

    def _all(self) -> list[IPInterface]:
        if not self._link.index:
            return []
        try:
            with translated(f"list the addresses of {self._link.name}"):
                return [
                    interface_of(message)
                    for family in _FAMILIES.values()
                    for message in self._route.library.get_addr(index=self._link.index, family=family)
                ]
        except KernelError as error:
            if error.errno == errno.ENODEV:
                return []
            raise


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # gone, or in the namespace of somebody else
        return f"interface {index}"


def interface_of(message: Any) -> IPInterface:
    """The address that an RTM_NEWADDR message tells of."""
    local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")  # IPv6 has only the latter
    return ip_interface((local, message["prefixlen"]))


@contextmanager
def translated(doing: str, fine: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn the errors of pyroute2 and of its sockets into KernelError, except those that are `fine`."""
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code not in fine:
            raise KernelError(doing, error.code, os.strerror(error.code)) from error
    except OSError as error:
        if error.errno not in fine:
            raise KernelError(doing, error.errno or 0, error.strerror or str(error)) from error
