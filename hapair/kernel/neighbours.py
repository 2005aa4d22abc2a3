"""Gratuitous ARP: tells every neighbour where a VIP lives now (RFC 5227 section 3).

Sent as ARP requests for the address itself, the form that keepalived uses and
every stack takes.  scapy builds the frame once for each link-layer address; the
IP addresses are then put in by position, so that taking over two hundred VIPs
does not wait for scapy, and its import (0.25 s) never falls into a failover.
"""

from __future__ import annotations

import errno
import logging
import socket
from functools import lru_cache
from ipaddress import IPv4Address

import trio

from hapair.errors import KernelError
from hapair.kernel.ports import Link

log = logging.getLogger("hapair.kernel")

_LINK_TROUBLE = frozenset({errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.ENOBUFS, errno.EAGAIN})
_SENDER_AT = 28
_TARGET_AT = 38
_NO_MAC = bytes(6)


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


class ArpAnnouncer:
    """`kernel.ports.Announcer` on a packet socket."""

    def __init__(self, link: Link) -> None:
        self._link = link
        _template(link.mac or _NO_MAC)  # now, not when we become MASTER
        try:
            # Protocol 0: a socket that only sends.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise KernelError("open a packet socket", error.errno or 0, error.strerror or "") from error

    async def announce(self, addresses: tuple[IPv4Address, ...], count: int) -> None:
        """Send `count` gratuitous ARPs for each address; a link that is down loses them."""
        await trio.lowlevel.checkpoint()
        if len(self._link.mac) != len(_NO_MAC):
            return  # no Ethernet, no ARP
        try:
            for _ in range(count):
                for address in addresses:
                    frame = gratuitous_arp(self._link.mac, address)
                    self._socket.sendto(frame, (self._link.name, 0))
        except OSError as error:
            if error.errno not in _LINK_TROUBLE:
                doing = f"announce addresses on {self._link.name}"
                raise KernelError(doing, error.errno or 0, error.strerror or "") from error
            log.warning("%s: gratuitous ARP was lost: %s", self._link.name, error.strerror)

    def close(self) -> None:
        self._socket.close()
