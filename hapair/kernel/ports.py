"""What the rest of the house asks of the kernel, as Protocols.

`kernel.fake` implements them in memory; both sit the same exam
(tests/kernel/test_addresses_exam.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from hapair.config.model import IPAddress, IPInterface, Vip, VrrpInstance
from hapair.vrrp.guard import Plan
from hapair.vrrp.wire import Packet


@attrs.frozen(order=True)
class Placed:
    """An address where it is."""

    index: int
    """Of the interface."""
    ifname: str
    address: IPInterface


class Addresses(Protocol):
    """The VIPs of one router, each on its interface."""

    async def prepare(self) -> None:
        """Make ready what they are put on: before the first is added, and again before each renewal.

        Raises:
            KernelError: ENODEV when the router's interface has vanished.
        """

    async def dismiss(self) -> None:
        """The last one is gone: undo what `prepare` did."""

    async def add(self, vip: Vip, lifetime: int | None) -> None:
        """Put `vip` on its interface; the kernel drops it after `lifetime` seconds unless refreshed.

        Adding what is there refreshes its lifetime.

        Raises:
            KernelError: it cannot be added.
        """

    async def remove(self, vip: Vip) -> None:
        """Take `vip` off; nothing happens when it is not there."""

    def index_of(self, vip: Vip) -> int:
        """Of the interface where `vip` belongs; 0 while there is none."""

    def deletions(self, vips: tuple[Vip, ...]) -> tuple[bytes, ...]:
        """The netlink requests that take `vips` off and dismiss what they were on, for the guard."""

    async def present(self) -> frozenset[IPInterface]:
        """Every address on the router's interface now."""

    async def everywhere(self, addresses: frozenset[IPAddress]) -> list[Placed]:
        """Where these are now: on any interface, with any prefix."""

    async def remove_misplaced(self, placed: Placed) -> None:
        """Take it off; nothing happens when it is not there."""


class Routes(Protocol):
    """The virtual routes and rules of one router."""

    async def add(self, instance: VrrpInstance) -> None:
        """Put them in place; those that are there stay.  What cannot be added is logged and tried again."""

    async def remove(self, instance: VrrpInstance) -> None:
        """Take them away; nothing happens when they are not there."""

    def deletions(self, instance: VrrpInstance) -> tuple[bytes, ...]:
        """The netlink requests that remove them, for the guard."""


class Segment(Protocol):
    """The link on which adverts travel."""

    async def send(self, payloads: Mapping[IPAddress, bytes]) -> None:
        """Send one advert to each destination; a link that is down loses it silently."""

    def receive_nowait(self) -> Packet | None:
        """The next VRRP packet that is already here, if any.

        A plain call, because what is queued must be looked at *before* a deadline that
        passed while we were asleep is believed.
        """

    async def readable(self) -> None:
        """Return when `receive_nowait` may find something."""


class Announcer(Protocol):
    """Tells the neighbours where an address lives now."""

    async def announce(self, vips: tuple[Vip, ...], count: int) -> None:
        """Send `count` gratuitous ARPs, or unsolicited neighbour advertisements, for each address."""


ClaimListener = Callable[[IPAddress, str], None]
"""Called with a VIP and the MAC of another station that says to have it."""


class Claims(Protocol):
    """Hears who else claims our VIPs.  Plain calls: they cannot fail or wait."""

    def watch(self, vips: tuple[Vip, ...], heard: ClaimListener) -> None:
        """Tell who claims one of these from now on, instead of those before."""

    def forget(self) -> None:
        """Hear nothing any more."""


class Gate(Protocol):
    """What a role change means to the data plane.  Plain calls: they cannot fail or wait."""

    def open(self) -> None:
        """The VIPs are here: accept on them."""

    def close(self) -> None:
        """The VIPs are about to go: stop accepting on them and end their sessions."""


class Guard(Protocol):
    """Takes the VIPs away when this process is dead or frozen.  Plain calls: they cannot wait."""

    def protect(self, name: str, plan: Plan) -> None:
        """From now on, if we fall silent, do this; replaces the plan of that name."""

    def release(self, name: str) -> None:
        """That instance holds nothing any more."""

    def strikes(self) -> int:
        """How often the guard has played its plans back; looked up now, not remembered."""


LinkListener = Callable[[bool], None]
"""Called with True when the interface can carry traffic (again) or got another link-layer
address, False when it is down or gone."""

AddressListener = Callable[[int, IPInterface], None]
"""Called with the index of any interface, not only this one, and an address that was taken off it."""

AddressSeenListener = Callable[[int, IPInterface], None]
"""Called with the index of any interface, and an address that was put there or renewed."""


class Link(Protocol):
    """One interface by name; it may vanish and come back as another."""

    @property
    def name(self) -> str: ...

    @property
    def index(self) -> int:
        """Of the newest interface of that name; 0 while there never was one."""

    @property
    def mac(self) -> bytes: ...

    @property
    def up(self) -> bool:
        """Exists, is set up and has a carrier."""

    def subscribe(
        self,
        on_state: LinkListener,
        on_address_lost: AddressListener,
        on_address_seen: AddressSeenListener = ...,
    ) -> Callable[[], None]:
        """Call the listeners from now on; returns the call that ends it."""


LinkOf = Callable[[Vip], Link]
"""Where a VIP belongs."""
