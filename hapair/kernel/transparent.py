"""Rules, routes and the nftables table of transparency: there while somebody of this node is MASTER.

One set for the node, whoever of its routers holds it: the first puts it there, the last takes
it away.  The guard deletes it with the VIPs; what nobody could delete goes at the next start.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

import trio

from hapair.errors import StartError
from hapair.kernel import nft
from hapair.vrrp import transparent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.config.model import VrrpInstance
    from hapair.kernel.ports import Routes
    from hapair.vrrp.transparent import Transparency

log = logging.getLogger("hapair.kernel")

_PURPOSE = "transparency (source ... usesrc, bind transparent)"
_NETFILTER = 12
_ERROR = struct.Struct("=IHHIIi")
_FINE = frozenset({0, errno.EEXIST})
_GONE = frozenset({0, errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EAFNOSUPPORT})
_MISSING_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})


class NodeTransparency:
    """What is in the kernel, and for whom."""

    def __init__(self, ask: Callable[[bytes], int]) -> None:
        """`ask` has the kernel do an rtnetlink request; returns its errno, 0 for done."""
        self._ask = ask
        self._wanted: Transparency | None = None
        self._holders: set[str] = set()
        self._installed: Transparency | None = None
        self._said = ""

    async def begin(self, wanted: Transparency | None) -> None:
        """Remove what an earlier life left, and see that what is wanted can be had.

        Raises:
            StartError: nft is missing, or refuses.
        """
        await self._remove()
        await self.check(wanted)
        self._wanted = wanted

    async def check(self, wanted: Transparency | None) -> None:
        """See that it can be had.

        Raises:
            StartError: nft is missing, or refuses.
        """
        if wanted is not None:
            await nft.load(transparent.ruleset(wanted), _PURPOSE, only_check=True)

    async def adopt(self, wanted: Transparency | None) -> None:
        """Follow another configuration."""
        self._wanted = wanted
        if wanted is None and self._installed is not None:
            await self._remove()
        elif self._holders and wanted != self._installed:
            await self._install()

    async def hold(self, name: str) -> None:
        """It is needed for `name`, which is MASTER; what cannot be done is logged and tried again."""
        self._holders.add(name)
        if self._wanted is not None:
            await self._install()

    async def let_go(self, name: str) -> None:
        """`name` needs it no more: the last one takes it away."""
        self._holders.discard(name)
        if not self._holders and self._installed is not None:
            await self._remove()

    def deletions(self) -> tuple[bytes, ...]:
        """The netlink requests that take it away, for the guard."""
        if self._wanted is None and self._installed is None:
            return ()
        return (*transparent.deletions(_loopback()), transparent.delete_table())

    async def _install(self) -> None:
        wanted = self._wanted
        assert wanted is not None
        for request in transparent.additions(_loopback()):
            await trio.lowlevel.checkpoint()
            number = self._ask(request)
            if number not in _FINE and number not in _MISSING_FAMILY:
                self._complain(f"its rule or route cannot be added: {os.strerror(number)}")
        if self._installed == wanted:
            return
        self._installed = wanted  # before it is there: whoever is interrupted must know that it has to go
        try:
            await nft.load(transparent.ruleset(wanted), _PURPOSE)
        except StartError as error:
            self._installed = None
            self._complain(str(error))
        else:
            self._said = ""

    async def _remove(self) -> None:
        for request in transparent.deletions(_loopback()):
            await trio.lowlevel.checkpoint()
            number = self._ask(request)
            if number not in _GONE:
                log.warning("a rule or route of transparency stays: %s", os.strerror(number))
        number = _delete_table()
        if number not in _GONE:
            log.warning("the nftables table %s stays: %s", transparent.NAME, os.strerror(number))
        self._installed = None

    def _complain(self, what: str) -> None:
        if what != self._said:
            self._said = what
            log.error("%s: %s; trying again", _PURPOSE, what)


class TransparentRoutes:
    """The routes of one router, and the transparency of the node with them (`kernel.ports.Routes`)."""

    def __init__(self, routes: Routes, transparency: NodeTransparency) -> None:
        self._routes = routes
        self._transparency = transparency

    async def add(self, instance: VrrpInstance) -> None:
        """Put them in place."""
        await self._routes.add(instance)
        await self._transparency.hold(instance.name)

    async def remove(self, instance: VrrpInstance) -> None:
        """Take them away."""
        await self._routes.remove(instance)
        await self._transparency.let_go(instance.name)

    def deletions(self, instance: VrrpInstance) -> tuple[bytes, ...]:
        """The requests that remove them, for the guard."""
        return (*self._routes.deletions(instance), *self._transparency.deletions())


def _loopback() -> int:
    try:
        return socket.if_nametoindex("lo")
    except OSError:
        return 1


def _delete_table() -> int:
    """Returns the kernel's errno, 0 for done."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netfilter:
            netfilter.setblocking(False)
            netfilter.send(transparent.delete_table())
            *_, number = _ERROR.unpack_from(netfilter.recv(4096))
            return -int(number)
    except OSError as error:
        return errno.ENOENT if error.errno == errno.EPROTONOSUPPORT else error.errno or errno.EIO
