"""Somebody has an address: the real kernel answers our probes, and nobody's cache changes."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import pair

from hapair.kernel.address_probe import AddressProbe, claimed, probe

MAC = "02:00:00:00:00:01"


@pytest.mark.netns
@pytest.mark.parametrize(
    ("taken", "free", "prefix"), [("192.0.2.100", "192.0.2.101", 24), ("fe80::64", "fe80::65", 64)]
)
async def test_who_has_an_address_answers_and_nobody_answers_for_a_free_one(taken, free, prefix):
    with pair() as (a, b):
        b.run("ip", "address", "add", f"{taken}/{prefix}", "dev", "eth0", *["nodad"] * (prefix == 64))
        theirs = b.run("ip", "-br", "link", "show", "eth0").split()[2]
        ours = a.run("ip", "-br", "link", "show", "eth0").split()[2]
        with a.entered():
            asking = AddressProbe("eth0", ours, (ip_address(free), ip_address(taken)))
        asking.ask()
        with trio.fail_after(5):
            assert await asking.answer() == (ip_address(taken), theirs)
        with trio.move_on_after(0.2) as silence:
            await asking.answer()
        assert silence.cancelled_caught
        assert ours not in b.run("ip", "neigh")
        asking.close()


def test_a_probe_claims_nothing():
    from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
    from scapy.layers.l2 import ARP, Ether

    arp = Ether(probe(MAC, ip_address("192.0.2.100")))[ARP]
    assert (arp.op, arp.psrc, arp.pdst, arp.hwsrc) == (1, "0.0.0.0", "192.0.2.100", MAC)
    solicitation = Ether(probe(MAC, ip_address("2001:db8::12:3456")))
    assert solicitation.dst == "33:33:ff:12:34:56"
    assert (solicitation[IPv6].src, solicitation[IPv6].dst) == ("::", "ff02::1:ff12:3456")
    assert solicitation[ICMPv6ND_NS].tgt == "2001:db8::12:3456"
    assert claimed(bytes(solicitation)) is None


@given(st.binary(max_size=100), st.sampled_from((b"\x08\x06", b"\x86\xdd", b"")))
def test_no_frame_makes_it_fail(rest, kind):
    claimed(bytes(12) + kind + rest)
