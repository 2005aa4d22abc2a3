"""Does something that speaks TLS listen there?  A hello is sent, a handshake or an alert must come back.

HAProxy's ssl-hello-chk, with a hello of TLS 1.2 instead of SSLv3: a check that says
no more than this needs no TLS library, and no certificate to be valid.
"""

from __future__ import annotations

import struct

from hapair.health.probes.dialogue import Conversation, Malformed, Step
from hapair.health.probes.outcome import Finding

_CIPHERS = (0xC02F, 0xC02B, 0xC030, 0xC02C, 0xCCA8, 0xCCA9, 0xC013, 0xC014, 0x009C, 0x002F, 0x0035)
_GROUPS = (29, 23, 24)
_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0603, 0x0601, 0x0201)
_RECORD = 5
"""Bytes of a record's head."""


def _numbers(values: tuple[int, ...]) -> bytes:
    body = struct.pack(f"!{len(values)}H", *values)
    return struct.pack("!H", len(body)) + body


def _extension(number: int, body: bytes) -> bytes:
    return struct.pack("!HH", number, len(body)) + body


def client_hello(random: bytes) -> bytes:
    """A ClientHello (RFC 5246 section 7.4.1.2); `random` is 32 bytes."""
    extensions = (
        _extension(10, _numbers(_GROUPS))
        + _extension(11, b"\1\0")
        + _extension(13, _numbers(_SIGNATURES))
        + _extension(0xFF01, b"\0")
    )
    body = (
        b"\3\3"
        + random
        + b"\0"
        + _numbers(_CIPHERS)
        + b"\1\0"
        + struct.pack("!H", len(extensions))
        + extensions
    )
    hello = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack("!H", len(hello)) + hello


class SslHelloProbe(Conversation):
    """One hello."""

    def __init__(self, random: bytes) -> None:
        super().__init__("a TLS handshake or alert")
        self._hello = client_hello(random)

    def connected(self) -> bytes:
        return self._hello

    def listen(self) -> Step:
        if self.heard[0] not in (0x15, 0x16) or self.heard[1:2] not in (b"", b"\3"):
            raise Malformed("not TLS")
        return Finding("L6OK") if len(self.heard) >= _RECORD else b""

    def wrong(self, info: str) -> Finding:
        return Finding("L6RSP", info, expected=self.waiting_for)

    def late(self) -> Finding:
        return Finding("L6TOUT", expected=self.waiting_for)
