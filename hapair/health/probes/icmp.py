"""Layer 3: ICMP echo (RFC 792) and its answer."""

from __future__ import annotations

import struct

_REQUEST, _REPLY = 8, 0
_REQUEST6, _REPLY6 = 128, 129
_HEADER = struct.Struct("!BBHHH")


def echo_request(sequence: int, token: bytes, *, six: bool) -> bytes:
    """An echo request for a ping socket: the kernel sets identifier and checksum."""
    return _HEADER.pack(_REQUEST6 if six else _REQUEST, 0, 0, 0, sequence & 0xFFFF) + token


def is_reply(packet: bytes, sequence: int, token: bytes, *, six: bool) -> bool:
    """Is it the answer to that request?  Anything else is somebody else's."""
    if len(packet) < _HEADER.size:
        return False
    kind, code, _, _, number = _HEADER.unpack_from(packet)
    return (
        kind == (_REPLY6 if six else _REPLY)
        and code == 0
        and number == sequence & 0xFFFF
        and packet[_HEADER.size :] == token
    )


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
