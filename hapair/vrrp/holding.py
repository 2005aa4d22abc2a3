"""The VIPs, routes and rules of one virtual router in the kernel: put there, taken away, and nowhere else.

Law: whatever is there was told to the guard before, and is forgotten by it only when it is gone.
Asynchronous as `service` is, whose orders it carries out.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from hapair.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.config.model import IPInterface, IPNetwork, Vip, VrrpInstance
    from hapair.kernel.ports import Addresses, Guard, Link, Placed, Routes
    from hapair.vrrp.guard import Plan

log = logging.getLogger("hapair.vrrp")


class Holding:
    def __init__(
        self,
        instance: VrrpInstance,
        *,
        link: Link,
        addresses: Addresses,
        routes: Routes,
        guard: Guard,
        plan: Callable[[int, tuple[bytes, ...]], Plan],
        lifetime: int,
    ) -> None:
        """`plan` makes of an interface and netlink requests what the guard does; `lifetime` is in seconds."""
        self._instance = instance
        self._link = link
        self._addresses = addresses
        self._routes = routes
        self._guard = guard
        self._plan = plan
        self._lifetime = lifetime
        self._ips = frozenset(vip.ip for vip in instance.held)
        self._former: tuple[Vip, ...] = ()
        """VIPs of the configuration before this one that may still be there."""
        self._networks: frozenset[IPNetwork] = frozenset()
        """Those found the last time."""
        self._misplaced: dict[Placed, int] = {}
        """How often each was removed."""

    @property
    def misplaced(self) -> int:
        """VIPs that somebody else has put somewhere, and that were removed."""
        return sum(self._misplaced.values())

    def set_lifetime(self, seconds: int) -> None:
        """From the next renewal on."""
        self._lifetime = seconds

    def adopt(self, instance: VrrpInstance) -> None:
        """Hold what another configuration says, from the next `add` on."""
        self._former = tuple(vip for vip in self._instance.held if vip not in instance.held)
        self._instance = instance
        self._ips = frozenset(vip.ip for vip in instance.held)

    async def add(self) -> None:
        """Put everything there, or renew its lifetime.

        Raises:
            KernelError: it cannot be done; ENODEV when the interface has vanished.
        """
        await self._addresses.prepare()
        self._protect(self._instance.held + self._former)
        for vip in self._instance.held:
            try:
                await self._addresses.add(vip, self._lifetime)
            except KernelError as error:
                if error.errno != errno.ENODEV or vip.dev in (None, self._link.name):
                    raise
                # An interface that is tracked: its FAULT is on its way.
        await self._routes.add(self._instance)

    async def drop(self) -> None:
        """Take everything off; one VIP that cannot be removed must not keep the others."""
        await self._routes.remove(self._instance)
        failure: KernelError | None = None
        for vip in self._instance.held + self._former:
            try:
                await self._addresses.remove(vip)
            except KernelError as error:
                failure = failure or error
        if failure is not None:
            raise failure  # and the guard keeps its plan
        self._former = ()
        await self._addresses.dismiss()
        self._guard.release(self._instance.name)

    async def drop_routes(self) -> None:
        """Take routes and rules off: another configuration may have others."""
        await self._routes.remove(self._instance)

    async def settle(self, *, master: bool) -> None:
        """After a change of configuration: what belonged to the one before goes."""
        if master:
            for vip in self._former:
                await self._addresses.remove(vip)
        self._former = ()
        if master:
            self._protect(self._instance.held)

    async def sweep(self) -> None:
        """Remove what an earlier life of this node has left behind."""
        await self._routes.remove(self._instance)
        for placed in await self._addresses.everywhere(self._ips):
            if self.is_home(placed.index, placed.address):
                name = self._instance.name
                log.info("(%s) removing %s, left over on %s", name, placed.address, placed.ifname)
                await self._addresses.remove_misplaced(placed)
        await self.remove_misplaced(master=False)

    async def remove_misplaced(self, *, master: bool) -> None:
        """Remove VIPs that are on another interface, with another prefix, or here while we are not MASTER."""
        for placed in await self._addresses.everywhere(self._ips):
            if self._belongs(placed.index, placed.address, master=master):
                continue
            await self._addresses.remove_misplaced(placed)
            self._misplaced[placed] = times = self._misplaced.get(placed, 0) + 1
            if times & (times - 1) == 0:  # 1, 2, 4, 8 ...: who puts it there may be as stubborn as we are
                log.warning(
                    "(%s) somebody put %s on %s, removing it (%d times now)",
                    self._instance.name,
                    placed.address,
                    placed.ifname,
                    times,
                )

    async def networks(self) -> tuple[IPNetwork, ...]:
        """Those that the interface is in by itself."""
        present = await self._addresses.present()
        self._networks = frozenset(address.network for address in present if address.ip not in self._ips)
        return tuple(self._networks)

    def worth_a_look(self, index: int, address: IPInterface, *, master: bool) -> bool:
        """Whether an address that came up is a VIP in a wrong place, or brings a new network.

        The VIPs of the interface's other routers come up with each renewal: those must cost nothing.
        """
        if address.ip in self._ips:
            return not self._belongs(index, address, master=master)
        return index == self._link.index and address.network not in self._networks

    def is_home(self, index: int, address: IPInterface) -> bool:
        """Whether that is where a MASTER has this VIP."""
        return any(
            vip.address == address and self._addresses.index_of(vip) == index for vip in self._instance.held
        )

    def _belongs(self, index: int, address: IPInterface, *, master: bool) -> bool:
        """Whether a VIP is where it should be; a link-local address of another link is no VIP."""
        held = self._instance.held
        if address.ip.is_link_local and all(
            index != self._addresses.index_of(vip) for vip in held if vip.ip == address.ip
        ):
            return True
        return master and self.is_home(index, address)

    def _protect(self, held: tuple[Vip, ...]) -> None:
        """Let the guard know all that we hold."""
        requests = self._routes.deletions(self._instance) + self._addresses.deletions(held)
        self._guard.protect(self._instance.name, self._plan(self._link.index, requests))
