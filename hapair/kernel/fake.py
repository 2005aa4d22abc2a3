"""An in-memory kernel for tests: interfaces, addresses, a segment with loss, delay and partitions.

It sits the same exam as the real one (tests/kernel/test_addresses_exam.py) and
takes time from trio, so that under a mock clock every moment is exact.
"""

from __future__ import annotations

import errno
import heapq
import os
from collections.abc import Callable, Mapping
from itertools import count
from math import inf

import trio

from hapair.config.model import IPAddress, IPInterface, Vip, VirtualRoute, VirtualRule, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel.ports import AddressListener, AddressSeenListener, ClaimListener, LinkListener, Placed
from hapair.vrrp import routes, wire
from hapair.vrrp.addresses import delete_address
from hapair.vrrp.guard import Plan


class FakeLink:
    """An interface that a test sets up and down, or makes vanish."""

    def __init__(self, name: str, index: int = 2, mac: bytes = b"\x02\0\0\0\0\x01") -> None:
        self.name = name
        self.index = index
        self.mac = mac
        self.up = True
        self.exists = True
        self._listeners: list[tuple[LinkListener, AddressListener, AddressSeenListener]] = []

    def subscribe(
        self,
        on_state: LinkListener,
        on_address_lost: AddressListener,
        on_address_seen: AddressSeenListener = lambda _index, _address: None,
    ) -> Callable[[], None]:
        entry = (on_state, on_address_lost, on_address_seen)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    @property
    def followers(self) -> int:
        return len(self._listeners)

    def set_up(self, up: bool) -> None:
        self.up = up
        for on_state, _, _ in tuple(self._listeners):
            on_state(up)

    def address_lost(self, address: IPInterface) -> None:
        for _, on_address_lost, _ in tuple(self._listeners):
            on_address_lost(self.index, address)

    def address_seen(self, index: int, address: IPInterface) -> None:
        for _, _, on_address_seen in tuple(self._listeners):
            on_address_seen(index, address)


class FakeAddresses:
    """What `ip address` would show on one interface."""

    def __init__(self, link: FakeLink, *permanent: IPInterface) -> None:
        self._link = link
        self._expiry: dict[IPInterface, float] = dict.fromkeys(permanent, inf)
        self.refuse: dict[IPInterface, int] = {}
        """Errno for every `add` of an address."""
        self._elsewhere: set[Placed] = set()
        self.listings = 0
        """How often addresses were listed."""

        self.prepared = False

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()
        self.prepared = True

    async def dismiss(self) -> None:
        await trio.lowlevel.checkpoint()
        self.prepared = False

    def index_of(self, _vip: Vip) -> int:
        return self._link.index

    def deletions(self, vips: tuple[Vip, ...]) -> tuple[bytes, ...]:
        return tuple(delete_address(self._link.index, vip) for vip in vips)

    async def add(self, vip: Vip, lifetime: int | None) -> None:
        await trio.lowlevel.checkpoint()
        code = self.refuse.get(vip.address) if self._link.exists else errno.ENODEV
        if code:
            raise KernelError(f"add {vip} to {self._link.name}", code, os.strerror(code))
        self._expiry[vip.address] = inf if lifetime is None else trio.current_time() + lifetime
        self._link.address_seen(self._link.index, vip.address)

    async def remove(self, vip: Vip) -> None:
        await trio.lowlevel.checkpoint()
        if vip.address in self.now() and self._expiry.pop(vip.address, None) is not None:
            self._link.address_lost(vip.address)

    async def present(self) -> frozenset[IPInterface]:
        await trio.lowlevel.checkpoint()
        self.listings += 1
        return self.now()

    async def everywhere(self, addresses: frozenset[IPAddress]) -> list[Placed]:
        await trio.lowlevel.checkpoint()
        self.listings += 1
        here = {Placed(self._link.index, self._link.name, address) for address in self.now()}
        return sorted(placed for placed in here | self._elsewhere if placed.address.ip in addresses)

    async def remove_misplaced(self, placed: Placed) -> None:
        if placed.index == self._link.index:
            await self.remove(Vip(placed.address))
        else:
            await trio.lowlevel.checkpoint()
            self._elsewhere.discard(placed)

    def meddle(self, placed: Placed) -> None:
        """Put an address somewhere, as another program does."""
        if placed.index == self._link.index:
            self._expiry[placed.address] = inf
        else:
            self._elsewhere.add(placed)
        self._link.address_seen(placed.index, placed.address)

    def now(self) -> frozenset[IPInterface]:
        """Return what is there, without a checkpoint: for assertions."""
        if not self._link.exists:
            self._expiry.clear()
        now = trio.current_time()
        self._expiry = {vip: at for vip, at in self._expiry.items() if at > now}
        return frozenset(self._expiry)


class FakeRoutes:
    """`kernel.ports.Routes` in memory."""

    def __init__(self) -> None:
        self.present: set[VirtualRoute | VirtualRule] = set()

    async def add(self, instance: VrrpInstance) -> None:
        await trio.lowlevel.checkpoint()
        self.present.update(instance.virtual_routes, instance.virtual_rules)

    async def remove(self, instance: VrrpInstance) -> None:
        await trio.lowlevel.checkpoint()
        self.present.difference_update(instance.virtual_routes, instance.virtual_rules)

    def deletions(self, instance: VrrpInstance) -> tuple[bytes, ...]:
        return (
            *(routes.delete_rule(rule) for rule in instance.virtual_rules),
            *(routes.delete_route(route, 7) for route in instance.virtual_routes),
        )


class FakeWire:
    """A segment; what one endpoint sends, the others hear."""

    def __init__(self) -> None:
        self.delay = 0.0
        """Seconds from sending to hearing."""
        self.loses: Callable[[IPAddress, IPAddress], bool] = lambda _sender, _receiver: False
        """Asked for every packet and receiver; a partition is a loss that lasts."""
        self._endpoints: list[FakeSegment] = []

    def attach(self, link: FakeLink, source: IPAddress, *, multicast: bool = True) -> FakeSegment:
        endpoint = FakeSegment(self, link, source, multicast=multicast)
        self._endpoints.append(endpoint)
        return endpoint

    def transmit(self, packet: wire.Packet, sender: FakeSegment) -> None:
        for endpoint in self._endpoints:
            hears = (
                endpoint.multicast
                if packet.destination == wire.GROUP
                else endpoint.source == packet.destination
            )
            if not hears or endpoint is sender or not endpoint.link.up:
                continue
            if not self.loses(packet.source, endpoint.source):
                endpoint.deliver(trio.current_time() + self.delay, packet)


class FakeSegment:
    """One node's end of a FakeWire."""

    def __init__(self, wire_: FakeWire, link: FakeLink, source: IPAddress, *, multicast: bool) -> None:
        self.link = link
        self.source = source
        self.multicast = multicast
        self.sent: list[tuple[float, IPAddress, bytes]] = []
        """Time, destination and payload of everything that left."""
        self.refuses = 0
        """Errno for every `send`."""
        self._wire = wire_
        self._queue: list[tuple[float, int, wire.Packet]] = []
        self._order = count()
        self._news = trio.Event()

    async def send(self, payloads: Mapping[IPAddress, bytes]) -> None:
        await trio.lowlevel.checkpoint()
        if self.refuses:
            raise KernelError(f"send an advert on {self.link.name}", self.refuses, os.strerror(self.refuses))
        if not self.link.up:
            return
        for destination, payload in payloads.items():
            self.sent.append((trio.current_time(), destination, payload))
            self._wire.transmit(wire.Packet(self.source, destination, wire.TTL, payload), self)

    def receive_nowait(self) -> wire.Packet | None:
        if self._queue and self._queue[0][0] <= trio.current_time():
            return heapq.heappop(self._queue)[2]
        return None

    async def readable(self) -> None:
        while not (self._queue and self._queue[0][0] <= trio.current_time()):
            self._news = trio.Event()
            with trio.move_on_at(self._queue[0][0] if self._queue else inf):
                await self._news.wait()
        await trio.lowlevel.checkpoint()

    def deliver(self, at: float, packet: wire.Packet) -> None:
        heapq.heappush(self._queue, (at, next(self._order), packet))
        self._news.set()


class FakeAnnouncer:
    def __init__(self) -> None:
        self.announced: list[tuple[float, tuple[IPAddress, ...], int]] = []

    async def announce(self, vips: tuple[Vip, ...], count: int) -> None:
        await trio.lowlevel.checkpoint()
        self.announced.append((trio.current_time(), tuple(vip.ip for vip in vips), count))


class FakeClaims:
    """What another station claims is what a test says."""

    def __init__(self) -> None:
        self._heard: ClaimListener | None = None
        self._watched: frozenset[IPAddress] = frozenset()

    def watch(self, vips: tuple[Vip, ...], heard: ClaimListener) -> None:
        self._heard, self._watched = heard, frozenset(vip.ip for vip in vips)

    def forget(self) -> None:
        self._heard, self._watched = None, frozenset()

    @property
    def watched(self) -> frozenset[IPAddress]:
        return self._watched

    def claim(self, address: IPAddress, mac: str) -> None:
        """Let somebody say that `address` is at `mac`; nobody hears it unless it is watched."""
        if self._heard is not None and address in self._watched:
            self._heard(address, mac)


class FakeGuard:
    """Remembers the plans; a test lets it strike."""

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {}
        self._strikes = 0

    def protect(self, name: str, plan: Plan) -> None:
        self.plans[name] = plan

    def release(self, name: str) -> None:
        self.plans.pop(name, None)

    def strikes(self) -> int:
        return self._strikes

    def strike(self) -> None:
        self._strikes += 1
        self.plans.clear()
