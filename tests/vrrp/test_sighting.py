"""What an onlooker reads in a packet; scapy and `wire` are the oracles."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import ChecksumForm
from hapair.kernel.capture import dissect
from hapair.vrrp import wire
from hapair.vrrp.sighting import Captured, sight

A, VIP = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.100")
GROUP = IPv4Address("224.0.0.18")


def captured(payload, *, source=A, destination=GROUP, ttl=255):
    return Captured(12.5, "00:00:5e:00:01:33", False, source, destination, ttl, payload)


def advert(form=ChecksumForm.PSEUDO, dialect=wire.V3, priority=150, interval=1.0):
    return wire.encode(
        vrid=51,
        priority=priority,
        interval=interval,
        addresses=(VIP,),
        source=A,
        destination=GROUP,
        form=form,
        dialect=dialect,
    )


@pytest.mark.parametrize("form", [ChecksumForm.PSEUDO, ChecksumForm.RFC9568])
def test_version_3_tells_which_checksum_form_it_has(form):
    seen = sight(captured(advert(form, interval=0.25)))
    assert (seen.version, seen.vrid, seen.priority, seen.interval) == (3, 51, 150, 0.25)
    assert (seen.addresses, seen.checksum, seen.doubts) == ((VIP,), form.value, ())
    assert seen.authentication == ""
    assert seen.multicast


def test_version_2_shows_that_there_is_a_password_and_repr_does_not_tell_it():
    seen = sight(captured(advert(dialect=wire.Dialect(2, 1.0, b"secret"))))
    assert (seen.version, seen.interval, seen.authentication, seen.checksum) == (2, 1.0, "password", "ok")
    assert (seen.password, seen.doubts) == (b"secret", ())
    assert "secret" not in repr(seen)


def test_version_2_without_authentication_says_none():
    seen = sight(captured(advert(dialect=wire.Dialect(2, 3.0), interval=3.0)))
    assert (seen.authentication, seen.password, seen.interval, seen.doubts) == ("none", b"", 3.0, ())


def test_scapys_ipv6_advert_is_read_whole():
    from scapy.layers.inet6 import IPv6
    from scapy.layers.vrrp import VRRPv3

    addresses = ["fe80::64", "2001:db8::64"]
    packet = IPv6(src="fe80::1", dst="ff02::12", hlim=255, nh=112) / VRRPv3(
        vrid=7, priority=90, adv=50, addrlist=addresses, ipcount=2
    )
    seen = sight(dissect(bytes(packet), at=1.0))
    assert (seen.source, seen.destination) == (IPv6Address("fe80::1"), IPv6Address("ff02::12"))
    assert (seen.vrid, seen.priority, seen.interval, seen.ttl) == (7, 90, 0.5, 255)
    assert [str(address) for address in seen.addresses] == addresses
    assert (seen.checksum, seen.doubts, seen.multicast) == ("ok", (), True)


@pytest.mark.parametrize(
    ("packet", "doubt"),
    [
        (captured(advert(), ttl=64), "TTL 64 instead of 255"),
        (captured(advert() + b"\0\0"), "14 bytes instead of 12"),
        (captured(advert()[:10] + b"\1\1"), "bad checksum"),
        (captured(b"\x52" + advert()[1:]), "version 5"),
        (captured(b"\x32" + advert()[1:]), "type 2"),
        (captured(advert(interval=0.0)), "interval 0"),
    ],
)
def test_every_doubt_is_told(packet, doubt):
    assert doubt in sight(packet).doubts


def test_padding_of_a_short_frame_is_not_part_of_the_advert():
    frame = wire.ip_packet(A, GROUP, advert()) + bytes(14)
    assert sight(dissect(frame, at=0.0)).doubts == ()


def test_options_in_the_ip_header_do_not_shift_the_advert():
    plain = wire.ip_packet(A, GROUP, advert())
    with_option = (
        bytes((0x46, plain[1], 0, len(plain) + 4)) + plain[4:20] + bytes.fromhex("94040000") + plain[20:]
    )
    assert sight(dissect(with_option, at=0.0)) == sight(dissect(plain, at=0.0))


@given(st.binary(max_size=7))
def test_what_is_shorter_than_a_header_says_nothing(payload):
    assert sight(captured(payload)) is None


@given(st.binary(min_size=8, max_size=80), st.sampled_from((A, IPv6Address("fe80::1"))))
def test_no_payload_makes_it_fail_and_valid_ones_are_those_that_wire_accepts(payload, source):
    seen = sight(captured(payload, source=source))
    assert seen is not None
    if not seen.doubts and source == A and seen.version == 3:
        expected = wire.Expected(seen.vrid, IPv4Address("192.0.2.2"))
        assert isinstance(wire.decode(wire.Packet(A, GROUP, 255, payload), expected), wire.Advert)


@given(
    st.builds(
        lambda head, proto, rest: bytes((head,)) + bytes(5) + bytes((proto, 0, 1, proto)) + rest,
        st.integers(0, 255),
        st.sampled_from((112, 0)),
        st.binary(max_size=100),
    )
)
def test_no_packet_makes_the_dissection_fail(datagram):
    found = dissect(datagram, at=0.0)
    assert found is None or found.payload in datagram
