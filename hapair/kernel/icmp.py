"""One ICMP echo: a raw socket (we hold NET_RAW), one for each probe in flight."""

from __future__ import annotations

import os
import socket
import struct

import trio

from hapair.health.probes import icmp

_MAX = 2048


async def ping(host: str, sequence: int) -> None:
    """Return when `host` has answered one echo request; the caller bounds the time.

    Raises:
        OSError: no route, no permission.
    """
    six = ":" in host
    family = socket.AF_INET6 if six else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    identifier, token = os.getpid() & 0xFFFF, os.urandom(16)
    with trio.socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        await sock.connect((host, 0))
        packet = bytearray(icmp.echo_request(sequence, token, six=six))
        struct.pack_into("!H", packet, 4, identifier)
        if not six:  # for ICMPv6 the kernel knows the pseudo-header
            struct.pack_into("!H", packet, 2, icmp.checksum(bytes(packet)))
        await sock.send(packet)
        while True:
            data = await sock.recv(_MAX)
            if not six and data:
                data = data[(data[0] & 15) * 4 :]  # behind the IPv4 header
            if icmp.is_reply(data, sequence, token, six=six):
                return
