"""Gratuitous ARP: the frame, and what a neighbour makes of it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import pair, wait_for

from hapair.kernel.links import Links
from hapair.kernel.neighbours import ArpAnnouncer, gratuitous_arp

MAC = bytes.fromhex("02005e104aff")
VIP = IPv4Address("192.0.2.100")


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
            "ip", "neigh", "replace", str(VIP), "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale"
        )
        with a.entered():
            links = Links()
            link = links.follow("eth0")
            announcer = ArpAnnouncer(link)
        await announcer.announce((VIP,), 1)
        wait_for(lambda: link.mac.hex(":") in b.run("ip", "neigh", "show", str(VIP)), what="learning")
        announcer.close()
        links.close()


@pytest.mark.netns
async def test_on_a_link_that_is_down_or_gone_an_announcement_is_lost_without_an_error(caplog):
    with pair() as (a, _):
        with a.entered():
            links = Links()
            announcer = ArpAnnouncer(links.follow("eth0"))
        a.run("ip", "link", "set", "eth0", "down")
        await announcer.announce((VIP,), 2)
        a.run("ip", "link", "delete", "eth0")
        await announcer.announce((VIP,), 2)
        assert caplog.text.count("gratuitous ARP was lost") == 2
        announcer.close()
        links.close()
