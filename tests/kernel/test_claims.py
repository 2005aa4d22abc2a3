"""Another station says that it has our VIPs: heard on a real interface, and nothing else is."""

from __future__ import annotations

import socket
from ipaddress import ip_interface

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import pair

from hapair.config.model import Vip
from hapair.kernel.claims import NeighbourClaims, claimant
from hapair.kernel.fake import FakeLink

THEIRS = "02:00:00:00:00:99"
VIPS = tuple(
    Vip(ip_interface(text)) for text in ("192.0.2.7/24", "192.0.2.100/24", "fe80::7/64", "fe80::64/64")
)
FOUR, SIX = "192.0.2.100", "fe80::64"


def arp(op="is-at", mac=THEIRS, sender=FOUR, target="192.0.2.1"):
    from scapy.layers.l2 import ARP, Ether

    body = ARP(op=op, hwsrc=mac, psrc=sender, hwdst="00:00:00:00:00:00", pdst=target)
    return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / body)


def advertisement(mac=THEIRS, target=SIX, *, says=True):
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
    from scapy.layers.l2 import Ether

    body = IPv6(src="fe80::9", dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=target, R=0)
    ether = Ether(src=mac if not says else "02:00:00:00:00:97", dst="33:33:00:00:00:01")
    return bytes(ether / body / ICMPv6NDOptDstLLAddr(lladdr=mac) if says else ether / body)


def harmless(own: str):
    """Probes, questions, addresses of others, and what we say ourselves (a switch may bring it back)."""
    from scapy.layers.inet6 import ICMPv6ND_NS, IPv6
    from scapy.layers.l2 import Ether

    question = IPv6(src="fe80::9", dst="ff02::1:ff00:64", hlim=255) / ICMPv6ND_NS(tgt=SIX)
    return [
        arp("who-has", sender="0.0.0.0", target=FOUR),
        arp("who-has", sender="192.0.2.9", target=FOUR),
        arp(sender="192.0.2.101"),
        arp(mac=own),
        advertisement(target="fe80::65"),
        advertisement(mac=own),
        bytes(Ether(src=THEIRS, dst="33:33:ff:00:00:64") / question),
    ]


@pytest.mark.netns
async def test_claims_of_our_addresses_are_heard_and_nothing_else():
    with pair() as (a, b):
        own = a.run("ip", "-br", "link", "show", "eth0").split()[2]
        link = FakeLink("eth0", mac=bytes.fromhex(own.replace(":", "")))
        with b.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sending, heard = trio.open_memory_channel(10)
        claims = NeighbourClaims(link, lambda _: link)
        frames = [*harmless(own), arp("who-has", target=FOUR), *harmless(own), arp(sender="192.0.2.7")]
        six = [*harmless(own), advertisement(), advertisement(target="fe80::7", says=False)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claims.run)
            with a.entered():
                claims.watch(VIPS, lambda address, mac: sending.send_nowait((str(address), mac)))
            for frame in frames + six:
                wire.sendto(frame, ("eth0", 0))
            with trio.fail_after(5):
                found = {await heard.receive() for _ in range(4)}
            assert found == {(address, THEIRS) for address in (FOUR, "192.0.2.7", SIX, "fe80::7")}
            with trio.move_on_after(0.3) as silence:
                await heard.receive()
            assert silence.cancelled_caught
            claims.forget()
            wire.sendto(arp(), ("eth0", 0))
            with trio.move_on_after(0.3) as silence:
                await heard.receive()
            assert silence.cancelled_caught, "nobody listens while we are not MASTER"
            nursery.cancel_scope.cancel()
        claims.close()
        wire.close()


@pytest.mark.netns
async def test_a_link_that_goes_down_ends_only_the_hearing(caplog):
    with pair() as (a, b):
        link = FakeLink("eth0")
        with b.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sending, heard = trio.open_memory_channel(10)
        claims = NeighbourClaims(link, lambda _: link)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(claims.run)
            for _ in range(2):
                with a.entered():
                    claims.watch(VIPS, lambda address, mac: sending.send_nowait((str(address), mac)))
                wire.sendto(arp(), ("eth0", 0))
                with trio.fail_after(5):
                    assert await heard.receive() == (FOUR, THEIRS)
                a.run("ip", "link", "set", "eth0", "down")
                with trio.fail_after(5):
                    while claims.open:  # noqa: ASYNC110
                        await trio.sleep(0.01)
                a.run("ip", "link", "set", "eth0", "up")
            nursery.cancel_scope.cancel()
        claims.close()
        wire.close()


def test_an_interface_that_is_not_there_is_logged(caplog):
    link = FakeLink("none-such0")
    claims = NeighbourClaims(link, lambda _: link)
    claims.watch(VIPS[:1], lambda _address, _mac: None)
    claims.close()
    assert "none-such0: who else claims our addresses cannot be heard" in caplog.text


@given(st.binary(max_size=120), st.sampled_from((b"\x08\x06", b"\x86\xdd", b"")))
def test_no_frame_makes_it_fail(rest, kind):
    assert len(claimant(bytes(12) + kind + rest)) <= 6
