"""A node, its facts when all is well, and what differs."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_interface

import attrs

from hapair.config.model import Node, NodeConfig, VrrpInstance
from hapair.doctor.facts import Facts, Interface
from hapair.vrrp.sighting import Sighting

A, B, C = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3))
VIP = ip_interface("192.0.2.100/24")
GROUP = IPv4Address("224.0.0.18")
B_MAC = "02:00:00:00:00:02"

INSTANCE = VrrpInstance("web", "eth0", 51, (VIP,), priority=150)
NODE = NodeConfig(Node("lb-a"), vrrp={"web": INSTANCE})
ETH0 = Interface(
    name="eth0",
    up=True,
    carrier=True,
    multicast=True,
    arp=True,
    mac="02:00:00:00:00:01",
    addresses=(ip_interface("192.0.2.1/24"), ip_interface("fe80::1/64")),
    arp_ignore=0,
    disable_ipv6=0,
)
WELL = Facts(
    interfaces={"eth0": ETH0},
    heard={"eth0": ()},
    listened=4.0,
    ruleset={"nftables": []},
    capabilities=frozenset({"NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"}),
    descriptors=100_000,
    conntrack=(10, 1000),
    clock_synchronised=True,
    guard_seconds=0.05,
    node_runs=False,
)
ADVERT = Sighting(
    at=1.0,
    mac=B_MAC,
    outgoing=False,
    source=B,
    destination=GROUP,
    ttl=255,
    version=3,
    vrid=51,
    priority=100,
    interval=1.0,
    addresses=(VIP.ip,),
    authentication="",
    password=b"",
    checksum="pseudo",
    doubts=(),
)


def advert(**differences):
    return attrs.evolve(ADVERT, **differences)


def heard(*adverts, **differences):
    return attrs.evolve(WELL, heard={"eth0": adverts}, **differences)


def eth0(**differences):
    return attrs.evolve(WELL, interfaces={"eth0": attrs.evolve(ETH0, **differences)})


def instance(**differences):
    return NodeConfig(NODE.node, vrrp={"web": attrs.evolve(INSTANCE, **differences)})
