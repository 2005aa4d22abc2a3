"""What the guard must do when we die, as ready-made bytes.

The guard (kernel/guard_child.py) is too small to know VRRP: it gets netlink
requests that delete the VIPs and IP packets that say goodbye, keeps the newest
plan of every instance, and plays them back when we fall silent.
"""

from __future__ import annotations

from math import ceil

import attrs

from hapair.config.model import ChecksumForm, IPAddress, VrrpInstance
from hapair.vrrp import wire
from hapair.vrrp.router import RESIGNING

RELIEF_MARGIN = 0.05
LONGEST_SKEW = 1.0
"""Seconds: for the peer to be heard, and that a VIP may wait for it; its lifetime is longer."""


@attrs.frozen
class Plan:
    """How to end one instance's mastership without it."""

    ifindex: int
    requests: tuple[bytes, ...]
    """Netlink, to be sent first: no VIP may be left when the peer hears the goodbye."""
    packets: tuple[bytes, ...]
    """IP packets with their header, to be sent out of `ifindex`."""
    relief: float = 0.0
    """Seconds that workers, if there are any, serve on when nobody else is heard."""
    addresses: tuple[IPAddress, ...] = ()
    """The VIPs, for the workers."""


def plan(
    instance: VrrpInstance,
    *,
    ifindex: int,
    source: IPAddress,
    requests: tuple[bytes, ...],
    form: ChecksumForm,
) -> Plan:
    """Return the plan: `requests`, then a priority-0 advert to the group and every peer."""
    return Plan(
        ifindex=ifindex,
        requests=requests,
        packets=tuple(
            wire.ip_packet(
                source,
                destination,
                wire.encode(
                    vrid=instance.virtual_router_id,
                    priority=RESIGNING,
                    interval=instance.advert_interval,
                    addresses=tuple(vip.ip for vip in instance.addresses),
                    source=source,
                    destination=destination,
                    form=form,
                    dialect=dialect_of(instance),
                ),
            )
            for destination in destinations(instance, source)
        ),
        relief=relief(instance),
        addresses=tuple(vip.ip for vip in instance.held),
    )


def relief(instance: VrrpInstance) -> float:
    """Return in how many seconds a peer that heard our goodbye is MASTER, or will not be."""
    longest_skew = 1.0 if instance.version == 2 else instance.advert_interval
    return RELIEF_MARGIN + (min(longest_skew, LONGEST_SKEW) if instance.skew else 0.0)


def destinations(instance: VrrpInstance, source: IPAddress) -> tuple[IPAddress, ...]:
    """Return where each advert goes: the group, every unicast peer, or both."""
    return (*((wire.group_of(source),) if instance.multicasts else ()), *instance.unicast_peers)


def dialect_of(instance: VrrpInstance) -> wire.Dialect:
    """Return how a configured instance speaks."""
    return wire.Dialect(instance.version, instance.advert_interval, (instance.auth_pass or "").encode())


def address_lifetime(guard_timeout: float) -> int:
    """Return the VIPs' valid_lft in seconds: the last net, for when the guard is killed as well.

    It must outlast the guard's own patience, and four missed renewals (REFRESH_INTERVAL); 2 s is
    less than any master-down interval at the usual 1 s adverts, so the peer is never beside us.
    """
    return max(2, ceil(guard_timeout) + 1)
