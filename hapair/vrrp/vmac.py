"""The virtual router's own MAC (RFC 9568 section 7.3): pure."""

from __future__ import annotations

import struct

from hapair.config.model import IPAddress, VrrpInstance
from hapair.vrrp import wire

_PREFIXES = {4: bytes.fromhex("00005e0001"), 6: bytes.fromhex("00005e0002")}
_GROUP_MACS = {4: bytes.fromhex("01005e000012"), 6: bytes.fromhex("333300000012")}
"""Of 224.0.0.18 (RFC 1112 section 6.4) and ff02::12 (RFC 2464 section 7)."""
_ETHERTYPES = {4: bytes.fromhex("0800"), 6: bytes.fromhex("86dd")}
_RTM_NEWLINK = 16
_NLM_F_REQUEST = 1
_IFF_UP = 1
_LINK_REQUEST = struct.Struct("=IHHIIBxHiII")
"""struct nlmsghdr and struct ifinfomsg."""


def virtual_mac(instance: VrrpInstance) -> bytes:
    """Return 00-00-5E-00-01-{vrid}, for IPv6 00-00-5E-00-02-{vrid}."""
    return _PREFIXES[instance.family] + bytes((instance.virtual_router_id,))


def advert_frame(mac: bytes, source: IPAddress, payload: bytes) -> bytes:
    """Return the Ethernet frame of an advert to the group."""
    packet = wire.ip_packet(source, wire.group_of(source), payload)
    return _GROUP_MACS[source.version] + mac + _ETHERTYPES[source.version] + packet


def link_down(ifindex: int) -> bytes:
    """Return the netlink request that sets an interface down; nobody waits for its acknowledgement."""
    return _LINK_REQUEST.pack(
        _LINK_REQUEST.size, _RTM_NEWLINK, _NLM_F_REQUEST, 0, 0, 0, 0, ifindex, 0, _IFF_UP
    )
