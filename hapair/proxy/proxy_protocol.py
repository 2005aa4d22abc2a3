"""The PROXY protocol, versions 1 and 2: who the client behind a balancer is (HAProxy's proxy-protocol.txt).

Pure and strict.  What is not certainly a header is refused, since whoever
listens for one trusts nothing else; TLVs that are not known are kept.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from hapair.errors import HapairError

V1_LONGEST: Final = 107
"""Bytes of a version 1 header with its CR LF (section 2.1)."""
LONGEST: Final = 16384
"""Bytes of a header of any version that we wait for; HAProxy's buffer."""
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"

ALPN: Final = 0x01
AUTHORITY: Final = 0x02
CRC32C: Final = 0x03
NOOP: Final = 0x04
UNIQUE_ID: Final = 0x05
SSL: Final = 0x20
NETNS: Final = 0x30
UNIQUE_ID_LONGEST: Final = 128

_START: Final = b"PROXY "
_ADDRESS: Final = frozenset("0123456789ABCDEFabcdef.:")
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_HEAD: Final = struct.Struct("!12sBBH")
_TLV: Final = struct.Struct("!BH")
_STREAM_OVER: Final = {0x11: 4, 0x21: 16}
"""Family and transport -> bytes of one address."""


class BadProxyHeader(HapairError):  # noqa: N818 - as BadMessage
    """What came is no PROXY header, or not a whole one; the text says why."""


class Place(NamedTuple):
    """An address as text, and a port."""

    host: str
    port: int


class Conveyed(NamedTuple):
    """What a header said."""

    size: int
    """Bytes of the header; what follows is the client's."""
    source: Place | None
    """None: the connection is the balancer's own, or of a kind that cannot be told (LOCAL, UNKNOWN)."""
    destination: Place | None
    tlvs: tuple[tuple[int, bytes], ...] = ()

    def tlv(self, kind: int) -> bytes:
        """The first value of that kind; empty when there is none."""
        return next((value for known, value in self.tlvs if known == kind), b"")


# -- reading ------------------------------------------------------------------------------------------


def parse(data: bytes) -> Conveyed | None:
    """The header at the beginning of `data`; None while more of it must come.

    Raises:
        BadProxyHeader: this can never become one.
    """
    if not data:
        return None
    if data[0] == SIGNATURE[0]:
        if data[:12] != SIGNATURE[: len(data)]:
            raise BadProxyHeader("neither version of the PROXY protocol begins like this")
        return _parse_v2(data)
    if data[:6] != _START[: len(data)]:
        raise BadProxyHeader("neither version of the PROXY protocol begins like this")
    return _parse_v1(data)


def _parse_v1(data: bytes) -> Conveyed | None:
    end = data.find(b"\r\n", 0, V1_LONGEST)
    if end < 0:
        if len(data) >= V1_LONGEST:
            raise BadProxyHeader(f"no end of line within {V1_LONGEST} bytes")
        return None
    try:
        words = data[len(_START) : end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise BadProxyHeader("bytes beyond ASCII in a version 1 header") from None
    if words[0] == "UNKNOWN":
        return Conveyed(end + 2, None, None)
    if len(words) != 5 or words[0] not in ("TCP4", "TCP6"):
        raise BadProxyHeader('not "TCP4" or "TCP6" with two addresses and two ports')
    kind = IPv4Address if words[0] == "TCP4" else IPv6Address
    if not _ADDRESS.issuperset(words[1] + words[2]):
        # Python would read the zone of `fe80::1%...`, with any character in it, even a line feed.
        raise BadProxyHeader(f"not two {words[0][3:]} addresses of {words[0]}")
    try:
        source, destination = str(kind(words[1])), str(kind(words[2]))
    except ValueError:
        raise BadProxyHeader(f"not two {words[0][3:]} addresses of {words[0]}") from None
    return Conveyed(end + 2, Place(source, _port(words[3])), Place(destination, _port(words[4])))


def _port(text: str) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 65535:
        raise BadProxyHeader("a port is not a number up to 65535")
    return int(text)


def _parse_v2(data: bytes) -> Conveyed | None:
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise BadProxyHeader(f"version and command 0x{data[12]:02x} are not known")
    if len(data) < _HEAD.size:
        return None
    _, command, family, length = _HEAD.unpack_from(data)
    size = _HEAD.size + length
    if size > LONGEST:
        raise BadProxyHeader(f"a header of {size} bytes")
    if len(data) < size:
        return None
    header = data[:size]
    width = _STREAM_OVER.get(family)
    if command == 0x20 or width is None:
        # LOCAL; or what is no TCP: the receiver has to keep the real addresses (section 2.2).
        return Conveyed(size, None, None)
    addresses = 2 * width + 4
    if length < addresses:
        raise BadProxyHeader(f"{length} bytes are too few for its addresses")
    at = _HEAD.size
    source = str(ip_address(header[at : at + width]))
    destination = str(ip_address(header[at + width : at + 2 * width]))
    ports = struct.unpack_from("!HH", header, at + 2 * width)
    tlvs = _tlvs(header, at + addresses)
    return Conveyed(size, Place(source, ports[0]), Place(destination, ports[1]), tlvs)


def _tlvs(header: bytes, at: int) -> tuple[tuple[int, bytes], ...]:
    found = []
    while at < len(header):
        if len(header) - at < _TLV.size:
            raise BadProxyHeader("a TLV is cut short")
        kind, length = _TLV.unpack_from(header, at)
        at += _TLV.size
        if len(header) - at < length:
            raise BadProxyHeader("a TLV is longer than the header")
        value = header[at : at + length]
        if kind == CRC32C:
            if length != 4:
                raise BadProxyHeader("a checksum that is not four bytes long")
            if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(value, "big"):
                raise BadProxyHeader("the checksum does not fit")
        elif kind == UNIQUE_ID and length > UNIQUE_ID_LONGEST:
            raise BadProxyHeader(f"a unique ID of {length} bytes")
        if kind != NOOP:
            found.append((kind, value))
        at += length
    return tuple(found)


# -- writing ------------------------------------------------------------------------------------------


def version1(source: Place, destination: Place) -> bytes:
    """The header line; UNKNOWN unless both are addresses of one family."""
    pair = _packed(source.host), _packed(destination.host)
    if not pair[0] or len(pair[0]) != len(pair[1]):
        return b"PROXY UNKNOWN\r\n"
    family = 4 if len(pair[0]) == 4 else 6
    return f"PROXY TCP{family} {source.host} {destination.host} {source.port} {destination.port}\r\n".encode()


def version2(
    source: Place, destination: Place, tlvs: tuple[tuple[int, bytes], ...] = (), *, checksum: bool = False
) -> bytes:
    """The binary header; an IPv4 address beside an IPv6 one is written as a mapped one.

    Without two addresses (a unix socket) it says LOCAL.
    """
    here, there = _packed(source.host), _packed(destination.host)
    if not here or not there:
        return _sealed(0x20, 0x00, b"", tlvs, checksum)
    if len(here) != len(there):
        here, there = (one if len(one) == 16 else bytes(10) + b"\xff\xff" + one for one in (here, there))
    addresses = here + there + struct.pack("!HH", source.port, destination.port)
    return _sealed(0x21, 0x11 if len(here) == 4 else 0x21, addresses, tlvs, checksum)


def local() -> bytes:
    """A version 2 header for a connection of our own, such as a health check."""
    return _sealed(0x20, 0x00, b"", (), checksum=False)


def _sealed(
    command: int, family: int, addresses: bytes, tlvs: tuple[tuple[int, bytes], ...], checksum: bool
) -> bytes:
    body = addresses + b"".join(_TLV.pack(kind, len(value)) + value for kind, value in tlvs)
    if not checksum:
        return _HEAD.pack(SIGNATURE, command, family, len(body)) + body
    body += _TLV.pack(CRC32C, 4) + bytes(4)
    header = _HEAD.pack(SIGNATURE, command, family, len(body)) + body
    return header[:-4] + crc32c(header).to_bytes(4, "big")


def _packed(host: str) -> bytes:
    try:
        return ip_address(host.partition("%")[0]).packed
    except ValueError:
        return b""


def _table() -> tuple[int, ...]:
    made = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        made.append(value)
    return tuple(made)


_CRC_TABLE: Final = _table()


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960 appendix B (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF
