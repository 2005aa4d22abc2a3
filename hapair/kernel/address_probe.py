"""Asks the segment whether somebody has an address already, without claiming it.

IPv4: ARP probes (RFC 5227 section 2.1.1), whose sender address is 0.0.0.0.  IPv6: the
neighbour solicitation of duplicate address detection (RFC 4862 section 5.4.2), from `::`.
Neither changes what any neighbour has cached.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import trio

from hapair.config.model import IPAddress
from hapair.errors import KernelError

_ETH_P_ARP, _ETH_P_IPV6 = 0x0806, 0x86DD
_LARGEST = 1 << 16
_ETHERNET = 14
_IPV6_HEADER = 40
_ICMPV6, _ADVERTISEMENT = 58, 136


class AddressProbe:
    """For addresses of one family on one Ethernet interface."""

    def __init__(self, interface: str, mac: str, addresses: tuple[IPAddress, ...]) -> None:
        """Raises KernelError when there is no such interface or we may not."""
        self._doing = f"ask for addresses on {interface}"
        self._addresses = frozenset(addresses)
        self._frames = tuple(probe(mac, address) for address in addresses)
        protocol = _ETH_P_ARP if addresses[0].version == 4 else _ETH_P_IPV6
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as error:
            raise self._error(error) from error
        try:
            self._socket.bind((interface, protocol))
        except OSError as error:
            self._socket.close()
            raise self._error(error) from error

    def ask(self) -> None:
        """Ask for every address once.

        Raises:
            KernelError: the link is down.
        """
        try:
            for frame in self._frames:
                self._socket.send(frame)
        except OSError as error:
            raise self._error(error) from error

    async def answer(self) -> tuple[IPAddress, str]:
        """Wait for the next who has one of the addresses: the address, and its MAC.

        Raises:
            KernelError: the link is down.
        """
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                frame, (_, _, kind, _, _) = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._error(error) from error
            address = None if kind == socket.PACKET_OUTGOING else claimed(frame)
            if address in self._addresses and address is not None:
                return address, frame[6:12].hex(":")

    def close(self) -> None:
        self._socket.close()

    def _error(self, error: OSError) -> KernelError:
        return KernelError(self._doing, error.errno or 0, error.strerror or "")


def probe(mac: str, address: IPAddress) -> bytes:
    """Return the frame that asks for `address`."""
    from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
    from scapy.layers.l2 import ARP, Ether

    if isinstance(address, IPv4Address):
        question = ARP(op="who-has", hwsrc=mac, psrc="0.0.0.0", hwdst="00:00:00:00:00:00", pdst=str(address))
        return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / question)
    last = address.packed[-3:]  # of the solicited-node group, RFC 4291 section 2.7.1
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + last)
    header = IPv6(src="::", dst=str(group), hlim=255)
    return bytes(Ether(src=mac, dst=f"33:33:ff:{last.hex(':')}") / header / ICMPv6ND_NS(tgt=str(address)))


def claimed(frame: bytes) -> IPAddress | None:
    """Return the address that the sender of a frame says to have; None for anything else."""
    kind = int.from_bytes(frame[12:14], "big")
    body = frame[_ETHERNET:]
    if kind == _ETH_P_ARP and len(body) >= 28:
        return IPv4Address(body[14:18])
    target = _IPV6_HEADER + 8
    if kind != _ETH_P_IPV6 or len(body) < target + 16 or body[6] != _ICMPV6:
        return None
    return IPv6Address(body[target : target + 16]) if body[_IPV6_HEADER] == _ADVERTISEMENT else None
