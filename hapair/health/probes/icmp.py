"""Layer 3: ICMP echo and its answer (RFC 792; RFC 4443 section 4)."""

from __future__ import annotations

import struct

_REQUEST, REPLY = 8, 0
_REQUEST6, REPLY6 = 128, 129
_HEADER = struct.Struct("!BBHHH")
_MIN_IPV4 = 20


def echo_request(identifier: int, sequence: int, token: bytes, *, six: bool) -> bytes:
    """An echo request.  Over IPv6 the kernel fills in the checksum: only it knows the source address."""
    kind = _REQUEST6 if six else _REQUEST
    packet = _HEADER.pack(kind, 0, 0, identifier, sequence) + token
    if six:
        return packet
    return _HEADER.pack(kind, 0, checksum(packet), identifier, sequence) + token


def echo_reply(packet: bytes, *, six: bool) -> bytes | None:
    """The token that an echo reply brings back; None for anything else."""
    if len(packet) < _HEADER.size:
        return None
    kind, code, _, _, _ = _HEADER.unpack_from(packet)
    if kind != (REPLY6 if six else REPLY) or code:
        return None
    return packet[_HEADER.size :]


def behind_ipv4(packet: bytes) -> bytes:
    """What an IPv4 packet carries; a raw socket delivers the header too."""
    length = (packet[0] & 15) * 4 if packet else 0
    return packet[length:] if length >= _MIN_IPV4 else b""


def checksum(data: bytes) -> int:
    """The checksum of RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
