"""What a reload may change in place, and what makes a router another one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import attrs
import pytest

from hapair.app.wiring import same_router
from hapair.config.model import VirtualRoute, VrrpInstance

WEB = VrrpInstance("web", "eth0", 51, (IPv4Interface("192.0.2.100/24"),))


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 7},
        {"advert_interval": 0.1},
        {"version": 2},
        {"auth_pass": "x"},
        {"preempt": False},
        {"addresses": (IPv4Interface("192.0.2.100/32"),)},
        {"virtual_routes": (VirtualRoute(IPv4Interface("198.51.100.0/24").network),)},
        {"notify": ("/bin/true",)},
    ],
    ids=str,
)
def test_a_master_stays_master_when_this_changes(change):
    assert same_router(WEB, attrs.evolve(WEB, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"interface": "eth1"},
        {"virtual_router_id": 52},
        {"source_address": IPv4Address("192.0.2.1")},
        {"unicast_peers": (IPv4Address("192.0.2.2"),)},
        {"unicast_peers": (IPv4Address("192.0.2.2"),), "multicast": True},
        {"addresses": (IPv4Interface("192.0.2.101/24"),)},
        {"excluded_addresses": (IPv4Interface("192.0.2.101/24"),)},
    ],
    ids=str,
)
def test_another_place_peers_or_vips_make_another_router(change):
    assert not same_router(WEB, attrs.evolve(WEB, **change))
