"""Echo requests, and what counts as their answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.health.probes.icmp import checksum, echo_request, is_reply

TOKEN = b"sixteen byte tok"


def reply(sequence: int, *, six: bool, token: bytes = TOKEN) -> bytes:
    request = echo_request(sequence, token, six=six)
    return bytes([129 if six else 0]) + request[1:]


@pytest.mark.parametrize("six", [False, True])
def test_the_answer_to_our_request_is_recognised(six):
    assert is_reply(reply(7, six=six), 7, TOKEN, six=six)


@pytest.mark.parametrize("six", [False, True])
def test_our_own_request_another_sequence_or_another_token_is_not_the_answer(six):
    assert not is_reply(echo_request(7, TOKEN, six=six), 7, TOKEN, six=six)
    assert not is_reply(reply(8, six=six), 7, TOKEN, six=six)
    assert not is_reply(reply(7, six=six, token=b"somebody else's!"), 7, TOKEN, six=six)


@given(st.binary(max_size=64), st.booleans())
def test_arbitrary_packets_are_not_the_answer(packet, six):
    assert not is_reply(packet, 7, TOKEN, six=six)


def test_the_checksum_is_rfc_1071s():
    """scapy is the oracle."""
    from scapy.layers.inet import ICMP

    packet = bytes(ICMP(type=8, id=5, seq=7) / TOKEN)
    zeroed = packet[:2] + b"\0\0" + packet[4:]
    assert checksum(zeroed) == int.from_bytes(packet[2:4], "big")
    assert checksum(b"\1\2\3") == checksum(b"\1\2\3\0")
