"""Gratuitous ARP: the frame, and what a neighbour makes of it."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import pair, wait_for

from hapair.config.model import vips
from hapair.kernel.links import Links
from hapair.kernel.neighbours import NeighbourAnnouncer, gratuitous_arp, unsolicited_advertisement

MAC = bytes.fromhex("02005e104aff")
VIP = IPv4Interface("192.0.2.100")


@given(st.ip_addresses(v=4))
def test_the_frame_is_a_request_for_its_own_sender(address):
    from scapy.layers.l2 import ARP, Ether

    frame = Ether(gratuitous_arp(MAC, address))
    assert (frame.dst, frame.src, frame.type) == ("ff:ff:ff:ff:ff:ff", MAC.hex(":"), 0x0806)
    assert (frame[ARP].op, frame[ARP].hwsrc) == (1, MAC.hex(":"))
    assert frame[ARP].psrc == frame[ARP].pdst == str(address)
    assert len(gratuitous_arp(MAC, address)) == 42


@pytest.mark.netns
async def test_a_neighbour_that_knew_another_mac_learns_ours():
    with pair() as (a, b):
        b.run(
            "ip",
            "neigh",
            "replace",
            str(VIP.ip),
            "lladdr",
            "02:00:00:00:00:99",
            "dev",
            "eth0",
            "nud",
            "stale",
        )
        with a.entered():
            links = Links()
            link = links.follow("eth0")
            announcer = NeighbourAnnouncer(link)
        await announcer.announce(vips([VIP]), 1)
        wait_for(lambda: link.mac.hex(":") in b.run("ip", "neigh", "show", str(VIP.ip)), what="learning")
        announcer.close()
        links.close()


@given(st.ip_addresses(v=6))
def test_the_ipv6_frame_is_an_advertisement_to_all_nodes_that_overrides(address):
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
    from scapy.layers.l2 import Ether

    theirs = (
        Ether(src=MAC.hex(":"), dst="33:33:00:00:00:01")
        / IPv6(src=str(address), dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(tgt=str(address), R=1, S=0, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=MAC.hex(":"))
    )
    assert unsolicited_advertisement(MAC, address) == bytes(theirs)


@pytest.mark.netns
async def test_an_ipv6_neighbour_that_knew_another_mac_learns_ours():
    vip = IPv6Interface("fe80::100")
    with pair() as (a, b):
        b.run(
            "ip",
            "neigh",
            "replace",
            str(vip.ip),
            "lladdr",
            "02:00:00:00:00:99",
            "dev",
            "eth0",
            "nud",
            "stale",
        )
        with a.entered():
            links = Links()
            link = links.follow("eth0")
            announcer = NeighbourAnnouncer(link)
        await announcer.announce(vips([vip]), 1)
        wait_for(lambda: link.mac.hex(":") in b.run("ip", "neigh", "show", str(vip.ip)), what="learning")
        announcer.close()
        links.close()


@pytest.mark.netns
async def test_on_a_link_that_is_down_or_gone_an_announcement_is_lost_without_an_error(caplog):
    with pair() as (a, _):
        with a.entered():
            links = Links()
            announcer = NeighbourAnnouncer(links.follow("eth0"))
        a.run("ip", "link", "set", "eth0", "down")
        await announcer.announce(vips([VIP]), 2)
        a.run("ip", "link", "delete", "eth0")
        await announcer.announce(vips([VIP]), 2)
        assert caplog.text.count("an announcement was lost") == 2
        announcer.close()
        links.close()
