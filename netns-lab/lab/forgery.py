"""What a stranger, or a broken peer, puts on the segment: adverts that no load balancer has sent.

Built here, byte by byte, and not by hapair: what it is tested with must not share its mistakes.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address
from random import Random
from typing import Self

import trio

from lab.namespaces import NetNamespace
from lab.topology import INTERFACE

_GROUP = IPv4Address("224.0.0.18")
_GROUP_MAC = bytes.fromhex("01005e000012")
_ETH_P_IP, _ETH_P_ARP = 0x0800, 0x0806
_VRRP = 112


def advert(
    source: IPv4Address,
    vip: IPv4Address,
    *,
    priority: int,
    vrid: int = 51,
    interval: float = 0.1,
    ttl: int = 255,
) -> bytes:
    """A correct VRRPv3 advert as a frame without its Ethernet header (checksum as keepalived's)."""

    def message(checksum: int) -> bytes:
        return struct.pack("!BBBBHH4s", 0x31, vrid, priority, 1, round(interval * 100), checksum, vip.packed)

    pseudo = source.packed + _GROUP.packed + struct.pack("!HH", _VRRP, len(message(0)))
    return _ip(source, message(_checksum(pseudo + message(0))), ttl)


def garbage(source: IPv4Address, vip: IPv4Address, chance: Random) -> bytes:
    """Something of protocol 112 that is no advert for router 51: noise, cut, bent, from afar, for another."""
    good = advert(source, vip, priority=255)
    match chance.randrange(5):
        case 0:
            return _ip(source, chance.randbytes(chance.randrange(64)), 255)
        case 1:
            return _ip(source, good[20 : 20 + chance.randrange(12)], 255)
        case 2:
            bent = bytearray(good[20:])
            bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)
            return _ip(source, bytes(bent), 255)
        case 3:
            return advert(source, vip, priority=255, ttl=254)
        case _:
            return advert(source, vip, priority=255, vrid=52)


def _ip(source: IPv4Address, payload: bytes, ttl: int) -> bytes:
    def header(checksum: int) -> bytes:
        total = 20 + len(payload)
        return struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0xC0, total, 0, 0, ttl, _VRRP, checksum, source.packed, _GROUP.packed
        )

    return header(_checksum(header(0))) + payload


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Forger:
    """Sends frames from a machine, with its MAC."""

    def __init__(self, namespace: NetNamespace) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((INTERFACE, 0))
            self._ears = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
            self._ears.bind((INTERFACE, _ETH_P_IP))
        self._mac: bytes = self._socket.getsockname()[4]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._ears.close()

    async def overhear(self) -> bytes:
        """The next advert on the segment, without its Ethernet header."""
        while True:
            await trio.lowlevel.wait_readable(self._ears)
            packet = self._ears.recv(1 << 16)
            if packet[9] == _VRRP:
                return packet

    def claim(self, address: IPv4Address) -> None:
        """Say to everybody, as a gratuitous ARP does, that an address is here."""
        body = struct.pack("!HHBBH", 1, _ETH_P_IP, 6, 4, 1)
        body += self._mac + address.packed + bytes(6) + address.packed
        self._socket.send(b"\xff" * 6 + self._mac + struct.pack("!H", _ETH_P_ARP) + body)

    def advertise(self, packet: bytes) -> None:
        self._socket.send(_GROUP_MAC + self._mac + struct.pack("!H", _ETH_P_IP) + packet)
