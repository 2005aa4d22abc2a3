"""Adverts on a raw IPv4 socket, protocol 112 (`kernel.ports.Segment`).

We write the IP header (`vrrp.wire.ip_packet`): so TTL, class and source are ours
even while somebody has taken the source address off the interface, and the guard
can send the same bytes.  The kernel hands received packets over with their header.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address

import trio

from hapair.errors import KernelError
from hapair.kernel.ports import Link
from hapair.vrrp import wire

log = logging.getLogger("hapair.kernel")

_LARGEST = 1 << 16
_SHORTEST_HEADER = 20
_SOURCE = slice(12, 16)
_DESTINATION = slice(16, 20)

_LINK_TROUBLE = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENODEV,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EPERM,  # a packet filter said no
    }
)


def parse_ip(datagram: bytes) -> wire.Packet | None:
    """Return the packet and the facts of its IPv4 header; None when there is no such header."""
    if len(datagram) < _SHORTEST_HEADER or datagram[0] >> 4 != 4:
        return None
    header_length = (datagram[0] & 0x0F) * 4
    if not _SHORTEST_HEADER <= header_length <= len(datagram):
        return None
    return wire.Packet(
        source=IPv4Address(datagram[_SOURCE]),
        destination=IPv4Address(datagram[_DESTINATION]),
        ttl=datagram[8],
        payload=datagram[header_length:],
    )


class RawSegment:
    """`multicast`: join the VRRP group.  Otherwise what comes for our own addresses is heard."""

    def __init__(self, link: Link, source: IPv4Address, *, multicast: bool) -> None:
        self._link = link
        self._source = source
        self._multicast = multicast
        self._joined = 0
        """Index of the interface that the socket belongs to; 0 for none."""
        self._trouble = 0
        """Errno of the last loss, so that a lasting one is logged once."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_INET, kind, wire.PROTOCOL)
        except OSError as error:
            raise KernelError("open a raw socket", error.errno or 0, error.strerror or "") from error
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._join()

    async def send(self, payloads: Mapping[IPv4Address, bytes]) -> None:
        """Send one advert to each destination; a link that is down loses it silently."""
        await trio.lowlevel.checkpoint()
        self._join()
        for destination, payload in payloads.items():
            packet = wire.ip_packet(self._source, destination, payload)
            try:
                self._socket.sendto(packet, (str(destination), 0))
            except OSError as error:
                self._lost(error, destination)
            else:
                self._trouble = 0

    def receive_nowait(self) -> wire.Packet | None:
        """The next VRRP packet that is already here, if any."""
        self._join()
        while True:
            try:
                datagram = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in _LINK_TROUBLE:
                    doing = f"receive adverts on {self._link.name}"
                    raise KernelError(doing, error.errno or 0, error.strerror or "") from error
                continue  # a pending error of the link; reading it has cleared it
            packet = parse_ip(datagram)
            if packet is not None:
                return packet

    async def readable(self) -> None:
        """Return when `receive_nowait` may find something."""
        await trio.lowlevel.wait_readable(self._socket)

    def close(self) -> None:
        self._socket.close()

    def _join(self) -> None:
        """Belong to the interface that has our name now: it may have been recreated."""
        index = self._link.index
        if index == self._joined or not index:
            return
        name = self._link.name
        group = wire.GROUP.packed
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
            if self._multicast:
                if self._joined:
                    self._leave(struct.pack("=4s4si", group, bytes(4), self._joined))
                membership = struct.pack("=4s4si", group, bytes(4), index)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # gone again; its Link will say so
            raise KernelError(
                f"join the VRRP group on {name}", error.errno or 0, error.strerror or ""
            ) from error
        self._joined = index

    def _leave(self, membership: bytes) -> None:
        """Forget the old interface's membership; a socket may have only 20."""
        try:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_DROP_MEMBERSHIP, membership)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise

    def _lost(self, error: OSError, destination: IPv4Address) -> None:
        if error.errno not in _LINK_TROUBLE:
            doing = f"send an advert to {destination} on {self._link.name}"
            raise KernelError(doing, error.errno or 0, error.strerror or "") from error
        if error.errno != self._trouble:
            self._trouble = error.errno or 0
            log.warning("%s: advert to %s was lost: %s", self._link.name, destination, error.strerror)
