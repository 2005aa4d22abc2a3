"""Hears when another station says that it has one of our VIPs, by ARP or neighbour advertisement.

Law: open only while we are MASTER; the kernel filters, so that traffic costs nothing; and a flood of
claims costs a batch every `PAUSE` seconds, what does not fit into the socket meanwhile is lost.
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Iterable
from typing import NoReturn

import trio

from hapair.config.model import IPAddress, Vip
from hapair.kernel.address_probe import claimed
from hapair.kernel.packet_filter import JUMP_IF_EQUAL, LOAD_BYTE, LOAD_WORD, RETURN, Instruction, attach
from hapair.kernel.ports import ClaimListener, Link, LinkOf

log = logging.getLogger("hapair.kernel")

PAUSE = 0.05
"""Seconds between two looks at what was heard."""
_BATCH = 32
_RECEIVE_BUFFER = 16384
_ENOUGH = 256
"""Bytes of a frame that are looked at: an advertisement with its options is shorter."""

_ETH_P_ARP, _ETH_P_IPV6 = 0x0806, 0x86DD
_ARP_SENDER = 28
_ARP_SENDER_MAC = slice(22, 28)
_NEXT_HEADER, _ICMPV6 = 20, 58
_ICMPV6_TYPE, _ADVERTISEMENT = 54, 136
_TARGET = 62
_OPTIONS = 78
_TARGET_LINK_LAYER_ADDRESS = 2
_SOURCE_MAC = slice(6, 12)


class NeighbourClaims:
    """`kernel.ports.Claims` on packet sockets, one for each interface and family that has VIPs."""

    def __init__(self, link: Link, link_of: LinkOf) -> None:
        self._link = link
        self._link_of = link_of
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._own: Callable[[], frozenset[bytes]] = frozenset
        self._addresses: frozenset[IPAddress] = frozenset()
        self._heard: ClaimListener = _unheard

    def watch(self, vips: tuple[Vip, ...], heard: ClaimListener) -> None:
        """Tell who claims one of these from now on; without a socket that is logged, and nobody is heard."""
        self.forget()
        self._heard = heard
        self._addresses = frozenset(vip.ip for vip in vips)
        links = {self._link.name: self._link} | {link.name: link for link in map(self._link_of, vips)}
        self._own = lambda: frozenset(link.mac for link in links.values())
        for name in links:
            for protocol, version in ((_ETH_P_ARP, 4), (_ETH_P_IPV6, 6)):
                here = {vip.ip for vip in vips if vip.version == version and self._link_of(vip).name == name}
                if here:
                    self._open(name, protocol, here)

    def forget(self) -> None:
        """Hear nothing any more."""
        for fd, sock in self._sockets.items():
            self._epoll.unregister(fd)
            sock.close()
        self._sockets.clear()

    @property
    def open(self) -> bool:
        """Whether anything is heard."""
        return bool(self._sockets)

    async def run(self) -> NoReturn:
        """Listen whenever there is something to watch."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0):
                sock = self._sockets.get(fd)
                if sock is not None:
                    self._read(fd, sock)
            await trio.sleep(PAUSE)

    def close(self) -> None:
        self.forget()
        self._epoll.close()

    def _open(self, name: str, protocol: int, addresses: set[IPAddress]) -> None:
        try:
            # Protocol 0 hears nothing: the filter is in place before the first frame.
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
                attach(sock, arp_filter(addresses) if protocol == _ETH_P_ARP else neighbour_filter(addresses))
                sock.bind((name, protocol))
                self._epoll.register(sock, select.EPOLLIN)
            except OSError:
                sock.close()
                raise
        except OSError as error:
            log.warning("%s: who else claims our addresses cannot be heard: %s", name, error.strerror)
        else:
            self._sockets[sock.fileno()] = sock

    def _read(self, fd: int, sock: socket.socket) -> None:
        own = self._own()
        for _ in range(_BATCH):
            try:
                frame, (_, _, kind, _, _) = sock.recvfrom(_ENOUGH)
            except BlockingIOError:
                return
            except OSError:  # the link is down: we hear of that as a router, and watch anew
                self._epoll.unregister(fd)
                del self._sockets[fd]
                sock.close()
                return
            address, mac = claimed(frame), claimant(frame)
            if kind != socket.PACKET_OUTGOING and address in self._addresses and mac not in own:
                assert address is not None
                self._heard(address, mac.hex(":"))
                if fd not in self._sockets:  # whoever was told has had enough
                    return


def claimant(frame: bytes) -> bytes:
    """Return the MAC at which the sender of a frame says to be."""
    if frame[12:14] == _ETH_P_ARP.to_bytes(2, "big"):
        return frame[_ARP_SENDER_MAC]
    at = _OPTIONS
    while at + 8 <= len(frame) and frame[at + 1]:  # a length of 0 would never end
        if frame[at] == _TARGET_LINK_LAYER_ADDRESS:
            return frame[at + 2 : at + 8]
        at += 8 * frame[at + 1]
    return frame[_SOURCE_MAC]


def arp_filter(addresses: Iterable[IPAddress]) -> tuple[Instruction, ...]:
    """Requests and replies alike whose sender says to have one of these."""
    program: list[Instruction] = [(LOAD_WORD, 0, 0, _ARP_SENDER)]
    for address in addresses:
        program += [(JUMP_IF_EQUAL, 0, 1, int(address)), (RETURN, 0, 0, _ENOUGH)]
    return (*program, (RETURN, 0, 0, 0))


def neighbour_filter(addresses: Iterable[IPAddress]) -> tuple[Instruction, ...]:
    """Neighbour advertisements for one of these."""
    program: list[Instruction] = [
        (LOAD_BYTE, 0, 0, _NEXT_HEADER),
        (JUMP_IF_EQUAL, 1, 0, _ICMPV6),
        (RETURN, 0, 0, 0),
        (LOAD_BYTE, 0, 0, _ICMPV6_TYPE),
        (JUMP_IF_EQUAL, 1, 0, _ADVERTISEMENT),
        (RETURN, 0, 0, 0),
    ]
    for address in addresses:
        for word in range(4):
            expected = int.from_bytes(address.packed[4 * word : 4 * word + 4], "big")
            left = 2 * (3 - word) + 1  # of this address, behind the comparison
            program += [(LOAD_WORD, 0, 0, _TARGET + 4 * word), (JUMP_IF_EQUAL, 0, left, expected)]
        program.append((RETURN, 0, 0, _ENOUGH))
    return (*program, (RETURN, 0, 0, 0))


def _unheard(_address: IPAddress, _mac: str) -> None:
    """Nobody watches."""
