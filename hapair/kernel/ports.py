"""What the rest of the house asks of the kernel, as Protocols.

`kernel.fake` implements them in memory; both sit the same exam
(tests/kernel/test_addresses_exam.py).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface
from typing import Protocol

import attrs


@attrs.frozen
class Packet:
    """One received VRRP packet with the facts of its IP header."""

    source: IPv4Address
    destination: IPv4Address
    ttl: int
    payload: bytes


class Addresses(Protocol):
    """The VIPs of one interface."""

    async def add(self, vip: IPv4Interface, lifetime: int | None) -> None:
        """Put `vip` on the interface; the kernel drops it after `lifetime` seconds unless refreshed.

        Adding what is there refreshes its lifetime.

        Raises:
            KernelError: it cannot be added.
        """

    async def remove(self, vip: IPv4Interface) -> None:
        """Take `vip` off; nothing happens when it is not there."""

    async def present(self) -> frozenset[IPv4Interface]:
        """Every IPv4 address on the interface now."""


class Segment(Protocol):
    """The link on which adverts travel."""

    async def send(self, payload: bytes) -> None:
        """Send one advert to the group or to every unicast peer; a link that is down loses it silently."""

    async def receive(self) -> Packet:
        """The next VRRP packet on the interface."""


class Announcer(Protocol):
    """Tells the neighbours where an address lives now."""

    async def announce(self, addresses: tuple[IPv4Address, ...], count: int) -> None:
        """Send `count` gratuitous ARPs for each address."""


class Gate(Protocol):
    """What a role change means to the data plane.  Plain calls: they cannot fail or wait."""

    def open(self) -> None:
        """The VIPs are here: accept on them."""

    def close(self) -> None:
        """The VIPs are about to go: stop accepting on them and end their sessions."""


LinkListener = Callable[[bool], None]
"""Called with True when the interface can carry traffic, False when it is down or gone."""
