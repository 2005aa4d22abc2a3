"""Adverts on a raw socket, protocol 112 (`kernel.ports.Segment`).

We write the IP header (`vrrp.wire.ip_packet`): so TTL, class and source are ours
even while somebody has taken the source address off the interface, and the guard
can send the same bytes.  The kernel hands received packets over with their header
in IPv4; in IPv6 it tells hop limit and destination beside the payload.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address

import trio

from hapair.config.model import IPAddress
from hapair.errors import KernelError
from hapair.kernel.ports import Link
from hapair.vrrp import wire
from hapair.vrrp.vmac import advert_frame

log = logging.getLogger("hapair.kernel")

_LARGEST = 1 << 16
_SHORTEST_HEADER = 20
_SOURCE = slice(12, 16)
_DESTINATION = slice(16, 20)
_IPV6_HDRINCL = 36
_IN6_PKTINFO = struct.Struct("=16sI")
_ANCILLARY = socket.CMSG_SPACE(_IN6_PKTINFO.size) + socket.CMSG_SPACE(4)

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


def from_ancillary(
    payload: bytes, ancillary: Iterable[tuple[int, int, bytes]], sender: str
) -> wire.Packet | None:
    """Return the packet with what the kernel tells of its IPv6 header; None when it does not."""
    destination: IPv6Address | None = None
    hop_limit: int | None = None
    for level, kind, data in ancillary:
        if level != socket.IPPROTO_IPV6:
            continue
        if kind == socket.IPV6_PKTINFO and len(data) >= _IN6_PKTINFO.size:
            destination = IPv6Address(data[:16])
        elif kind == socket.IPV6_HOPLIMIT and len(data) >= 4:
            (hop_limit,) = struct.unpack_from("=i", data)
    if destination is None or hop_limit is None:
        return None
    source = IPv6Address(sender.partition("%")[0])
    return wire.Packet(source=source, destination=destination, ttl=hop_limit, payload=payload)


class RawSegment:
    """`multicast`: join the VRRP group.  Otherwise what comes for our own addresses is heard.

    The family is that of `source`.  With a `mac` what goes to the group comes from there, in
    frames of our own: so it does while there is no interface with that MAC.
    """

    def __init__(self, link: Link, source: IPAddress, *, multicast: bool, mac: bytes | None = None) -> None:
        self._link = link
        self._source = source
        self._multicast = multicast
        self._mac = mac
        self._joined = 0
        """Index of the interface that the socket belongs to; 0 for none."""
        self._trouble = 0
        """Errno of the last loss, so that a lasting one is logged once."""
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        family = socket.AF_INET if source.version == 4 else socket.AF_INET6
        try:
            self._socket = socket.socket(family, kind, wire.PROTOCOL)
        except OSError as error:
            raise KernelError("open a raw socket", error.errno or 0, error.strerror or "") from error
        if source.version == 4:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_HDRINCL, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        self._frames: socket.socket | None = None
        if mac is not None:
            # Protocol 0: a socket that only sends.
            self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._join()

    async def send(self, payloads: Mapping[IPAddress, bytes]) -> None:
        """Send one advert to each destination; a link that is down loses it silently."""
        await trio.lowlevel.checkpoint()
        self._join()
        for destination, payload in payloads.items():
            try:
                self._send(destination, payload)
            except OSError as error:
                self._lost(error, destination)
            else:
                self._trouble = 0

    def _send(self, destination: IPAddress, payload: bytes) -> None:
        if self._frames is not None and self._mac is not None and destination.is_multicast:
            frame = advert_frame(self._mac, self._source, payload)
            self._frames.sendto(frame, (self._link.name, 0))
        else:
            self._socket.sendto(wire.ip_packet(self._source, destination, payload), self._to(destination))

    def receive_nowait(self) -> wire.Packet | None:
        """The next VRRP packet that is already here, if any."""
        self._join()
        while True:
            try:
                packet = self._receive()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in _LINK_TROUBLE:
                    doing = f"receive adverts on {self._link.name}"
                    raise KernelError(doing, error.errno or 0, error.strerror or "") from error
                continue  # a pending error of the link; reading it has cleared it
            if packet is not None:
                return packet

    def _receive(self) -> wire.Packet | None:
        if self._source.version == 4:
            return parse_ip(self._socket.recv(_LARGEST))
        payload, ancillary, _, sender = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        return from_ancillary(payload, ancillary, sender[0])

    def _to(self, destination: IPAddress) -> tuple[str, int] | tuple[str, int, int, int]:
        if destination.version == 4:
            return str(destination), 0
        return str(destination), 0, 0, self._joined

    async def readable(self) -> None:
        """Return when `receive_nowait` may find something."""
        await trio.lowlevel.wait_readable(self._socket)

    def close(self) -> None:
        self._socket.close()
        if self._frames is not None:
            self._frames.close()

    def _join(self) -> None:
        """Belong to the interface that has our name now: it may have been recreated."""
        index = self._link.index
        if index == self._joined or not index:
            return
        name = self._link.name
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
            if self._multicast:
                self._join_group(index)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # gone again; its Link will say so
            raise KernelError(
                f"join the VRRP group on {name}", error.errno or 0, error.strerror or ""
            ) from error
        self._joined = index

    def _join_group(self, index: int) -> None:
        if self._source.version == 4:
            level = socket.IPPROTO_IP
            group, interface = wire.GROUP.packed, struct.Struct("=4s4si")
            old, new = interface.pack(group, bytes(4), self._joined), interface.pack(group, bytes(4), index)
            choose, chosen = socket.IP_MULTICAST_IF, new
            join, leave = socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
        else:
            level = socket.IPPROTO_IPV6
            group, interface = wire.GROUP6.packed, struct.Struct("=16sI")
            old, new = interface.pack(group, self._joined), interface.pack(group, index)
            choose, chosen = socket.IPV6_MULTICAST_IF, struct.pack("=I", index)
            join, leave = socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP
        if self._joined:
            try:  # a socket may have only 20 memberships
                self._socket.setsockopt(level, leave, old)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    raise
        self._socket.setsockopt(level, choose, chosen)
        self._socket.setsockopt(level, join, new)

    def _lost(self, error: OSError, destination: IPAddress) -> None:
        if error.errno not in _LINK_TROUBLE:
            doing = f"send an advert to {destination} on {self._link.name}"
            raise KernelError(doing, error.errno or 0, error.strerror or "") from error
        if error.errno != self._trouble:
            self._trouble = error.errno or 0
            log.warning("%s: advert to %s was lost: %s", self._link.name, destination, error.strerror)
