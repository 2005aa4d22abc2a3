"""VRRPv3 for IPv4 on the wire: strict decoding, encoding, checksums (RFC 9568 section 5).

A packet is an Advert or a reason to drop it, which is a value to be counted;
nothing here raises on what a network can send.  VRRPv2 and IPv6 are not here yet:
they are dropped by their version and never reach us, respectively.
"""

from __future__ import annotations

import struct
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

import attrs

from hapair.config.model import ChecksumForm

PROTOCOL = 112
GROUP = IPv4Address("224.0.0.18")
TTL = 255
DSCP_CS6 = 0xC0
"""The TOS byte of network control traffic."""

_VERSION = 3
_ADVERTISEMENT = 1
_HEADER = struct.Struct("!BBBBHH")
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_INTERVAL_MASK = 0x0FFF
_BROADCAST = IPv4Address("255.255.255.255")
_UNSPECIFIED = IPv4Address("0.0.0.0")


class Drop(Enum):
    """Why a packet is not a valid advert for us; the values name the counters."""

    DESTINATION = "destination"
    """Neither the VRRP group (multicast) nor our own address (unicast)."""
    LENGTH = "length"
    VRID = "vrid"
    """Another virtual router on the same segment: normal, and looked at first."""
    TTL = "ttl"
    VERSION = "version"
    TYPE = "type"
    COUNT = "count"
    """No address at all."""
    INTERVAL = "interval"
    """Max_Advertise_Interval 0: every timer derived from it would be 0."""
    CHECKSUM = "checksum"
    SOURCE = "source"
    """Not an address that a host can have."""
    OWN_SOURCE = "own_source"
    """Our own address: a loop, a duplicate address or a forgery."""
    NOT_A_PEER = "not_a_peer"
    OFF_LINK = "off_link"


@attrs.frozen
class Packet:
    """One received VRRP packet with the facts of its IP header."""

    source: IPv4Address
    destination: IPv4Address
    ttl: int
    payload: bytes
    """Exactly what the header's total length covers: trailing bytes are part of the message, and wrong."""


@attrs.frozen
class Expected:
    """What a receiver lets in."""

    vrid: int
    source: IPv4Address
    """Its own primary address."""
    peers: frozenset[IPv4Address] = frozenset()
    """The only senders in unicast mode; empty for multicast."""
    on_link: tuple[IPv4Network, ...] = ()
    """Networks of the interface; empty when they are not known, and then not checked."""


@attrs.frozen
class Advert:
    source: IPv4Address
    vrid: int
    priority: int
    interval: float
    """Seconds."""
    addresses: tuple[IPv4Address, ...]
    form: ChecksumForm
    """Which of the two checksum forms its sender uses."""


def decode(packet: Packet, expected: Expected) -> Advert | Drop:
    """Return the advert, or the first reason to drop it (RFC 9568 section 7.1)."""
    payload = packet.payload
    if len(payload) < _HEADER.size:
        return Drop.LENGTH
    kind, vrid, priority, count, interval, _ = _HEADER.unpack_from(payload)
    if vrid != expected.vrid:
        return Drop.VRID
    if kind >> 4 != _VERSION:
        return Drop.VERSION
    if kind & 0x0F != _ADVERTISEMENT:
        return Drop.TYPE
    if reason := _misdirected(packet, expected):
        return reason
    if not count:
        return Drop.COUNT
    if len(payload) != _HEADER.size + 4 * count:
        return Drop.LENGTH
    form = _checksum_form(packet)
    if form is None:
        return Drop.CHECKSUM
    if not interval & _INTERVAL_MASK:
        return Drop.INTERVAL
    return Advert(
        source=packet.source,
        vrid=vrid,
        priority=priority,
        interval=(interval & _INTERVAL_MASK) / 100,
        addresses=tuple(IPv4Address(payload[at : at + 4]) for at in range(_HEADER.size, len(payload), 4)),
        form=form,
    )


def _misdirected(packet: Packet, expected: Expected) -> Drop | None:
    """Judge by the IP header alone: only a neighbour that is not us may elect with us."""
    source = packet.source
    if packet.ttl != TTL:
        return Drop.TTL
    if packet.destination != (expected.source if expected.peers else GROUP):
        return Drop.DESTINATION
    if source.is_multicast or source.is_loopback or source in (_UNSPECIFIED, _BROADCAST):
        return Drop.SOURCE
    if source == expected.source:
        return Drop.OWN_SOURCE
    if expected.peers:
        return None if source in expected.peers else Drop.NOT_A_PEER
    if expected.on_link and not any(source in network for network in expected.on_link):
        return Drop.OFF_LINK
    return None


def _checksum_form(packet: Packet) -> ChecksumForm | None:
    payload = packet.payload
    if _sum(_pseudo_header(packet.source, packet.destination, len(payload)) + payload) == 0xFFFF:
        return ChecksumForm.PSEUDO
    if _sum(payload) == 0xFFFF:
        return ChecksumForm.RFC9568
    return None


def encode(
    *,
    vrid: int,
    priority: int,
    interval: float,
    addresses: tuple[IPv4Address, ...],
    source: IPv4Address,
    destination: IPv4Address,
    form: ChecksumForm,
) -> bytes:
    """Return the advert's bytes; AUTO, with no peer heard, is the pseudo-header form as keepalived's.

    `interval` is in seconds and rounded to centiseconds.
    """
    centiseconds = round(interval * 100)
    body = b"".join(address.packed for address in addresses)
    kind = _VERSION << 4 | _ADVERTISEMENT
    header = _HEADER.pack(kind, vrid, priority, len(addresses), centiseconds, 0)
    summed = header + body
    if form is not ChecksumForm.RFC9568:
        summed = _pseudo_header(source, destination, len(summed)) + summed
    checksum = ~_sum(summed) & 0xFFFF
    return _HEADER.pack(kind, vrid, priority, len(addresses), centiseconds, checksum) + body


def ip_packet(source: IPv4Address, destination: IPv4Address, payload: bytes) -> bytes:
    """Return the whole IPv4 packet: TTL 255, class selector 6.

    The header is ours because the guard must send it with no help, and because adverts must
    keep their source even while somebody has taken that address off the interface.
    """
    length = _IPV4_HEADER.size + len(payload)

    def header(checksum: int) -> bytes:
        return _IPV4_HEADER.pack(
            0x45, DSCP_CS6, length, 0, 0, TTL, PROTOCOL, checksum, source.packed, destination.packed
        )

    return header(~_sum(header(0)) & 0xFFFF) + payload


def _pseudo_header(source: IPv4Address, destination: IPv4Address, length: int) -> bytes:
    return source.packed + destination.packed + struct.pack("!BBH", 0, PROTOCOL, length)


def _sum(data: bytes) -> int:
    """Return the ones' complement sum of 16-bit words (RFC 1071); every message here has an even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
