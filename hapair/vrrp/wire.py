"""VRRP on the wire: strict decoding, encoding, checksums.

Version 3 is RFC 9568 section 5, version 2 RFC 3768 section 5 with the simple
password of RFC 2338 (section 5.3.6.2), as keepalived speaks it.  A packet is an
Advert or a reason to drop it, which is a value to be counted; nothing here raises
on what a network can send.
"""

from __future__ import annotations

import struct
from enum import Enum
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address

import attrs

from hapair.config.model import ChecksumForm, IPAddress, IPNetwork

PROTOCOL = 112
GROUP = IPv4Address("224.0.0.18")
GROUP6 = IPv6Address("ff02::12")
TTL = 255
"""And the hop limit."""
DSCP_CS6 = 0xC0
"""The TOS byte of network control traffic."""

_ADVERTISEMENT = 1
_NO_AUTHENTICATION = 0
_SIMPLE_PASSWORD = 1
ABSURD = 100
"""Times our own interval: no master that we would wait for advertises as rarely as that."""
PASSWORD_LENGTH = 8
"""Octets of authentication data that end every version 2 message."""
_HEADER = struct.Struct("!BBBBHH")
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct("!IHBB16s16s")
_INTERVAL_MASK = 0x0FFF
_BROADCAST = IPv4Address("255.255.255.255")


class Drop(Enum):
    """Why a packet is not a valid advert for us; the values name the counters."""

    DESTINATION = "destination"
    """Neither the VRRP group (multicast) nor our own address (unicast), as far as we listen there."""
    LENGTH = "length"
    VRID = "vrid"
    """Another virtual router on the same segment: normal, and looked at first."""
    TTL = "ttl"
    VERSION = "version"
    TYPE = "type"
    COUNT = "count"
    """No address at all."""
    INTERVAL = "interval"
    """0: every timer derived from it would be 0.  Absurd: who believed it would miss the master for minutes.
    In version 2 also any other than ours."""
    AUTHENTICATION = "authentication"
    """Version 2: another type than ours, or another password."""
    CHECKSUM = "checksum"
    SOURCE = "source"
    """Not an address that a host can have; IPv6: not link-local."""
    OWN_SOURCE = "own_source"
    """Our own address: a loop, a duplicate address or a forgery."""
    NOT_A_PEER = "not_a_peer"
    OFF_LINK = "off_link"


@attrs.frozen
class Packet:
    """One received VRRP packet with the facts of its IP header."""

    source: IPAddress
    destination: IPAddress
    ttl: int
    payload: bytes
    """Exactly what the header's total length covers: trailing bytes are part of the message, and wrong."""


@attrs.frozen
class Dialect:
    """What both ends of a version 2 link must have in common; version 3 learns the interval."""

    version: int = 3
    interval: float = 1.0
    """Seconds; version 2 compares it, version 3 drops what is more than ABSURD times as long."""
    password: bytes = b""
    """At most 8 octets; version 2 only.  Empty: no authentication."""


V3 = Dialect()


@attrs.frozen
class Expected:
    """What a receiver lets in."""

    vrid: int
    source: IPAddress
    """Its own primary address."""
    peers: frozenset[IPAddress] = frozenset()
    """The only senders of what comes to our own address; empty: nothing may come there."""
    multicast: bool = True
    """Whether anybody's adverts to the group are let in."""
    on_link: tuple[IPNetwork, ...] = ()
    """Networks of the interface; empty when they are not known, and then not checked."""
    dialect: Dialect = V3


@attrs.frozen
class Advert:
    source: IPAddress
    vrid: int
    priority: int
    interval: float
    """Seconds."""
    addresses: tuple[IPAddress, ...]
    form: ChecksumForm | None
    """Which of the two checksum forms its sender uses; version 2 has only one."""


def decode(packet: Packet, expected: Expected) -> Advert | Drop:
    """Return the advert, or the first reason to drop it (RFC 9568, RFC 3768: section 7.1)."""
    payload = packet.payload
    if len(payload) < _HEADER.size:
        return Drop.LENGTH
    kind, vrid, priority, count, interval, _ = _HEADER.unpack_from(payload)
    dialect = expected.dialect
    if vrid != expected.vrid:
        return Drop.VRID
    if kind >> 4 != dialect.version:
        return Drop.VERSION
    if kind & 0x0F != _ADVERTISEMENT:
        return Drop.TYPE
    if reason := _misdirected(packet, expected):
        return reason
    if not count:
        return Drop.COUNT
    kind_of = type(packet.source)
    size = len(packet.source.packed)
    end = _HEADER.size + size * count
    form: ChecksumForm | None = None
    if dialect.version == 2:
        if reason := _not_as_agreed(payload, end, interval, dialect):
            return reason
        seconds = dialect.interval
    else:
        if len(payload) != end:
            return Drop.LENGTH
        form = _checksum_form(packet)
        if form is None:
            return Drop.CHECKSUM
        seconds = (interval & _INTERVAL_MASK) / 100
        if not 0 < seconds <= ABSURD * dialect.interval:
            return Drop.INTERVAL
    return Advert(
        source=packet.source,
        vrid=vrid,
        priority=priority,
        interval=seconds,
        addresses=tuple(kind_of(payload[at : at + size]) for at in range(_HEADER.size, end, size)),
        form=form,
    )


def _not_as_agreed(payload: bytes, end: int, timing: int, dialect: Dialect) -> Drop | None:
    """Judge what is version 2's own; `timing` is the authentication type and the interval in seconds."""
    if len(payload) != end + PASSWORD_LENGTH:
        return Drop.LENGTH
    if _sum(payload) != 0xFFFF:
        return Drop.CHECKSUM
    kind = _SIMPLE_PASSWORD if dialect.password else _NO_AUTHENTICATION
    if timing >> 8 != kind:
        return Drop.AUTHENTICATION
    if dialect.password and not compare_digest(payload[end:], _padded(dialect.password)):
        return Drop.AUTHENTICATION
    return None if timing & 0xFF == round(dialect.interval) else Drop.INTERVAL


def _padded(password: bytes) -> bytes:
    return password.ljust(PASSWORD_LENGTH, b"\0")


def _misdirected(packet: Packet, expected: Expected) -> Drop | None:
    """Judge by the IP header alone: only a neighbour that is not us may elect with us."""
    source = packet.source
    if packet.ttl != TTL:
        return Drop.TTL
    to_group = expected.multicast and packet.destination == group_of(expected.source)
    if not to_group and not (expected.peers and packet.destination == expected.source):
        return Drop.DESTINATION
    if source.is_multicast or source.is_loopback or source.is_unspecified or source == _BROADCAST:
        return Drop.SOURCE
    if source.version == 6 and to_group and not source.is_link_local:
        return Drop.SOURCE
    if source == expected.source:
        return Drop.OWN_SOURCE
    if not to_group:
        return None if source in expected.peers else Drop.NOT_A_PEER
    if source.version == 6 and source.is_link_local:
        return (
            None  # whatever its interface has at the moment: after a link flap the addresses come back later
        )
    if expected.on_link and not any(source in network for network in expected.on_link):
        return Drop.OFF_LINK
    return None


def _checksum_form(packet: Packet) -> ChecksumForm | None:
    payload = packet.payload
    if _sum(_pseudo_header(packet.source, packet.destination, len(payload)) + payload) == 0xFFFF:
        return ChecksumForm.PSEUDO
    if packet.source.version == 4 and _sum(payload) == 0xFFFF:
        return ChecksumForm.RFC9568
    return None


def encode(
    *,
    vrid: int,
    priority: int,
    interval: float,
    addresses: tuple[IPAddress, ...],
    source: IPAddress,
    destination: IPAddress,
    form: ChecksumForm,
    dialect: Dialect = V3,
) -> bytes:
    """Return the advert's bytes; AUTO, with no peer heard, is the pseudo-header form as keepalived's.

    `interval` is in seconds, rounded to centiseconds in version 3 and to seconds in version 2.
    """
    body = b"".join(address.packed for address in addresses)
    prefix = b""
    if dialect.version == 2:
        timing = (_SIMPLE_PASSWORD if dialect.password else _NO_AUTHENTICATION) << 8 | round(interval)
        body += _padded(dialect.password)
    else:
        timing = round(interval * 100)
        if form is not ChecksumForm.RFC9568 or source.version == 6:
            prefix = _pseudo_header(source, destination, _HEADER.size + len(body))

    def header(checksum: int) -> bytes:
        kind = dialect.version << 4 | _ADVERTISEMENT
        return _HEADER.pack(kind, vrid, priority, len(addresses), timing, checksum)

    return header(~_sum(prefix + header(0) + body) & 0xFFFF) + body


def ip_packet(source: IPAddress, destination: IPAddress, payload: bytes) -> bytes:
    """Return the whole IP packet: TTL or hop limit 255, class selector 6.

    The header is ours because the guard must send it with no help, and because adverts must
    keep their source even while somebody has taken that address off the interface.
    """
    if source.version == 6:
        version_and_class = 6 << 28 | DSCP_CS6 << 20
        return (
            _IPV6_HEADER.pack(
                version_and_class, len(payload), PROTOCOL, TTL, source.packed, destination.packed
            )
            + payload
        )
    length = _IPV4_HEADER.size + len(payload)

    def header(checksum: int) -> bytes:
        return _IPV4_HEADER.pack(
            0x45, DSCP_CS6, length, 0, 0, TTL, PROTOCOL, checksum, source.packed, destination.packed
        )

    return header(~_sum(header(0)) & 0xFFFF) + payload


def group_of(address: IPAddress) -> IPAddress:
    """Return the VRRP group of that address's family."""
    return GROUP if address.version == 4 else GROUP6


def _pseudo_header(source: IPAddress, destination: IPAddress, length: int) -> bytes:
    """RFC 768 and RFC 8200 section 8.1."""
    form = "!BBH" if source.version == 4 else "!xxHxxxB"
    fields = (0, PROTOCOL, length) if source.version == 4 else (length, PROTOCOL)
    return source.packed + destination.packed + struct.pack(form, *fields)


def _sum(data: bytes) -> int:
    """Return the ones' complement sum of 16-bit words (RFC 1071); every message here has an even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
