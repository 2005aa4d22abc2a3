"""LDAP: an anonymous bind of version 3 (RFC 4511 section 4.2), and its result."""

from __future__ import annotations

from hapair.health.probes.dialogue import Conversation, Malformed, Parting, Step
from hapair.health.probes.outcome import Finding

BIND = bytes.fromhex("300c 020101 6007 020103 0400 8000")
UNBIND = bytes.fromhex("3005 020102 4200")
_SEQUENCE, _INTEGER, _ENUMERATED, _BIND_RESPONSE = 0x30, 0x02, 0x0A, 0x61


class _Incomplete(Exception):  # noqa: N818 - not an error: more will come
    """The rest of it has not come yet."""


class LdapProbe(Conversation):
    """One bind."""

    def __init__(self) -> None:
        super().__init__("the result of an anonymous bind")

    def connected(self) -> bytes:
        return BIND

    def listen(self) -> Step:
        try:
            message, _ = _element(self.heard, _SEQUENCE)
            number, rest = _element(message, _INTEGER)
            if number != b"\1":
                raise Malformed("an answer to another question")
            result, _ = _element(rest, _BIND_RESPONSE)
            code, _ = _element(result, _ENUMERATED)
        except _Incomplete:
            return b""
        if len(code) != 1:
            raise Malformed("no result code")
        if code[0]:
            return self.refused("the bind was refused", code[0])
        return Parting(UNBIND, Finding("L7OK"))


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of a BER element, and what is behind it."""
    if data and data[0] != tag:
        raise Malformed("not LDAPv3")
    if len(data) < 2:
        raise _Incomplete
    at, size = 2, data[1]
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise Malformed("not LDAPv3")
        at += count
        if len(data) < at:
            raise _Incomplete
        size = int.from_bytes(data[2:at], "big")
    if size > 8192:
        raise Malformed("the answer is too long")
    if len(data) < at + size:
        raise _Incomplete
    return data[at : at + size], data[at + size :]
