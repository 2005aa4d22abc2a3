"""What is plugged in where, and `open_lab`, which plugs it in.

One bridge, the switch, in a machine of its own; a veth pair from each of its
ports to `eth0` of a machine.  The kernel needs `veth` and `bridge`, nothing
else.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from pathlib import Path
from tempfile import mkdtemp

import attrs
import trio
from pyroute2 import IPRoute

from lab.namespaces import NetNamespace
from lab.processes import LabError, Machine

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface

INTERFACE = "eth0"
"""The one link of every machine."""
_BRIDGE = "switch"


@attrs.frozen
class Host:
    """A machine on the switch."""

    name: str
    """Also the name of its switch port: at most 15 characters."""
    addresses: tuple[IPInterface, ...]
    """Of one family; of IPv6 the second is link-local."""

    @property
    def address(self) -> IPAddress:
        return self.addresses[0].ip

    @property
    def advertiser(self) -> IPAddress:
        """Where its VRRP adverts come from."""
        return self.addresses[-1].ip


@attrs.frozen
class Topology:
    hosts: tuple[Host, ...]
    vip: IPInterface

    def __getitem__(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)


_NUMBERS = {"client": 10, "lb-a": 11, "lb-b": 12, "web1": 21, "web2": 22}


def _hosts(*patterns: str) -> tuple[Host, ...]:
    return tuple(
        Host(name, tuple(ip_interface(pattern.format(number)) for pattern in patterns))
        for name, number in _NUMBERS.items()
    )


VIP = IPv4Interface("192.0.2.100/24")
PAIR = Topology(_hosts("192.0.2.{}/24"), VIP)
"""Client, two load balancers, two backends on one segment (addresses of RFC 5737)."""
PAIR6 = Topology(_hosts("2001:db8::{}/64", "fe80::{}/64"), IPv6Interface("2001:db8::100/64"))
"""The same with IPv6 alone (addresses of RFC 3849)."""
LINK_LOCAL_VIP = IPv6Interface("fe80::100/64")
"""The first address of an IPv6 router must be such a one."""
BALANCERS = ("lb-a", "lb-b")
BACKENDS = ("web1", "web2")


@contextmanager
def netlink(namespace: NetNamespace) -> Iterator[IPRoute]:
    """An rtnetlink socket of that namespace."""
    with namespace.entered():
        socket = IPRoute()
        socket.link_lookup(ifname="lo")  # pyroute2 opens lazily: make it open in here
    try:
        yield socket
    finally:
        socket.close()


class Lab:
    """The running topology."""

    def __init__(self, topology: Topology, nursery: trio.Nursery, scratch: Path) -> None:
        self.topology = topology
        self.nursery = nursery
        """Ends with the lab."""
        self.scratch = scratch
        """For generated files; removed with the lab."""
        self.machines: dict[str, Machine] = {}
        self.switch = self._machine("switch", remove=scratch)
        for host in topology.hosts:
            self.machines[host.name] = self._machine(host.name)
        self._plug()

    def _machine(self, name: str, remove: Path | None = None) -> Machine:
        machine = Machine(name, self.nursery, remove=remove)
        self.nursery.start_soon(machine.listen)
        return machine

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    def _plug(self) -> None:
        with netlink(self.switch.net) as switch:
            # Snooping needs a querier to be right, and forward_delay would silence new ports for 15 s.
            switch.link(
                "add", ifname=_BRIDGE, kind="bridge", br_stp_state=0, br_mcast_snooping=0, br_forward_delay=0
            )
            bridge = _index(switch, _BRIDGE)
            switch.link("set", index=bridge, state="up")
        for host in self.topology.hosts:
            self.plug(host.name)

    def plug(self, name: str) -> None:
        """Give a machine its link to the switch, and its addresses."""
        host, there = self.topology[name], self.machines[name].net
        with netlink(self.switch.net) as switch:
            switch.link("add", ifname=name, kind="veth", peer={"ifname": INTERFACE, "net_ns_fd": there.fd})
            switch.link("set", index=_index(switch, name), master=_index(switch, _BRIDGE), state="up")
        if self.topology.vip.version == 6:
            _set_ipv6(there)
        with netlink(there) as inside:
            eth0 = _index(inside, INTERFACE)
            for address in host.addresses:
                inside.addr(
                    "add",
                    index=eth0,
                    address=str(address.ip),
                    prefixlen=address.network.prefixlen,
                    **({"flags": _IFA_F_NODAD} if address.version == 6 else {}),
                )
            inside.link("set", index=_index(inside, "lo"), state="up")
            inside.link("set", index=eth0, state="up")

    def unplug(self, name: str) -> None:
        """The machine's interface is gone, with all that was on it."""
        with netlink(self.switch.net) as switch:
            switch.link("del", index=_index(switch, name))

    def set_link(self, name: str, *, up: bool) -> None:
        """The administrator's `ip link set eth0 up|down` on the machine itself."""
        with netlink(self[name].net) as inside:
            inside.link("set", index=_index(inside, INTERFACE), state="up" if up else "down")

    def set_carrier(self, name: str, *, up: bool) -> None:
        """Plug or pull the machine's cable at the switch: it sees the loss of carrier."""
        with netlink(self.switch.net) as switch:
            switch.link("set", index=_index(switch, name), state="up" if up else "down")

    def set_forwarding(self, name: str, *, on: bool) -> None:
        """Off: nothing passes from and to this machine, and nobody loses carrier."""
        # Out of the bridge rather than BR_STATE_DISABLED: pyroute2 takes `state` for up or down.
        with netlink(self.switch.net) as switch:
            bridge = _index(switch, _BRIDGE) if on else 0
            switch.link("set", index=_index(switch, name), master=bridge)

    def forget_neighbour(self, name: str, address: IPAddress) -> None:
        """Empty the machine's ARP or NDP entry for an address: its next packet asks again who has it."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with netlink(self[name].net) as inside:
            inside.neigh("del", ifindex=_index(inside, INTERFACE), dst=str(address), family=family)

    def set_isolated(self, *names: str, on: bool) -> None:
        """On: these ports cannot hear each other, while everybody else hears both."""
        with netlink(self.switch.net) as switch:
            for name in names:
                switch.brport("set", index=_index(switch, name), isolated=int(on))


_IFA_F_NODAD = 0x02
_IPV6_SETTINGS = {
    "addr_gen_mode": "1",  # the only link-local address is ours: it says who sends an advert
    "keep_addr_on_down": "1",  # as somebody who configures a server would have it
    "accept_dad": "0",
}


def _set_ipv6(namespace: NetNamespace) -> None:
    with namespace.entered():
        for name, value in _IPV6_SETTINGS.items():
            Path(f"/proc/sys/net/ipv6/conf/{INTERFACE}/{name}").write_text(value)


def _index(inside: IPRoute, ifname: str) -> int:
    found: list[int] = inside.link_lookup(ifname=ifname)
    if not found:
        raise LabError(f"no interface {ifname}")
    return found[0]


@asynccontextmanager
async def open_lab(topology: Topology = PAIR) -> AsyncIterator[Lab]:
    """Plug the topology in; on the way out everything in it ends, whatever happened."""
    lab: Lab | None = None
    try:
        async with trio.open_nursery() as nursery:
            lab = Lab(topology, nursery, Path(mkdtemp(prefix="hapair-lab-")))
            yield lab
            nursery.cancel_scope.cancel()
    finally:
        if lab is not None:
            machines = [*lab.machines.values(), lab.switch]
            for machine in machines:
                machine.power_off()
            for machine in machines:
                await machine.gone()
