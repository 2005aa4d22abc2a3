"""A node with nothing but one virtual router, to be run in a namespace by tests.

python node.py PRIORITY INTERVAL GUARD_TIMEOUT [key=value of VrrpInstance ...]

SIGUSR1 is a bug: an exception that nobody handles.
"""

from __future__ import annotations

import ast
import logging
import signal
import sys
from ipaddress import ip_address, ip_interface

import trio

from hapair.config.model import Scope, Vip, VrrpInstance
from hapair.kernel.claims import NeighbourClaims
from hapair.kernel.guard import GuardProcess
from hapair.kernel.links import Links
from hapair.kernel.neighbours import NeighbourAnnouncer
from hapair.kernel.raw import RawSegment
from hapair.kernel.route_socket import route_socket
from hapair.kernel.routes import NetlinkRoutes
from hapair.kernel.sysctls import Sysctls, needed_by
from hapair.kernel.vmac import addresses_of
from hapair.vrrp.guard import address_lifetime
from hapair.vrrp.service import VirtualRouter
from hapair.vrrp.vmac import virtual_mac

log = logging.getLogger("node")


class LoggedGate:
    def open(self) -> None:
        log.info("gate open")

    def close(self) -> None:
        log.info("gate closed")


async def main(instance: VrrpInstance, guard_timeout: float) -> None:
    links = Links()
    link = links.follow(instance.interface)
    guard = GuardProcess(guard_timeout)
    sysctls = Sysctls()
    sysctls.adopt(needed_by([instance]))
    with (
        route_socket() as route,
        addresses_of(instance, route, links, sysctls) as (addresses, link_of),
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as stop,
    ):
        source = addresses.first(instance.family, besides=instance.addresses)
        assert source is not None
        mac = virtual_mac(instance) if instance.use_vmac and not instance.vmac_xmit_base else None
        claims = NeighbourClaims(link, link_of)
        router = VirtualRouter(
            instance,
            source=source,
            link=link,
            addresses=addresses,
            routes=NetlinkRoutes(route, link),
            segment=RawSegment(link, source, multicast=instance.multicasts, mac=mac),
            announcer=NeighbourAnnouncer(link, link_of),
            claims=claims,
            gate=LoggedGate(),
            guard=guard,
            lifetime=address_lifetime(guard_timeout),
        )
        async with trio.open_nursery() as serving:
            await serving.start(links.run)
            await serving.start(guard.run)
            serving.start_soon(claims.run)
            async with trio.open_nursery() as attracting:
                await attracting.start(router.run)
                log.info("guard pid %s", guard.pid)
                async for number in stop:
                    if number == signal.SIGUSR1:
                        raise RuntimeError("a bug, somewhere in the node")
                    attracting.cancel_scope.cancel()
            serving.cancel_scope.cancel()
    sysctls.close()


def vip(written: str | dict) -> Vip:
    if isinstance(written, str):
        return Vip(ip_interface(written))
    place = dict(written)
    return Vip(ip_interface(place.pop("address")), scope=Scope(place.pop("scope", "global")), **place)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    priority, interval, timeout = sys.argv[1:4]
    extra = dict(argument.split("=", 1) for argument in sys.argv[4:])
    peers = ast.literal_eval(extra.pop("unicast_peers", "()"))
    written = ast.literal_eval(extra.pop("addresses", "('192.0.2.100/24',)"))
    made = VrrpInstance(
        name="web",
        interface="eth0",
        virtual_router_id=51,
        addresses=tuple(vip(one) for one in written),
        priority=int(priority),
        advert_interval=float(interval),
        **{key: ast.literal_eval(value) for key, value in extra.items()},
        unicast_peers=tuple(map(ip_address, peers)),
    )
    trio.run(main, made, float(timeout))
