"""Gratuitous ARP and unsolicited neighbour advertisements: every neighbour learns where a VIP lives now.

IPv4 (RFC 5227 section 3): ARP requests for the address itself, the form that
keepalived uses and every stack takes.  IPv6 (RFC 9568 section 6.4, RFC 4861 section
7.2.6): neighbour advertisements to all nodes, which override what is cached.

scapy builds the ARP frame once for each link-layer address; the IP addresses are
then put in by position, so that taking over two hundred VIPs does not wait for
scapy, and its import (0.25 s) never falls into a failover.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import trio

from hapair.config.model import IPAddress, Vip
from hapair.errors import KernelError
from hapair.kernel.ports import Link, LinkOf

log = logging.getLogger("hapair.kernel")

_LINK_TROUBLE = frozenset({errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.ENOBUFS, errno.EAGAIN})
_SENDER_AT = 28
_TARGET_AT = 38
_NO_MAC = bytes(6)

_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_TARGET_LINK_LAYER_ADDRESS = 2
_ROUTER, _OVERRIDE = 1 << 31, 1 << 29
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ETHERTYPE_IPV6 = bytes.fromhex("86dd")


@lru_cache(maxsize=64)
def _template(mac: bytes) -> bytes:
    from scapy.layers.l2 import ARP, Ether

    text = mac.hex(":")
    frame = Ether(src=text, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", hwsrc=text, psrc="0.0.0.0", hwdst="00:00:00:00:00:00", pdst="0.0.0.0"
    )
    return bytes(frame)


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """Return the Ethernet frame that says: `address` is at `mac`."""
    frame = _template(mac)
    return frame[:_SENDER_AT] + address.packed + frame[_SENDER_AT + 4 : _TARGET_AT] + address.packed


def unsolicited_advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """Return the Ethernet frame that says: `address` is at `mac`, whatever you have cached.

    Flags: override, and router, as every router of the link must set it (RFC 4861 section 4.4).
    """
    option = struct.pack("!BB6s", _TARGET_LINK_LAYER_ADDRESS, 1, mac)
    message = (
        struct.pack("!BBHI16s", _NEIGHBOUR_ADVERTISEMENT, 0, 0, _ROUTER | _OVERRIDE, address.packed) + option
    )
    pseudo_header = address.packed + _ALL_NODES.packed + struct.pack("!IxxxB", len(message), _ICMPV6)
    total = sum(struct.unpack(f"!{(len(pseudo_header) + len(message)) // 2}H", pseudo_header + message))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + address.packed + _ALL_NODES.packed
    return _ALL_NODES_MAC + mac + _ETHERTYPE_IPV6 + header + message


def _frame(mac: bytes, address: IPAddress) -> bytes:
    if isinstance(address, IPv4Address):
        return gratuitous_arp(mac, address)
    return unsolicited_advertisement(mac, address)


class NeighbourAnnouncer:
    """`kernel.ports.Announcer` on a packet socket."""

    def __init__(self, link: Link, link_of: LinkOf | None = None) -> None:
        self._link_of = link_of or (lambda _: link)
        _template(link.mac or _NO_MAC)  # now, not when we become MASTER
        try:
            # Protocol 0: a socket that only sends.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise KernelError("open a packet socket", error.errno or 0, error.strerror or "") from error

    async def announce(self, vips: tuple[Vip, ...], count: int) -> None:
        """Say it `count` times for each address; a link that is down loses it."""
        troubles: dict[str, OSError] = {}
        for _ in range(count):
            for vip in vips:
                link = self._link_of(vip)
                if len(link.mac) != len(_NO_MAC) or link.name in troubles:
                    continue  # no Ethernet, no neighbours to tell
                try:
                    self._socket.sendto(_frame(link.mac, vip.ip), (link.name, 0))
                except OSError as error:
                    if error.errno not in _LINK_TROUBLE:
                        doing = f"announce addresses on {link.name}"
                        raise KernelError(doing, error.errno or 0, error.strerror or "") from error
                    troubles[link.name] = error
        for name, trouble in troubles.items():
            log.warning("%s: an announcement was lost: %s", name, trouble.strerror)
        await trio.lowlevel.checkpoint()  # after, because clients wait for it

    def close(self) -> None:
        self._socket.close()
