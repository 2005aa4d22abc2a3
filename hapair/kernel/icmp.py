"""ICMP echo over one socket for each address family: every ping in flight shares it.

An unprivileged ping socket where `net.ipv4.ping_group_range` allows it, else a
raw one (NET_RAW).  A raw socket hears every echo reply to the host, so it is
the token, sixteen random bytes that each request carries, that says whose one is.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from hapair.health.probes.icmp import REPLY, REPLY6, behind_ipv4, echo_reply, echo_request

Address = tuple[str, int] | tuple[str, int, int, int]

_SOL_RAW, _ICMP_FILTER = 255, 1
_ICMP6_FILTER = 1
_RECEIVE = 2048
_BUFFER = 1 << 20
"""Bytes; answers to a burst wait here while others have the thread."""
_NO_PING_SOCKETS = (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT)


class EchoSocket:
    """Sends echo requests, receives the replies to them and hardly anything else."""

    def __init__(self, *, six: bool, source: str = "") -> None:
        """`source`: the address of this node that pings come from; empty: the kernel's choice.

        Raises:
            OSError: neither kind of socket is allowed here, or the address is not ours.
        """
        self._six = six
        self._identifier = os.getpid() & 0xFFFF
        family = socket.AF_INET6 if six else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
        self._raw = False
        try:
            self._sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
        except OSError as error:
            if error.errno not in _NO_PING_SOCKETS:
                raise
            self._raw = True
            self._sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
            self._filter()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if source:
            try:
                self._sock.bind((source, 0))
            except OSError:
                self._sock.close()
                raise

    def _filter(self) -> None:
        """Replies only: the kernel keeps the rest (a set bit blocks its type)."""
        if self._six:
            words = [0xFFFFFFFF] * 8
            words[REPLY6 >> 5] &= ~(1 << (REPLY6 & 31)) & 0xFFFFFFFF
            self._sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("8I", *words))
        else:
            self._sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~(1 << REPLY) & 0xFFFFFFFF))

    def fileno(self) -> int:
        """The descriptor: readable when `receive` may find something."""
        return self._sock.fileno()

    def send(self, address: Address, sequence: int, token: bytes) -> None:
        """Send one request.

        Raises:
            OSError: no route, or the kernel has no room for it now.
        """
        self._sock.sendto(echo_request(self._identifier, sequence, token, six=self._six), address)

    def receive(self) -> bytes | None:
        """The token of the next reply, perhaps somebody else's; None when there is none left."""
        while True:
            try:
                packet = self._sock.recv(_RECEIVE)
            except BlockingIOError:
                return None
            if self._raw and not self._six:
                packet = behind_ipv4(packet)
            token = echo_reply(packet, six=self._six)
            if token is not None:
                return token

    def close(self) -> None:
        """Give the socket back."""
        self._sock.close()
