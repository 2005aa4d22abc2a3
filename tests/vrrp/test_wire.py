"""The codec against scapy, a corpus of received packets, and every flipped bit."""

from __future__ import annotations

import json
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

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
UNICAST = Expected(vrid=51, source=US, peers=frozenset({PEER}))

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
) -> bytes:
    return wire.encode(
        vrid=51,
        priority=priority,
        interval=interval,
        addresses=addresses,
        source=source,
        destination=destination,
        form=form,
    )


def received(payload: bytes, source: IPv4Address = PEER, destination: IPv4Address = wire.GROUP) -> Packet:
    return Packet(source=source, destination=destination, ttl=255, payload=payload)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_corpus_packet_is_an_advert_or_dropped_for_its_reason(case):
    packet = Packet(
        source=IPv4Address(case["ip"]["src"]),
        destination=IPv4Address(case["ip"]["dst"]),
        ttl=case["ip"]["ttl"],
        payload=bytes.fromhex(case["payload_hex"]),
    )
    result = wire.decode(packet, UNICAST if case["config"] == "v3-uni" else OURS)
    if case["id"] in REASONS:
        assert result is REASONS[case["id"]]
    else:
        assert isinstance(result, Advert)
        assert result.priority == packet.payload[2]
        assert result.interval == 0.1


def test_corpus_reasons_name_only_cases_that_exist():
    assert set(REASONS) <= {case["id"] for case in CASES}


def test_only_a_configured_peer_is_heard_in_unicast_mode():
    stranger = IPv4Address("10.99.0.66")
    payload = advert(source=stranger, destination=US)
    assert wire.decode(received(payload, stranger, US), UNICAST) is Drop.NOT_A_PEER
    assert isinstance(wire.decode(received(advert(destination=US), PEER, US), UNICAST), Advert)


def test_multicast_is_not_heard_in_unicast_mode():
    assert wire.decode(received(advert()), UNICAST) is Drop.DESTINATION


@pytest.mark.parametrize("source", ["0.0.0.0", "255.255.255.255", "127.0.0.1", "224.0.0.18"])
def test_sources_that_no_host_has_are_dropped(source):
    address = IPv4Address(source)
    assert wire.decode(received(advert(source=address), address), OURS) is Drop.SOURCE


def test_without_known_networks_every_source_is_on_link():
    far = IPv4Address("203.0.113.9")
    result = wire.decode(received(advert(source=far), far), Expected(vrid=51, source=US))
    assert isinstance(result, Advert)


def test_an_interval_of_zero_is_dropped():
    assert wire.decode(received(advert(interval=0)), OURS) is Drop.INTERVAL


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
    good = advert(form=form)
    for bit in range(len(good) * 8):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        assert isinstance(wire.decode(received(bytes(flipped)), OURS), Drop), f"bit {bit}"


@given(st.binary(max_size=120), st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 255))
def test_no_bytes_make_the_decoder_fail(payload, source, destination, ttl):
    assert isinstance(wire.decode(Packet(source, destination, ttl, payload), OURS), Advert | Drop)


@given(st.binary(max_size=8), st.integers(0, 255))
def test_a_valid_head_with_any_body_never_makes_the_decoder_fail(body, count):
    payload = struct.pack("!BBBBHH", 0x31, 51, 200, count, 10, 0) + body
    assert isinstance(wire.decode(received(payload), OURS), Advert | Drop)


def test_every_truncation_and_every_extension_is_dropped():
    good = advert()
    for length in range(len(good)):
        assert wire.decode(received(good[:length]), OURS) is Drop.LENGTH
    assert wire.decode(received(good + b"\0"), OURS) is Drop.LENGTH
