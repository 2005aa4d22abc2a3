"""VRRP packets as they pass an interface, ours and everybody's, on a packet socket (packet(7)).

The kernel filters (a dozen instructions of classic BPF), so that a busy interface costs
nothing; scapy reads the IP header of what is left.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address

import trio

from hapair.errors import KernelError
from hapair.kernel.packet_filter import JUMP_IF_EQUAL, LINK_PROTOCOL, LOAD_BYTE, LOAD_HALF, RETURN, attach
from hapair.vrrp.sighting import PROTOCOL, Captured

_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_ALLMULTI = 263, 1, 2
_LARGEST = 1 << 16
_IPV4_HEADER, _IPV6_HEADER = 20, 40

# A packet socket of type SOCK_DGRAM starts at the IP header: protocol at 9, next header at 6.
_PROGRAM = (
    (LOAD_HALF, 0, 0, LINK_PROTOCOL),
    (JUMP_IF_EQUAL, 0, 2, _ETH_P_IP),
    (LOAD_BYTE, 0, 0, 9),
    (JUMP_IF_EQUAL, 3, 4, PROTOCOL),
    (JUMP_IF_EQUAL, 0, 3, _ETH_P_IPV6),
    (LOAD_BYTE, 0, 0, 6),
    (JUMP_IF_EQUAL, 0, 1, PROTOCOL),
    (RETURN, 0, 0, _LARGEST),
    (RETURN, 0, 0, 0),
)


class Capture:
    def __init__(self, interface: str) -> None:
        """Listen from now on.

        Raises:
            KernelError: there is no such interface, or we may not.
        """
        self.interface = interface
        try:
            index = socket.if_nametoindex(interface)
        except OSError as error:  # without an errno
            raise KernelError(f"watch {interface}", errno.ENODEV, os.strerror(errno.ENODEV)) from error
        try:
            # Protocol 0 hears nothing: the filter is in place before the first packet.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise KernelError(f"watch {interface}", error.errno or 0, error.strerror or "") from error
        try:
            attach(self._socket, _PROGRAM)
            membership = struct.pack("=iHH8s", index, _PACKET_MR_ALLMULTI, 0, bytes(8))
            self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
            self._socket.bind((interface, _ETH_P_ALL))
        except OSError as error:
            self._socket.close()
            raise KernelError(f"watch {interface}", error.errno or 0, error.strerror or "") from error

    def receive_nowait(self) -> Captured | None:
        """The next VRRP packet that is already here, if any.

        Raises:
            KernelError: the interface is gone or down.
        """
        while True:
            try:
                datagram, (_, _, kind, _, mac) = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                return None
            except OSError as error:
                doing = f"watch {self.interface}"
                raise KernelError(doing, error.errno or 0, error.strerror or "") from error
            outgoing = kind == socket.PACKET_OUTGOING
            captured = dissect(datagram, at=time.time(), mac=mac.hex(":"), outgoing=outgoing)
            if captured is not None:
                return captured

    async def readable(self) -> None:
        """Return when `receive_nowait` may find something."""
        await trio.lowlevel.wait_readable(self._socket)

    def close(self) -> None:
        self._socket.close()


def dissect(datagram: bytes, *, at: float, mac: str = "", outgoing: bool = False) -> Captured | None:
    """Return the VRRP packet in an IPv4 or IPv6 packet; None when there is none."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    if len(datagram) < _IPV4_HEADER:
        return None
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    if datagram[0] >> 4 == 4:
        ip = IP(datagram[:_IPV4_HEADER])  # what options say does not matter, only how long they are
        if ip.proto != PROTOCOL or ip.ihl * 4 < _IPV4_HEADER:
            return None
        source, destination, ttl = IPv4Address(ip.src), IPv4Address(ip.dst), ip.ttl
        payload = datagram[ip.ihl * 4 : ip.len]  # beyond it is the padding of a short frame
    else:
        if len(datagram) < _IPV6_HEADER:
            return None
        ip = IPv6(datagram[:_IPV6_HEADER])
        if ip.version != 6 or ip.nh != PROTOCOL:
            return None
        source, destination, ttl = IPv6Address(ip.src), IPv6Address(ip.dst), ip.hlim
        payload = datagram[_IPV6_HEADER : _IPV6_HEADER + ip.plen]
    return Captured(at, mac, outgoing, source, destination, ttl, payload)
