"""What happens to addresses, routes and links behind the daemon's back."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import trio
from pyroute2.netlink.exceptions import NetlinkError

from lab.disturbances.kinds import A_WHILE, BRIEF, DOWN, MOMENT, NOTHING, Act, Disturbance
from lab.topology import INTERFACE, netlink

if TYPE_CHECKING:
    from lab.scenario import Pair


def _vip(name: str, command: str, ifname: str = INTERFACE, prefix: int = 24) -> Act:
    async def act(pair: Pair) -> None:
        with netlink(pair.lab[name].net) as inside:
            index = inside.link_lookup(ifname=ifname)[0]
            try:
                inside.addr(command, index=index, address=str(pair.vip), prefixlen=prefix)
            except NetlinkError as error:
                # In a sequence the VIP may have moved: then it is as we would have it.
                if error.code not in (errno.EADDRNOTAVAIL, errno.EEXIST):
                    raise
        await trio.sleep(0.3)

    return act


async def _carrier_flaps(pair: Pair) -> None:
    for _ in range(5):
        for up in (False, True):
            pair.lab.set_carrier("lb-a", up=up)
            await trio.sleep(0.05)


async def _renamed(pair: Pair) -> None:
    with netlink(pair.lab["lb-a"].net) as inside:
        index = inside.link_lookup(ifname=INTERFACE)[0]
        for name in ("eth9", INTERFACE):
            inside.link("set", index=index, state="down")
            inside.link("set", index=index, ifname=name)
            inside.link("set", index=index, state="up")
            await trio.sleep(A_WHILE)


async def _recreated(pair: Pair) -> None:
    pair.lab.unplug("lb-a")
    await trio.sleep(A_WHILE)
    pair.lab.plug("lb-a")


async def _default_route(pair: Pair) -> None:
    with netlink(pair.lab["lb-a"].net) as inside:
        gateway = str(pair.lab.topology["client"].address)
        for command in ("add", "del"):
            inside.route(command, dst="default", gateway=gateway)
            await trio.sleep(0.2)


PLACES = (
    Disturbance("the VIP is deleted by hand", _vip("lb-a", "del"), MOMENT, 0.0, "putting it back"),
    Disturbance("the VIP is added on the BACKUP", _vip("lb-b", "add"), MOMENT, 0.3, "removing it"),
    Disturbance(
        "the VIP is added on the BACKUP's loopback", _vip("lb-b", "add", "lo", 32), MOMENT, 0.3, "removing it"
    ),
    Disturbance("the default route goes", _default_route, NOTHING, 0.0),
    Disturbance("the carrier flaps", _carrier_flaps, 0.5 + DOWN, BRIEF),
    Disturbance("the interface is renamed", _renamed, DOWN, BRIEF, anytime=False),
    Disturbance("the interface is deleted and made again", _recreated, DOWN, BRIEF, anytime=False),
)
