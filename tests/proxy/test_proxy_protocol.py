"""The PROXY protocol's headers: proxy-protocol.txt, section by section."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.proxy.proxy_protocol import (
    AUTHORITY,
    CRC32C,
    LONGEST,
    NOOP,
    SIGNATURE,
    UNIQUE_ID,
    BadProxyHeader,
    Conveyed,
    Place,
    crc32c,
    local,
    parse,
    version1,
    version2,
)

V4 = st.builds(lambda n: str(IPv4Address(n)), st.integers(0, 2**32 - 1))
V6 = st.builds(lambda n: str(IPv6Address(n)), st.integers(0, 2**128 - 1))
PORTS = st.integers(0, 65535)
PAIRS = st.tuples(V4, V4) | st.tuples(V6, V6)
TLVS = st.lists(
    st.tuples(st.sampled_from([0x01, AUTHORITY, 0x20, 0x30, 0xE0]), st.binary(max_size=40)), max_size=4
).map(tuple)
A, B = Place("192.0.2.1", 56324), Place("192.0.2.9", 443)


def binary(command: int = 0x21, family: int = 0x11, body: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def body(*tlvs: tuple[int, bytes]) -> bytes:
    start = IPv4Address(A.host).packed + IPv4Address(B.host).packed + struct.pack("!HH", A.port, B.port)
    return start + b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)


@given(PAIRS, PORTS, PORTS, st.binary(max_size=20))
def test_what_version_1_writes_is_read_again(pair, sport, dport, rest):
    source, destination = Place(pair[0], sport), Place(pair[1], dport)
    header = version1(source, destination)
    assert len(header) <= 107
    assert parse(header + rest) == Conveyed(len(header), source, destination)


@given(PAIRS, PORTS, PORTS, TLVS, st.booleans(), st.binary(max_size=20))
def test_what_version_2_writes_is_read_again(pair, sport, dport, tlvs, checksum, rest):
    source, destination = Place(pair[0], sport), Place(pair[1], dport)
    header = version2(source, destination, tlvs, checksum=checksum)
    found = parse(header + rest)
    assert found is not None
    assert (found.size, found.source, found.destination) == (len(header), source, destination)
    assert tuple(tlv for tlv in found.tlvs if tlv[0] != CRC32C) == tlvs
    assert any(kind == CRC32C for kind, _ in found.tlvs) is checksum


@given(st.sampled_from([version1(A, B), version2(A, B, ((AUTHORITY, b"example.org"),), checksum=True)]))
def test_a_part_of_a_header_is_waited_for(header):
    for size in range(len(header)):
        assert parse(header[:size]) is None
    assert parse(header) is not None


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: SIGNATURE + data))
def test_arbitrary_bytes_are_a_header_or_refused_or_too_few(data):
    try:
        found = parse(data)
    except BadProxyHeader:
        return
    assert found is None or 0 < found.size <= len(data)


@given(st.integers(16, 60), st.integers(0, 7))
def test_no_flipped_bit_gets_past_the_checksum(at, bit):
    header = bytearray(version2(A, B, ((AUTHORITY, b"a" * 30),), checksum=True))
    header[at] ^= 1 << bit
    with pytest.raises(BadProxyHeader):
        parse(bytes(header))


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.9 56324\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443 1\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.9 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443 \r\n",
        b"PROXY TCP4 192.0.2.01 192.0.2.9 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 056324 443\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 -1 443\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n"[:-2] + b"x\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        b"PROXY TCP6 fe80::1%\nx ::2 1 2\r\n",
        b"PROXY TCP6 ::2 fe80::1%\n 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP4 192.0.2.\xb2 192.0.2.9 1 2\r\n",
        b"PROXY tcp4",
        b"proxy TCP4",
        b"PROXY\tTCP4",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\n" + b" " * 70,
        b"PROXY UNKNOWN " + b"x" * 100,
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\nGET",
        b"\x16\x03\x01",
    ],
)
def test_version_1_is_taken_to_the_letter(line):
    if line.startswith(b"PROXY tcp4"):
        line += b" 192.0.2.1 192.0.2.9 1 2\r\n"
    with pytest.raises(BadProxyHeader):
        parse(line)


@pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ff:: whatever 1 2\r\n"])
def test_unknown_keeps_the_real_addresses(line):
    assert parse(line + b"rest") == Conveyed(len(line), None, None)


@pytest.mark.parametrize(
    "header",
    [
        binary(command=0x11),
        binary(command=0x22),
        binary(command=0x31),
        binary(body=b"x" * 11),
        binary(family=0x21, body=b"x" * 35),
        binary(body=body() + b"\x04\x00"),
        binary(body=body() + b"\x04\x00\x02x"),
        binary(body=body((CRC32C, b"abc"))),
        binary(body=body((CRC32C, b"abcd"))),
        binary(body=body((UNIQUE_ID, b"x" * 129))),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE[:11] + b"x",
    ],
)
def test_version_2_is_taken_to_the_letter(header):
    with pytest.raises(BadProxyHeader):
        parse(header)


@pytest.mark.parametrize(
    "header",
    [
        binary(command=0x20, family=0x11, body=body()),
        binary(command=0x20, family=0x00),
        binary(family=0x00, body=b"whatever"),
        binary(family=0x12, body=body()),
        binary(family=0x31, body=bytes(216)),
        local(),
        version2(Place("unix", 0), B),
    ],
)
def test_local_and_what_is_no_tcp_keep_the_real_addresses(header):
    assert parse(header + b"rest") == Conveyed(len(header), None, None)


def test_padding_is_not_kept_and_the_rest_is():
    found = parse(binary(body=body((NOOP, b"   "), (UNIQUE_ID, b"id"), (0xE1, b""))))
    assert found is not None
    assert found.tlvs == ((UNIQUE_ID, b"id"), (0xE1, b""))
    assert found.tlv(UNIQUE_ID) == b"id"
    assert found.tlv(AUTHORITY) == b""


def test_families_are_not_mixed_in_version_1_and_mapped_in_version_2():
    six = Place("2001:db8::1", 7)
    assert version1(A, six) == b"PROXY UNKNOWN\r\n"
    found = parse(version2(A, six))
    assert found is not None
    assert found.source == Place("::ffff:c000:201", A.port)


def test_the_longest_header_is_bounded():
    assert parse(SIGNATURE + struct.pack("!BBH", 0x21, 0x11, LONGEST - 16)) is None


def test_the_checksum_is_castagnolis():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 7143's check value
