"""What the packet filter lets through, on a real interface."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
import trio
from kernel.namespaces import pair

from hapair.errors import KernelError
from hapair.kernel.capture import Capture

pytestmark = pytest.mark.netns
PAYLOAD = b"\x31\x33\xc8\x01\x00\x0a\x11\x06\xc0\x00\x02\x64"


def frames():
    """VRRP in both families, and what is no VRRP at all."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import ARP, Ether

    ether = Ether(src="00:00:5e:00:01:33", dst="01:00:5e:00:00:12")
    four = IP(src="192.0.2.2", dst="224.0.0.18", ttl=255, proto=112) / PAYLOAD
    six = IPv6(src="fe80::2", dst="ff02::12", hlim=254, nh=112) / PAYLOAD
    others = (ARP(pdst="192.0.2.1"), IP(dst="192.0.2.1") / UDP(dport=9), IPv6(dst="ff02::1") / UDP(dport=9))
    return [bytes(ether / packet) for packet in (*others, four, *others, six)]


async def test_vrrp_of_both_families_and_nothing_else_is_captured():
    with pair() as (a, b):
        with a.entered():
            here = Capture("eth0")
        with b.entered():
            there = Capture("eth0")
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for frame in frames():
            wire.sendto(frame, ("eth0", 0))
        for capture, outgoing in ((here, False), (there, True)):
            seen = []
            with trio.fail_after(5):
                while len(seen) < 2:
                    await capture.readable()
                    while captured := capture.receive_nowait():
                        seen.append(captured)
            assert [(c.source, c.ttl, c.payload) for c in seen] == [
                (IPv4Address("192.0.2.2"), 255, PAYLOAD),
                (IPv6Address("fe80::2"), 254, PAYLOAD),
            ]
            assert {(c.mac, c.outgoing) for c in seen} == {("00:00:5e:00:01:33", outgoing)}
            assert capture.receive_nowait() is None
        for each in (here, there, wire):
            each.close()


async def test_an_interface_that_goes_down_is_told():
    with pair() as (a, _):
        with a.entered():
            capture = Capture("eth0")
        a.run("ip", "link", "set", "eth0", "down")
        with trio.fail_after(5):
            await capture.readable()
        with pytest.raises(KernelError, match="could not watch eth0: Network is down"):
            capture.receive_nowait()
        capture.close()
