"""LDAP: an anonymous bind of version 3 (RFC 4511 section 4.2), and its result.

StartTLS (section 4.14) comes before it, where that is wanted.
"""

from __future__ import annotations

from hapair.health.probes.dialogue import Conversation, Malformed, Parting, StartTls, Step
from hapair.health.probes.outcome import Finding

BIND = bytes.fromhex("300c 020101 6007 020103 0400 8000")
UNBIND = bytes.fromhex("3005 020103 4200")
START_TLS = bytes.fromhex("301d 020102 7718 8016") + b"1.3.6.1.4.1.1466.20037"
_SEQUENCE, _INTEGER, _ENUMERATED, _BIND_RESPONSE, _EXTENDED_RESPONSE = 0x30, 0x02, 0x0A, 0x61, 0x78


class _Incomplete(Exception):  # noqa: N818 - not an error: more will come
    """The rest of it has not come yet."""


class LdapProbe(Conversation):
    """One bind."""

    def __init__(self, *, starttls: bool = False) -> None:
        super().__init__("leave to speak TLS" if starttls else "the result of an anonymous bind")
        self._starting_tls = starttls

    def connected(self) -> bytes:
        return START_TLS if self._starting_tls else BIND

    def listen(self) -> Step:
        try:
            message, more = _element(self.heard, _SEQUENCE)
            number, rest = _element(message, _INTEGER)
            if number != (b"\2" if self._starting_tls else b"\1"):
                raise Malformed("an answer to another question")
            result, _ = _element(rest, _EXTENDED_RESPONSE if self._starting_tls else _BIND_RESPONSE)
            code, _ = _element(result, _ENUMERATED)
        except _Incomplete:
            return b""
        if len(code) != 1:
            raise Malformed("no result code")
        if code[0]:
            what = "TLS" if self._starting_tls else "the bind"
            return self.refused(f"{what} was refused", code[0])
        if self._starting_tls:
            if more:
                raise Malformed("it says more in clear text than that TLS may begin")
            self._starting_tls, self.heard = False, b""
            self.waiting_for = "the result of an anonymous bind"
            return StartTls(then=BIND)
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
