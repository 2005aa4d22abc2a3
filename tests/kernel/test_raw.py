"""Adverts between two namespaces, on real raw sockets."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import give_ipv6, pair

from hapair.kernel.links import Links
from hapair.kernel.raw import RawSegment, from_ancillary, parse_ip
from hapair.vrrp import wire

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
PAYLOAD = b"\x31\x33\xc8\x01\x00\x0a\x11\x06\xc0\x00\x02\x64"


class End:
    """One node's link and segment in a namespace."""

    def __init__(self, namespace, source, *, multicast=True):
        with namespace.entered():
            self.links = Links()
            self.link = self.links.follow("eth0")
            self.segment = RawSegment(self.link, source, multicast=multicast)

    async def hear(self, seconds=2.0):
        with trio.fail_after(seconds):
            while (packet := self.segment.receive_nowait()) is None:
                await self.segment.readable()
        return packet

    def close(self):
        self.segment.close()
        self.links.close()


@pytest.fixture
def wire_pair():
    with pair() as namespaces:
        yield namespaces


@given(st.binary(max_size=80))
def test_no_bytes_make_the_header_parser_fail(datagram):
    assert parse_ip(datagram) is None or len(datagram) >= 20


def test_options_in_the_header_do_not_shift_the_payload():
    packet = wire.ip_packet(A, B, PAYLOAD)
    with_option = bytes((0x46,)) + packet[1:20] + bytes.fromhex("94040000") + PAYLOAD
    assert parse_ip(with_option) == parse_ip(packet) == wire.Packet(A, B, 255, PAYLOAD)


@pytest.mark.netns
async def test_a_multicast_advert_arrives_with_ttl_255_and_not_at_its_sender(wire_pair):
    a, b = (End(namespace, source) for namespace, source in zip(wire_pair, (A, B), strict=True))
    await a.segment.send({wire.GROUP: PAYLOAD})
    assert await b.hear() == wire.Packet(A, wire.GROUP, 255, PAYLOAD)
    assert a.segment.receive_nowait() is None
    a.close()
    b.close()


@pytest.mark.netns
async def test_a_unicast_advert_arrives(wire_pair):
    a, b = (
        End(namespace, source, multicast=False) for namespace, source in zip(wire_pair, (A, B), strict=True)
    )
    await a.segment.send({B: PAYLOAD})
    assert await b.hear() == wire.Packet(A, B, 255, PAYLOAD)
    a.close()
    b.close()


@pytest.mark.netns
@pytest.mark.parametrize("destination", [wire.GROUP6, IPv6Address("fe80::2")])
async def test_an_ipv6_advert_arrives_with_hop_limit_255_and_not_at_its_sender(wire_pair, destination):
    give_ipv6(*wire_pair)
    source = IPv6Address("fe80::1")
    multicast = destination == wire.GROUP6
    a = End(wire_pair[0], source, multicast=multicast)
    b = End(wire_pair[1], IPv6Address("fe80::2"), multicast=multicast)
    await a.segment.send({destination: PAYLOAD})
    assert await b.hear() == wire.Packet(source, destination, 255, PAYLOAD)
    assert a.segment.receive_nowait() is None
    a.close()
    b.close()


def test_an_ipv6_packet_without_its_hop_limit_or_destination_is_none():
    destination = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, wire.GROUP6.packed + bytes(4))
    hop_limit = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", 64))
    assert from_ancillary(PAYLOAD, [destination], "fe80::1%eth0") is None
    assert from_ancillary(PAYLOAD, [hop_limit], "fe80::1%eth0") is None
    assert from_ancillary(PAYLOAD, [hop_limit, destination], "fe80::1%eth0") == wire.Packet(
        IPv6Address("fe80::1"), wire.GROUP6, 64, PAYLOAD
    )


@pytest.mark.netns
async def test_the_source_stays_even_when_its_address_is_taken_away(wire_pair):
    a, b = (End(namespace, source) for namespace, source in zip(wire_pair, (A, B), strict=True))
    wire_pair[0].run("ip", "address", "del", f"{A}/24", "dev", "eth0")
    await a.segment.send({wire.GROUP: PAYLOAD})
    assert (await b.hear()).source == A
    a.close()
    b.close()


@pytest.mark.netns
async def test_a_link_that_is_down_loses_adverts_without_an_error(wire_pair, caplog):
    a = End(wire_pair[0], A)
    wire_pair[0].run("ip", "link", "set", "eth0", "down")
    await a.segment.send({wire.GROUP: PAYLOAD})
    await a.segment.send({wire.GROUP: PAYLOAD})
    assert caplog.text.count("was lost") == 1
    a.close()


@pytest.mark.netns
@pytest.mark.slow
async def test_a_recreated_interface_is_joined_again(wire_pair):
    """Twenty-five times: a socket may hold only 20 memberships, so the old ones must go."""
    a, b = wire_pair
    end_a, end_b = End(a, A), End(b, B)
    for _ in range(25):
        a.run("ip", "link", "delete", "eth0")
        a.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b.path)
        for namespace, source in ((a, A), (b, B)):
            namespace.run("ip", "address", "add", f"{source}/24", "dev", "eth0")
            namespace.run("ip", "link", "set", "eth0", "up")
        for end in (end_a, end_b):
            end.links.catch_up()
            assert end.segment.receive_nowait() is None
        # A new veth drops what is sent before the kernel has noticed its carrier: up to a second.
        with trio.fail_after(5):
            while (packet := end_b.segment.receive_nowait()) is None:
                await end_a.segment.send({wire.GROUP: PAYLOAD})
                await trio.sleep(0.01)
        assert packet.source == A
    end_a.close()
    end_b.close()
