"""VIPs on a macvlan that has the virtual router's own MAC (RFC 9568 section 7.3).

Laws, where keepalived does otherwise:

* The macvlan is up only while we are MASTER.  While BACKUP its MAC must not be seen here: a
  multicast membership report from it would make every switch send the VIP's traffic to us.
* Its mode is `vepa`.  In `private` mode the kernel hands what comes from the same MAC, the
  adverts of the other node, to the macvlan alone, and not to the interface where we listen.
* The guard sets it down, so that nothing of the virtual router is left here without us.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import trio

from hapair.config.model import Vip, VrrpInstance
from hapair.errors import KernelError, StartError
from hapair.kernel.links import Links
from hapair.kernel.netlink import NetlinkAddresses, translated
from hapair.kernel.ports import Link, LinkOf
from hapair.kernel.route_socket import RouteSocket
from hapair.kernel.sysctls import Sysctls
from hapair.vrrp.vmac import link_down, virtual_mac

log = logging.getLogger("hapair.kernel")

ETHERNET = 6
"""Bytes of a link-layer address."""


def _settings(name: str, *, ipv6: bool) -> Mapping[str, int]:
    """Of the macvlan itself, before it is up.

    rp_filter 2: the way back to a client is by the interface below.
    """
    conf, conf6 = f"ipv4/conf/{name}", f"ipv6/conf/{name}"
    settings = {
        f"{conf}/arp_ignore": 1,
        f"{conf}/arp_announce": 2,
        f"{conf}/rp_filter": 2,
        f"{conf}/promote_secondaries": 1,
    }
    if ipv6:
        return settings | {
            f"{conf6}/disable_ipv6": 0,  # where new interfaces have none
            f"{conf6}/accept_ra": 0,
            f"{conf6}/autoconf": 0,
            f"{conf6}/addr_gen_mode": 1,
        }
    return settings | {f"{conf6}/disable_ipv6": 1} if _has_ipv6() else settings


def _has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


@contextmanager
def addresses_of(
    instance: VrrpInstance, route: RouteSocket, links: Links, sysctls: Sysctls
) -> Iterator[tuple[NetlinkAddresses, LinkOf]]:
    """Where the VIPs of a router go, while it takes part.

    Raises:
        StartError: its macvlan cannot be made.
    """
    link_of = _link_of(instance, links)
    if instance.use_vmac:
        with _on_vmac(instance, route, links, sysctls) as addresses:
            yield addresses, link_of
    else:
        yield NetlinkAddresses(route, links.follow(instance.interface), link_of), link_of


def check_vmac(instance: VrrpInstance, route: RouteSocket, links: Links, sysctls: Sysctls) -> None:
    """See whether the macvlan of a router could have its name and its interface.

    Raises:
        StartError: it could not.
    """
    _on_vmac(instance, route, links, sysctls).check()


def _link_of(instance: VrrpInstance, links: Links) -> LinkOf:
    own = links.follow(instance.vip_interface)
    return lambda vip: own if vip.dev is None else links.follow(vip.dev)


def _on_vmac(instance: VrrpInstance, route: RouteSocket, links: Links, sysctls: Sysctls) -> VmacAddresses:
    base, own = links.follow(instance.interface), links.follow(instance.vip_interface)
    return VmacAddresses(route, base, own, _link_of(instance, links), instance, sysctls, links.catch_up)


class VmacAddresses(NetlinkAddresses):
    """Addresses of a router with `use_vmac`; `base` is its interface, `link` its macvlan.

    A context manager: the macvlan, down, lives as long as the block runs.

    Raises:
        StartError: the kernel cannot make it, or something else has its name.
    """

    def __init__(
        self,
        route: RouteSocket,
        base: Link,
        link: Link,
        link_of: LinkOf,
        instance: VrrpInstance,
        sysctls: Sysctls,
        catch_up: Callable[[], None],
    ) -> None:
        super().__init__(route, base, link_of)
        self._base = base
        self._vmac = link
        self._instance = instance
        self._about = f"vrrp.{instance.name}"
        self._sysctls = sysctls
        self._catch_up = catch_up

    def __enter__(self) -> Self:
        left_over = self.check()
        try:
            with translated(f"make {self._vmac.name}"):
                if left_over:
                    self._remove(left_over)
                self._make()
        except KernelError as error:
            raise StartError(f"{self._about}: {error}; use_vmac needs a kernel with macvlan") from error
        return self

    def check(self) -> int:
        """Return the index of what an earlier life has left, 0 for nothing.

        Raises:
            StartError: this is no Ethernet, or the name is taken.
        """
        if len(self._base.mac) != ETHERNET:
            raise StartError(f"{self._about}: use_vmac needs Ethernet, which {self._base.name} is not")
        index = self._index()
        try:
            with translated(f"see what {self._vmac.name} is"):
                taken = index and not self._is_ours(index)
        except KernelError as error:  # gone this moment
            raise StartError(f"{self._about}: {error}") from error
        if taken:
            raise StartError(
                f"{self._about}: there is an interface {self._vmac.name} already; choose a vmac_interface"
            )
        return index

    def __exit__(self, *_: object) -> None:
        try:
            with translated(f"remove {self._vmac.name}", fine=(errno.ENODEV, errno.EINVAL)):
                self._route.library.link("del", index=self._vmac.index)
        except KernelError as error:
            log.warning("%s", error)

    async def prepare(self) -> None:
        """Have the macvlan, and have it up."""
        await trio.lowlevel.checkpoint()
        if self._vmac.up and self._index() == self._vmac.index:
            return
        with translated(f"set up {self._vmac.name} on {self._base.name}"):
            if not self._index():
                self._make()
            self._route.library.link("set", index=self._vmac.index, state="up")
        self._catch_up()

    async def dismiss(self) -> None:
        """Set it down: its MAC belongs to the next MASTER."""
        await trio.lowlevel.checkpoint()
        with translated(f"set {self._vmac.name} down", fine=(errno.ENODEV, errno.EINVAL)):
            self._route.library.link("set", index=self._vmac.index, state="down")

    def deletions(self, vips: tuple[Vip, ...]) -> tuple[bytes, ...]:
        return (*super().deletions(vips), link_down(self._vmac.index))

    def _index(self) -> int:
        try:
            return socket.if_nametoindex(self._vmac.name)
        except OSError:
            return 0

    def _make(self) -> None:
        name = self._vmac.name
        if not self._base.index:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self._route.library.link(
            "add",
            ifname=name,
            kind="macvlan",
            link=self._base.index,
            macvlan_mode="vepa",
            address=virtual_mac(self._instance).hex(":"),
        )
        ipv6 = any(vip.version == 6 for vip in self._instance.held)
        for key, value in _settings(name, ipv6=ipv6).items():
            self._sysctls.put(key, value)
        self._catch_up()

    def _is_ours(self, index: int) -> bool:
        (found,) = self._route.library.get_links(index)
        info = found.get_attr("IFLA_LINKINFO")
        kind = info.get_attr("IFLA_INFO_KIND") if info else None
        mac = virtual_mac(self._instance).hex(":")
        return kind == "macvlan" and bool(found.get_attr("IFLA_ADDRESS") == mac)

    def _remove(self, index: int) -> None:
        log.info("(%s) removing %s, left over", self._instance.name, self._vmac.name)
        self._route.library.link("del", index=index)
        self._catch_up()
