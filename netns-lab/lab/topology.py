"""What is plugged in where, and `open_lab`, which plugs it in.

One bridge, the switch, in a machine of its own; a veth pair from each of its
ports to `eth0` of a machine.  The kernel needs `veth` and `bridge`, nothing
else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from tempfile import mkdtemp

import attrs
import trio
from pyroute2 import IPRoute

from lab.namespaces import NetNamespace
from lab.processes import LabError, Machine

INTERFACE = "eth0"
"""The one link of every machine."""
_BRIDGE = "switch"


@attrs.frozen
class Host:
    """A machine on the switch."""

    name: str
    """Also the name of its switch port: at most 15 characters."""
    addresses: tuple[IPv4Interface, ...]

    @property
    def address(self) -> IPv4Address:
        return self.addresses[0].ip


@attrs.frozen
class Topology:
    hosts: tuple[Host, ...]

    def __getitem__(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)


def _host(name: str, address: str) -> Host:
    return Host(name, (IPv4Interface(address),))


PAIR = Topology(
    (
        _host("client", "192.0.2.10/24"),
        _host("lb-a", "192.0.2.11/24"),
        _host("lb-b", "192.0.2.12/24"),
        _host("web1", "192.0.2.21/24"),
        _host("web2", "192.0.2.22/24"),
    )
)
"""Client, two load balancers, two backends on one segment (addresses of RFC 5737)."""
VIP = IPv4Interface("192.0.2.100/24")
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
                there = self.machines[host.name].net
                switch.link(
                    "add", ifname=host.name, kind="veth", peer={"ifname": INTERFACE, "net_ns_fd": there.fd}
                )
                switch.link("set", index=_index(switch, host.name), master=bridge, state="up")
                with netlink(there) as inside:
                    eth0 = _index(inside, INTERFACE)
                    for address in host.addresses:
                        inside.addr(
                            "add", index=eth0, address=str(address.ip), prefixlen=address.network.prefixlen
                        )
                    inside.link("set", index=_index(inside, "lo"), state="up")
                    inside.link("set", index=eth0, state="up")

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

    def forget_neighbour(self, name: str, address: IPv4Address) -> None:
        """Empty the machine's ARP entry for an address: its next packet asks again who has it."""
        with netlink(self[name].net) as inside:
            inside.neigh("del", ifindex=_index(inside, INTERFACE), dst=str(address))

    def set_isolated(self, *names: str, on: bool) -> None:
        """On: these ports cannot hear each other, while everybody else hears both."""
        with netlink(self.switch.net) as switch:
            for name in names:
                switch.brport("set", index=_index(switch, name), isolated=int(on))


def _index(socket: IPRoute, ifname: str) -> int:
    found: list[int] = socket.link_lookup(ifname=ifname)
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
