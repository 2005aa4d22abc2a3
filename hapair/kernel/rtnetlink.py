"""rtnetlink messages as far as a monitor needs them: links and addresses (rtnetlink(7)).

pyroute2 makes the changes; its event reading wants asyncio, and parsing these few
fields takes a page.  Unknown messages and attributes are skipped, as the protocol asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

import attrs

from hapair.config.model import IPInterface

NLMSG_DONE = 3
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
GROUP_LINK = 1
GROUP_IPV4_IFADDR = 0x10
GROUP_IPV6_IFADDR = 0x100

_NLM_F_REQUEST_DUMP = 0x301
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_ADDRESS_LENGTHS = {2: 4, 10: 16}
"""Of AF_INET and AF_INET6."""
_NLMSGHDR = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")
_IFADDRMSG = struct.Struct("=BBBBI")
_RTATTR = struct.Struct("=HH")


@attrs.frozen
class LinkSeen:
    index: int
    name: str
    mac: bytes
    up: bool
    """Set up, and with a carrier."""


@attrs.frozen
class LinkGone:
    index: int


@attrs.frozen
class AddressSeen:
    """It is there, or was renewed."""

    index: int
    address: IPInterface


@attrs.frozen
class AddressGone:
    index: int
    address: IPInterface


@attrs.frozen
class Done:
    """The end of a dump."""


Notice = LinkSeen | LinkGone | AddressSeen | AddressGone | Done


def dump_links_request() -> bytes:
    """Return the request for one `LinkSeen` for every interface, then `Done`."""
    length = _NLMSGHDR.size + _IFINFOMSG.size
    header = _NLMSGHDR.pack(length, RTM_GETLINK, _NLM_F_REQUEST_DUMP, 1, 0)
    return header + _IFINFOMSG.pack(0, 0, 0, 0, 0)


def parse(datagram: bytes) -> Iterator[Notice]:
    """Yield what a datagram from the kernel says about links and addresses."""
    at = 0
    while at + _NLMSGHDR.size <= len(datagram):
        length, kind, _, _, _ = _NLMSGHDR.unpack_from(datagram, at)
        if length < _NLMSGHDR.size:
            return
        notice = _notice(kind, datagram[at + _NLMSGHDR.size : at + length])
        if notice is not None:
            yield notice
        at += _aligned(length)


def _notice(kind: int, body: bytes) -> Notice | None:
    if kind == NLMSG_DONE:
        return Done()
    if kind in (RTM_NEWLINK, RTM_DELLINK) and len(body) >= _IFINFOMSG.size:
        return _link(kind, body)
    if kind in (RTM_NEWADDR, RTM_DELADDR) and len(body) >= _IFADDRMSG.size:
        return _address(kind, body)
    return None


def _address(kind: int, body: bytes) -> AddressSeen | AddressGone | None:
    family, prefixlen, _, _, index = _IFADDRMSG.unpack_from(body)
    attributes = _attributes(body[_IFADDRMSG.size :])
    # IPv4 has both: IFA_ADDRESS is the other end of a point-to-point link.
    local = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    if local is None or len(local) != _ADDRESS_LENGTHS.get(family):
        return None
    address = ip_interface((ip_address(local), prefixlen))
    return AddressSeen(index, address) if kind == RTM_NEWADDR else AddressGone(index, address)


def _link(kind: int, body: bytes) -> Notice | None:
    family, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    if family:  # AF_BRIDGE tells of ports of a bridge, not of links
        return None
    if kind == RTM_DELLINK:
        return LinkGone(index)
    attributes = _attributes(body[_IFINFOMSG.size :])
    return LinkSeen(
        index=index,
        name=attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="surrogateescape"),
        mac=attributes.get(_IFLA_ADDRESS, b""),
        up=flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING,
    )


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + _RTATTR.size <= len(data):
        length, kind = _RTATTR.unpack_from(data, at)
        if length < _RTATTR.size:
            break
        found[kind] = data[at + _RTATTR.size : at + length]
        at += _aligned(length)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
