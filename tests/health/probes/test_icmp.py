"""Echo requests, and what counts as an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.health.probes.icmp import behind_ipv4, checksum, echo_reply, echo_request

TOKEN = b"sixteen byte tok"


def reply(*, six: bool, token: bytes = TOKEN) -> bytes:
    return bytes([129 if six else 0]) + echo_request(5, 7, token, six=six)[1:]


@pytest.mark.parametrize("six", [False, True])
def test_a_reply_brings_the_token_back(six):
    assert echo_reply(reply(six=six), six=six) == TOKEN
    assert echo_reply(reply(six=six, token=b""), six=six) == b""


@pytest.mark.parametrize("six", [False, True])
def test_our_own_request_another_code_or_the_other_family_is_no_reply(six):
    assert echo_reply(echo_request(5, 7, TOKEN, six=six), six=six) is None
    assert echo_reply(reply(six=not six), six=six) is None
    good = reply(six=six)
    assert echo_reply(good[:1] + b"\1" + good[2:], six=six) is None


@pytest.mark.parametrize("six", [False, True])
def test_a_packet_cut_short_is_no_reply(six):
    assert all(echo_reply(reply(six=six)[:end], six=six) is None for end in range(8))


@given(st.binary(max_size=80), st.booleans())
def test_arbitrary_packets_carry_no_token_of_ours(packet, six):
    assert echo_reply(packet, six=six) != TOKEN
    assert echo_reply(behind_ipv4(packet), six=six) != TOKEN


def test_an_echo_request_is_what_scapy_makes():
    from scapy.layers.inet import ICMP

    assert echo_request(5, 7, TOKEN, six=False) == bytes(ICMP(type=8, id=5, seq=7) / TOKEN)


def test_the_ipv4_header_is_skipped_with_its_options():
    assert behind_ipv4(bytes([0x45]) + bytes(19) + b"icmp") == b"icmp"
    assert behind_ipv4(bytes([0x46]) + bytes(23) + b"icmp") == b"icmp"


@pytest.mark.parametrize("packet", [b"", b"\x44" + bytes(30), b"\x4f" + bytes(30)])
def test_an_impossible_ipv4_header_leaves_nothing(packet):
    assert behind_ipv4(packet) == b""


def test_the_checksum_pads_an_odd_byte():
    assert checksum(b"\1\2\3") == checksum(b"\1\2\3\0")
