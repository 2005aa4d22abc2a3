"""The codec against scapy, a corpus of received packets, and every flipped bit."""

from __future__ import annotations

import json
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import ChecksumForm
from hapair.vrrp import wire
from hapair.vrrp.wire import Advert, Drop, Expected, Packet

US = IPv4Address("10.99.0.1")
PEER = IPv4Address("10.99.0.2")
VIP = IPv4Address("10.99.0.100")
OURS = Expected(vrid=51, source=US, on_link=(IPv4Network("10.99.0.0/24"),))
V2 = wire.Dialect(2, 1.0)
V2_PASS = wire.Dialect(2, 1.0, b"secret12")
UNICAST = Expected(vrid=51, source=US, peers=frozenset({PEER}), multicast=False)
MIXED = attrs.evolve(OURS, peers=frozenset({PEER}))

CASES = json.loads((Path(__file__).parent / "adverts.json").read_text())["cases"]
REASONS = {
    "ip-ttl-254": Drop.TTL,
    "ip-ttl-64": Drop.TTL,
    "ip-ttl-1": Drop.TTL,
    "ip-ttl-0": Drop.TTL,
    "uni-ttl-64": Drop.TTL,
    "ip-dst-other-group": Drop.DESTINATION,
    "ip-dst-broadcast": Drop.DESTINATION,
    "ip-src-self": Drop.OWN_SOURCE,
    "ip-src-self-higher": Drop.OWN_SOURCE,
    "ip-src-multicast": Drop.SOURCE,
    "ip-src-offlink": Drop.OFF_LINK,
    "ver-1": Drop.VERSION,
    "ver-2": Drop.VERSION,
    "ver-4": Drop.VERSION,
    "vrid-0": Drop.VRID,
    "csum-bad": Drop.CHECKSUM,
    "len-4": Drop.LENGTH,
    "count-2-one": Drop.LENGTH,
    "tail-6": Drop.LENGTH,
    "tail-1400": Drop.LENGTH,
    "ver-3-on-v2": Drop.VERSION,
    "adv-v2-0": Drop.INTERVAL,
    "auth-wrong-pass": Drop.AUTHENTICATION,
    "auth-prefix-pass": Drop.AUTHENTICATION,
    "auth-pass-unexpected": Drop.AUTHENTICATION,
    "auth-type-2": Drop.AUTHENTICATION,
    "auth-cut": Drop.LENGTH,
    "ip6-src-global": Drop.SOURCE,
    "carp": Drop.COUNT,
}
CONFIGURED = {
    "v3-uni": UNICAST,
    "v6": Expected(vrid=51, source=IPv6Address("fe80::1")),
    "v2": attrs.evolve(OURS, dialect=V2),
    "v2-pass": attrs.evolve(OURS, dialect=V2_PASS),
}
"""Why each packet of the corpus that must not count is dropped; all others are valid adverts."""


def advert(
    *,
    priority: int = 200,
    interval: float = 0.1,
    addresses: tuple[IPv4Address, ...] = (VIP,),
    source: IPv4Address = PEER,
    destination: IPv4Address = wire.GROUP,
    form: ChecksumForm = ChecksumForm.PSEUDO,
    dialect: wire.Dialect = wire.V3,
) -> bytes:
    return wire.encode(
        vrid=51,
        priority=priority,
        interval=interval,
        addresses=addresses,
        source=source,
        destination=destination,
        form=form,
        dialect=dialect,
    )


def received(payload: bytes, source: IPv4Address = PEER, destination: IPv4Address = wire.GROUP) -> Packet:
    return Packet(source=source, destination=destination, ttl=255, payload=payload)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_corpus_packet_is_an_advert_or_dropped_for_its_reason(case):
    packet = Packet(
        source=ip_address(case["ip"]["src"]),
        destination=ip_address(case["ip"]["dst"]),
        ttl=case["ip"].get("ttl", case["ip"].get("hop_limit")),
        payload=bytes.fromhex(case["payload_hex"]),
    )
    expected = CONFIGURED.get(case["config"], OURS)
    result = wire.decode(packet, expected)
    if case["id"] in REASONS:
        assert result is REASONS[case["id"]]
    else:
        assert isinstance(result, Advert)
        assert result.priority == packet.payload[2]
        assert result.interval == (1.0 if expected.dialect.version == 2 else 0.1)


def test_corpus_reasons_name_only_cases_that_exist():
    assert set(REASONS) <= {case["id"] for case in CASES}


def test_only_a_configured_peer_is_heard_in_unicast_mode():
    stranger = IPv4Address("10.99.0.66")
    payload = advert(source=stranger, destination=US)
    assert wire.decode(received(payload, stranger, US), UNICAST) is Drop.NOT_A_PEER
    assert isinstance(wire.decode(received(advert(destination=US), PEER, US), UNICAST), Advert)


def test_multicast_is_not_heard_in_unicast_mode():
    assert wire.decode(received(advert()), UNICAST) is Drop.DESTINATION


def test_beside_unicast_peers_the_group_is_heard_from_any_neighbour():
    """The peers are an allow-list for what comes to our own address alone."""
    stranger = IPv4Address("10.99.0.66")
    to_group = received(advert(source=stranger), stranger)
    assert isinstance(wire.decode(to_group, MIXED), Advert)
    to_us = received(advert(source=stranger, destination=US), stranger, US)
    assert wire.decode(to_us, MIXED) is Drop.NOT_A_PEER
    assert isinstance(wire.decode(received(advert(destination=US), PEER, US), MIXED), Advert)


@pytest.mark.parametrize("source", ["0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.18"])
def test_sources_that_no_host_has_are_dropped(source):
    address = IPv4Address(source)
    assert wire.decode(received(advert(source=address), address), OURS) is Drop.SOURCE


def test_without_known_networks_every_source_is_on_link():
    far = IPv4Address("203.0.113.9")
    result = wire.decode(received(advert(source=far), far), Expected(vrid=51, source=US))
    assert isinstance(result, Advert)


def test_a_link_local_source_is_always_on_link():
    """IPv6 addresses come back one by one when a link is up again."""
    source, vip = IPv6Address("fe80::2"), IPv6Address("fe80::100")
    payload = wire.encode(
        vrid=51,
        priority=100,
        interval=1.0,
        addresses=(vip,),
        source=source,
        destination=wire.GROUP6,
        form=ChecksumForm.AUTO,
    )
    expected = Expected(51, IPv6Address("fe80::1"), on_link=(IPv6Network("2001:db8::/64"),))
    assert isinstance(wire.decode(Packet(source, wire.GROUP6, 255, payload), expected), Advert)


def test_an_interval_of_zero_is_dropped():
    assert wire.decode(received(advert(interval=0)), OURS) is Drop.INTERVAL


def test_an_interval_of_more_than_a_hundred_of_ours_is_dropped():
    """Who believed 40 s at 10 ms adverts would not miss the master for two minutes."""
    fast = attrs.evolve(OURS, dialect=wire.Dialect(interval=0.01))
    assert wire.decode(received(advert(interval=1.01)), fast) is Drop.INTERVAL
    assert isinstance(wire.decode(received(advert(interval=1.0)), fast), Advert)
    assert isinstance(wire.decode(received(advert(interval=40.95)), OURS), Advert)


def test_an_advert_without_addresses_is_dropped():
    assert wire.decode(received(advert(addresses=())), OURS) is Drop.COUNT


def test_reserved_bits_are_ignored():
    """RFC 9568 section 5.2.6: zero when sent, ignored when received."""
    plain = bytearray(advert(form=ChecksumForm.RFC9568))
    plain[4] |= 0xF0
    checksum = int.from_bytes(plain[6:8]) - 0xF000
    plain[6:8] = (checksum + (checksum >> 16) & 0xFFFF).to_bytes(2)
    result = wire.decode(received(bytes(plain)), OURS)
    assert isinstance(result, Advert)
    assert result.interval == 0.1


def test_the_senders_checksum_form_is_recognised():
    for form in (ChecksumForm.PSEUDO, ChecksumForm.RFC9568):
        result = wire.decode(received(advert(form=form)), OURS)
        assert isinstance(result, Advert)
        assert result.form is form


def test_an_unknown_peer_is_spoken_to_with_the_pseudo_header_form():
    assert advert(form=ChecksumForm.AUTO) == advert(form=ChecksumForm.PSEUDO)


def test_the_pseudo_header_form_is_scapys():
    from scapy.layers.inet import IP
    from scapy.layers.vrrp import VRRPv3

    packet = IP(src=str(PEER), dst=str(wire.GROUP), ttl=255, tos=0xC0, id=0) / VRRPv3(
        vrid=51, priority=200, adv=10, addrlist=[str(VIP), "10.99.0.101"]
    )
    payload = advert(addresses=(VIP, VIP + 1))
    assert wire.ip_packet(PEER, wire.GROUP, payload) == bytes(packet)


def test_the_ipv6_advert_and_its_header_are_scapys():
    from scapy.layers.inet6 import IPv6
    from scapy.layers.vrrp import VRRPv3

    us, vips = IPv6Address("fe80::2"), (IPv6Address("fe80::100"), IPv6Address("2001:db8::100"))
    packet = IPv6(src=str(us), dst="ff02::12", hlim=255, tc=0xC0) / VRRPv3(
        vrid=51, priority=200, adv=10, addrlist=[str(vip) for vip in vips]
    )
    packet = IPv6(src=str(us), dst="ff02::12", hlim=255, tc=0xC0, nh=112) / bytes(packet.payload)
    payload = advert(addresses=vips, source=us, destination=wire.GROUP6)
    assert wire.ip_packet(us, wire.GROUP6, payload) == bytes(packet)


@given(
    priority=st.integers(0, 255),
    addresses=st.lists(st.ip_addresses(v=6), min_size=1, max_size=20).map(tuple),
    form=st.sampled_from(ChecksumForm),
)
def test_what_is_encoded_for_ipv6_is_decoded_and_no_flipped_bit_passes(priority, addresses, form):
    source, expected = IPv6Address("fe80::2"), CONFIGURED["v6"]
    payload = advert(
        priority=priority, addresses=addresses, source=source, destination=wire.GROUP6, form=form
    )
    packet = Packet(source, wire.GROUP6, 255, payload)
    result = wire.decode(packet, expected)
    assert isinstance(result, Advert)
    assert (result.priority, result.interval, result.addresses) == (priority, 0.1, addresses)
    flipped = bytes((*payload[:-1], payload[-1] ^ 1))
    assert wire.decode(attrs.evolve(packet, payload=flipped), expected) is Drop.CHECKSUM
    assert wire.decode(attrs.evolve(packet, ttl=254), expected) is Drop.TTL
    assert wire.decode(attrs.evolve(packet, destination=IPv6Address("ff02::1")), expected) is Drop.DESTINATION


@pytest.mark.parametrize("password", [b"", b"x", b"secret12"])
def test_version_2_is_scapys(password):
    from scapy.layers.vrrp import VRRP

    padded = password.ljust(8, b"\0")
    theirs = VRRP(
        version=2, vrid=51, priority=200, authtype=int(bool(password)), adv=3, addrlist=[str(VIP)],
        auth1=int.from_bytes(padded[:4]), auth2=int.from_bytes(padded[4:]),
    )  # fmt: skip
    assert advert(interval=3.0, dialect=wire.Dialect(2, 3.0, password)) == bytes(theirs)


@given(
    priority=st.integers(0, 255),
    interval=st.integers(1, 255),
    addresses=st.lists(st.ip_addresses(v=4), min_size=1, max_size=20).map(tuple),
    password=st.binary(max_size=8).filter(lambda password: not password.endswith(b"\0")),
)
def test_what_is_encoded_in_version_2_is_decoded_by_who_agrees(priority, interval, addresses, password):
    dialect = wire.Dialect(2, float(interval), password)
    payload = advert(priority=priority, interval=float(interval), addresses=addresses, dialect=dialect)
    result = wire.decode(received(payload), attrs.evolve(OURS, dialect=dialect))
    assert isinstance(result, Advert)
    assert (result.priority, result.interval, result.addresses) == (priority, interval, addresses)
    assert result.form is None
    for other, reason in (
        (attrs.evolve(dialect, interval=interval % 255 + 1.0), Drop.INTERVAL),
        (attrs.evolve(dialect, password=b"another"), Drop.AUTHENTICATION),
        (wire.V3, Drop.VERSION),
    ):
        assert wire.decode(received(payload), attrs.evolve(OURS, dialect=other)) is reason


def test_the_ip_header_is_scapys():
    from scapy.layers.inet import IP

    ours = IP(wire.ip_packet(PEER, wire.GROUP, advert()))
    checksum = ours.chksum
    del ours.chksum
    assert IP(bytes(ours)).chksum == checksum
    assert (ours.ttl, ours.proto, ours.tos) == (255, 112, 0xC0)


@given(
    priority=st.integers(0, 255),
    centiseconds=st.integers(1, 4095),
    addresses=st.lists(st.ip_addresses(v=4), min_size=1, max_size=20).map(tuple),
    form=st.sampled_from([ChecksumForm.PSEUDO, ChecksumForm.RFC9568]),
)
def test_what_is_encoded_is_decoded(priority, centiseconds, addresses, form):
    payload = advert(priority=priority, interval=centiseconds / 100, addresses=addresses, form=form)
    result = wire.decode(received(payload), OURS)
    assert isinstance(result, Advert)
    assert (result.priority, result.interval, result.addresses) == (priority, centiseconds / 100, addresses)


@pytest.mark.parametrize("form", [ChecksumForm.PSEUDO, ChecksumForm.RFC9568])
def test_every_single_flipped_bit_is_noticed(form):
    """The checksum catches any one bit; the fields before it give their own reason."""
    assert _flips_that_pass(advert(form=form), OURS) == []


@pytest.mark.parametrize("dialect", [V2, V2_PASS])
def test_every_single_flipped_bit_is_noticed_in_version_2(dialect):
    good = advert(interval=1.0, dialect=dialect)
    assert _flips_that_pass(good, attrs.evolve(OURS, dialect=dialect)) == []


def _flips_that_pass(good: bytes, expected: Expected) -> list[int]:
    passing = []
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        if not isinstance(wire.decode(received(bytes(flipped)), expected), Drop):
            passing.append(bit)
    return passing


dialects = st.sampled_from([wire.V3, V2, V2_PASS])


@given(st.binary(max_size=120), st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 255), dialects)
def test_no_bytes_make_the_decoder_fail(payload, source, destination, ttl, dialect):
    expected = attrs.evolve(OURS, dialect=dialect)
    assert isinstance(wire.decode(Packet(source, destination, ttl, payload), expected), Advert | Drop)


@given(st.binary(max_size=120), st.ip_addresses(v=6), st.ip_addresses(v=6), st.integers(-1, 255))
def test_no_bytes_from_ipv6_make_the_decoder_fail(payload, source, destination, hop_limit):
    packet = Packet(source, destination, hop_limit, payload)
    assert isinstance(wire.decode(packet, CONFIGURED["v6"]), Advert | Drop)


@given(st.binary(max_size=40), st.integers(0, 255))
def test_a_valid_ipv6_head_with_any_body_never_makes_the_decoder_fail(body, count):
    payload = struct.pack("!BBBBHH", 0x31, 51, 200, count, 10, 0) + body
    packet = Packet(IPv6Address("fe80::2"), wire.GROUP6, 255, payload)
    assert isinstance(wire.decode(packet, CONFIGURED["v6"]), Advert | Drop)


@given(st.binary(max_size=16), st.integers(0, 255), dialects)
def test_a_valid_head_with_any_body_never_makes_the_decoder_fail(body, count, dialect):
    payload = struct.pack("!BBBBHH", dialect.version << 4 | 1, 51, 200, count, 10, 0) + body
    expected = attrs.evolve(OURS, dialect=dialect)
    assert isinstance(wire.decode(received(payload), expected), Advert | Drop)


@pytest.mark.parametrize("dialect", [wire.V3, V2, V2_PASS])
def test_every_truncation_and_every_extension_is_dropped(dialect):
    good, expected = advert(interval=1.0, dialect=dialect), attrs.evolve(OURS, dialect=dialect)
    for length in range(len(good)):
        assert wire.decode(received(good[:length]), expected) is Drop.LENGTH
    assert wire.decode(received(good + b"\0"), expected) is Drop.LENGTH
