"""An advert as an onlooker reads it: everything it says, whether or not anybody should believe it.

`wire.decode` answers one router's question, "may this change my state?", and stops at the
first doubt.  Operators ask what is on the wire: both versions, both families, every
doubt at once.  Nothing here raises on what a network can send.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import attrs

from hapair.config.model import ChecksumForm, IPAddress

PROTOCOL = 112
TTL = 255
_GROUPS: tuple[IPAddress, ...] = (IPv4Address("224.0.0.18"), IPv6Address("ff02::12"))
_HEADER = struct.Struct("!BBBBHH")
_ADVERTISEMENT = 1
_PASSWORD_LENGTH = 8
_AUTHENTICATION = {0: "none", 1: "password", 2: "ip-ah"}
BAD = "bad"
OK = "ok"


@attrs.frozen
class Captured:
    """A VRRP packet off an interface, with what the kernel and its IP header say of it."""

    at: float
    """Seconds since the epoch."""
    mac: str
    """Of its sender; empty where the link has no such addresses."""
    outgoing: bool
    """Sent by this very host."""
    source: IPAddress
    destination: IPAddress
    ttl: int
    """Or hop limit."""
    payload: bytes


@attrs.frozen
class Sighting:
    at: float
    """Seconds since the epoch."""
    mac: str
    outgoing: bool
    source: IPAddress
    destination: IPAddress
    ttl: int
    version: int
    vrid: int
    priority: int
    interval: float
    """Seconds."""
    addresses: tuple[IPAddress, ...]
    authentication: str
    """Version 2: `none`, `password` or `ip-ah`; empty in version 3."""
    password: bytes = attrs.field(repr=False)
    """Version 2 with `password`: as sent, in clear, to everybody on the segment."""
    checksum: str
    """`ok`, `bad`, or for version 3 on IPv4 which form it has."""
    doubts: tuple[str, ...]
    """Why receivers would drop it."""

    @property
    def multicast(self) -> bool:
        return self.destination in _GROUPS


def sight(captured: Captured) -> Sighting | None:
    """Return what a packet says; None when it is too short to say anything."""
    payload = captured.payload
    if len(payload) < _HEADER.size:
        return None
    kind, vrid, priority, count, timing, _ = _HEADER.unpack_from(payload)
    version = kind >> 4
    size = 4 if captured.source.version == 4 else 16
    end = _HEADER.size + size * count
    old = version == 2
    checksum = _checksum(captured, version)
    expected = end + _PASSWORD_LENGTH * old
    doubts = []
    if version not in (2, 3):
        doubts.append(f"version {version}")
    if kind & 0x0F != _ADVERTISEMENT:
        doubts.append(f"type {kind & 0x0F}")
    if captured.ttl != TTL:
        doubts.append(f"TTL {captured.ttl} instead of {TTL}")
    if len(payload) != expected:
        doubts.append(f"{len(payload)} bytes instead of {expected}")
    if not count:
        doubts.append("no address")
    if checksum == BAD:
        doubts.append("bad checksum")
    interval = float(timing & 0xFF) if old else (timing & 0x0FFF) / 100
    if not interval:
        doubts.append("interval 0")
    authentication = _AUTHENTICATION.get(timing >> 8, f"type {timing >> 8}") if old else ""
    known = authentication == "password"
    return Sighting(
        at=captured.at,
        mac=captured.mac,
        outgoing=captured.outgoing,
        source=captured.source,
        destination=captured.destination,
        ttl=captured.ttl,
        version=version,
        vrid=vrid,
        priority=priority,
        interval=interval,
        addresses=tuple(
            _address(payload[at : at + size])
            for at in range(_HEADER.size, min(end, len(payload) - size + 1), size)
        ),
        authentication=authentication,
        password=payload[end : end + _PASSWORD_LENGTH].rstrip(b"\0") if known else b"",
        checksum=checksum,
        doubts=tuple(doubts),
    )


def _address(packed: bytes) -> IPAddress:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _checksum(captured: Captured, version: int) -> str:
    payload = captured.payload
    length = len(payload)
    addresses = captured.source.packed + captured.destination.packed
    if captured.source.version == 6:
        pseudo = addresses + struct.pack("!II", length, PROTOCOL)
        return OK if _sum(pseudo + payload) == 0xFFFF else BAD
    plain = _sum(payload) == 0xFFFF
    if version == 2:
        return OK if plain else BAD
    if _sum(addresses + struct.pack("!HH", PROTOCOL, length) + payload) == 0xFFFF:
        return ChecksumForm.PSEUDO.value
    return ChecksumForm.RFC9568.value if plain else BAD


def _sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071), with a zero after an odd byte."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
