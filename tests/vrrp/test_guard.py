"""The guard's bytes against scapy."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import pytest

from hapair.config.model import ChecksumForm, VrrpInstance
from hapair.vrrp import wire
from hapair.vrrp.guard import address_lifetime, plan

US, PEER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
VIP, OTHER = IPv4Interface("192.0.2.100/24"), IPv4Interface("198.51.100.7/32")
INSTANCE = VrrpInstance("web", "eth0", 51, (VIP, OTHER))


def test_the_goodbye_is_a_valid_priority_0_advert_to_the_group():
    made = plan(INSTANCE, ifindex=7, source=US, requests=(b"one", b"two"), form=ChecksumForm.RFC9568)
    assert made.requests == (b"one", b"two")
    (packet,) = made.packets
    payload = packet[20:]
    heard = wire.decode(wire.Packet(US, wire.GROUP, packet[8], payload), wire.Expected(51, PEER))
    assert heard == wire.Advert(US, 51, 0, 1.0, (VIP.ip, OTHER.ip), ChecksumForm.RFC9568)


def test_every_unicast_peer_hears_the_goodbye():
    instance = VrrpInstance("web", "eth0", 51, (VIP,), unicast_peers=(PEER, PEER + 1))
    made = plan(instance, ifindex=7, source=US, requests=(), form=ChecksumForm.AUTO)
    assert [IPv4Address(packet[16:20]) for packet in made.packets] == [PEER, PEER + 1]


@pytest.mark.parametrize(("timeout", "lifetime"), [(0.1, 2), (1.0, 2), (1.5, 3), (5.0, 6)])
def test_addresses_outlive_the_guards_patience(timeout, lifetime):
    assert address_lifetime(timeout) == lifetime
