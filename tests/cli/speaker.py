"""Somebody on the segment who sends the adverts that a test needs."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

from hapair.config.model import ChecksumForm
from hapair.vrrp import wire

A, B, VIP = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), IPv4Address("192.0.2.100")


def advert(source, priority, dialect=wire.V3, vrid=51, address=VIP):
    return wire.encode(
        vrid=vrid,
        priority=priority,
        interval=1.0,
        addresses=(address,),
        source=source,
        destination=wire.GROUP,
        form=ChecksumForm.PSEUDO,
        dialect=dialect,
    )


class Speaker:
    """Says on the wire what it is told, from a namespace."""

    def __init__(self, namespace):
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, wire.PROTOCOL)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")

    def say(self, source, payload):
        self._socket.sendto(wire.ip_packet(source, wire.GROUP, payload), (str(wire.GROUP), 0))

    def close(self):
        self._socket.close()
