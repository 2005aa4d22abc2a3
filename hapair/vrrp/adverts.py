"""What one virtual router says and hears: `wire` with a memory.

The memory is what the codec cannot have: which checksum form the peer speaks, who
was heard last, what was dropped, and what has been complained about already, so
that a log line appears when something changes and not with every packet.
"""

from __future__ import annotations

import logging
from collections import Counter

import attrs

from hapair.config.model import ChecksumForm, IPAddress, IPNetwork, VrrpInstance
from hapair.vrrp import guard, wire
from hapair.vrrp.events import AdvertReceived
from hapair.vrrp.router import OWNER
from hapair.vrrp.status import Peer

log = logging.getLogger("hapair.vrrp")

_ALARMING = frozenset(
    {wire.Drop.OWN_SOURCE, wire.Drop.NOT_A_PEER, wire.Drop.OFF_LINK, wire.Drop.AUTHENTICATION}
)
"""Drops that tell of a forged or a lost packet rather than of a broken one."""


class Adverts:
    def __init__(self, instance: VrrpInstance, source: IPAddress) -> None:
        self._instance = instance
        self._source = source
        self._expected = wire.Expected(
            instance.virtual_router_id,
            source,
            frozenset(instance.unicast_peers),
            multicast=instance.multicasts,
            dialect=guard.dialect_of(instance),
        )
        self._form = instance.checksum
        self._complaints: set[tuple[object, ...]] = set()
        self._planned: tuple[tuple[object, ...], guard.Plan] | None = None
        """The last plan, and what it was made for."""
        self.peer: Peer | None = None
        self.received = 0
        self.drops: Counter[str] = Counter()

    def adopt(self, instance: VrrpInstance) -> None:
        """Go on with another configuration of the same router."""
        if instance.checksum is not self._instance.checksum:
            self._form = instance.checksum
        self._instance = instance
        self._expected = attrs.evolve(self._expected, dialect=guard.dialect_of(instance))
        self._complaints.clear()

    def on_link(self, networks: tuple[IPNetwork, ...]) -> None:
        """Say which networks the interface is in: nobody else can be its neighbour."""
        self._expected = attrs.evolve(self._expected, on_link=networks)

    def hear(self, packet: wire.Packet, now: float) -> AdvertReceived | None:
        """Return what a packet tells the election; None when it was dropped, and counted."""
        advert = wire.decode(packet, self._expected)
        if isinstance(advert, wire.Drop):
            self._dropped(advert, packet)
            return None
        self.received += 1
        self.peer = Peer(advert.source, advert.priority, advert.interval, now)
        self._learn(advert)
        return AdvertReceived(advert.source, advert.priority, advert.interval)

    def payloads(self, priority: int) -> dict[IPAddress, bytes]:
        """Return one advert for each destination."""
        return {
            destination: wire.encode(
                vrid=self._instance.virtual_router_id,
                priority=priority,
                interval=self._instance.advert_interval,
                addresses=tuple(vip.ip for vip in self._instance.addresses),
                source=self._source,
                destination=destination,
                form=self._form,
                dialect=self._expected.dialect,
            )
            for destination in guard.destinations(self._instance, self._source)
        }

    def plan(self, ifindex: int, requests: tuple[bytes, ...]) -> guard.Plan:
        """Return what the guard shall do for this router: `requests`, then say goodbye."""
        made_for = self._instance, ifindex, requests, self._form
        if self._planned is None or self._planned[0] != made_for:
            plan = guard.plan(
                self._instance, ifindex=ifindex, source=self._source, requests=requests, form=self._form
            )
            self._planned = made_for, plan
        return self._planned[1]

    def _learn(self, advert: wire.Advert) -> None:
        name = self._instance.name
        if advert.form is not None:
            self._learn_form(advert.source, advert.form)
        ours = {vip.ip for vip in self._instance.addresses}
        if set(advert.addresses) != ours and self._first("addresses", advert.source, advert.addresses):
            theirs = ", ".join(map(str, advert.addresses))
            log.warning("(%s) %s advertises other addresses than ours: %s", name, advert.source, theirs)
        seconds = advert.interval
        if round(self._instance.advert_interval * 100) != round(seconds * 100) and self._first(
            "interval", advert.source, seconds
        ):
            ours_is = self._instance.advert_interval
            log.info("(%s) %s advertises each %g s, we each %g s", name, advert.source, seconds, ours_is)
        if advert.priority == OWNER and self._first("owner", advert.source):
            log.warning("(%s) %s claims to own the addresses (priority 255)", name, advert.source)

    def _learn_form(self, source: IPAddress, form: ChecksumForm) -> None:
        name = self._instance.name
        if self._instance.checksum is ChecksumForm.AUTO and self._form is not form:
            if self._form is not ChecksumForm.AUTO or form is ChecksumForm.RFC9568:
                log.info("(%s) %s uses the %s checksum, so do we now", name, source, form.value)
            self._form = form
        elif self._form not in (ChecksumForm.AUTO, form) and self._first("form", source):
            log.warning("(%s) %s uses the %s checksum, we do not", name, source, form.value)

    def _dropped(self, reason: wire.Drop, packet: wire.Packet) -> None:
        self.drops[reason.value] += 1
        if reason is wire.Drop.VRID or not self._first(reason):
            return
        level = logging.WARNING if reason in _ALARMING else logging.INFO
        log.log(
            level,
            "(%s) dropped a packet from %s: %s; further ones are only counted",
            self._instance.name,
            packet.source,
            reason.value.replace("_", " "),
        )

    def _first(self, *complaint: object) -> bool:
        """Whether this has not been logged; bounded, for the senders are not all friends."""
        if complaint in self._complaints:
            return False
        if len(self._complaints) >= 256:
            self._complaints.clear()
        self._complaints.add(complaint)
        return True
