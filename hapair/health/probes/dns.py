"""DNS over UDP: one question, and an answer without error (RFC 1035 section 4)."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hapair.config.asks import DnsCheck
from hapair.health.probes.dialogue import Conversation, Malformed, Step
from hapair.health.probes.outcome import Finding, printable

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _TRUNCATED, _RECURSION = 0x8000, 0x0200, 0x0100
_RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_NAME_STARTS = {TYPES["MX"]: 2, TYPES["SRV"]: 6}
"""Bytes of a record before the name in it."""


def query(number: int, name: str, kind: str) -> bytes:
    """A question, with recursion desired."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    text = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 0) + text + struct.pack("!HH", TYPES[kind], 1)


class DnsProbe(Conversation):
    """One question."""

    def __init__(self, check: DnsCheck, number: int) -> None:
        wanted = f"{check.type} {check.name}"
        super().__init__(wanted if check.expect is None else f"{wanted} to be {check.expect}")
        self._check = check
        self._number = number

    def connected(self) -> bytes:
        return query(self._number, self._check.name, self._check.type)

    def received(self, data: bytes) -> Step:
        try:
            return self._judge(data)
        except Malformed as error:
            return self.wrong(str(error))

    def _judge(self, data: bytes) -> Step:
        if len(data) < _HEADER.size:
            raise Malformed("shorter than a header")
        number, flags, questions, count, _, _ = _HEADER.unpack_from(data)
        if number != self._number or not flags & _RESPONSE:
            return b""  # of an earlier question, or forged: the right one may come yet
        code = flags & 15
        if code:
            return self.refused(_RCODES.get(code, f"rcode {code}"), code)
        found = answers(data, questions, count, TYPES[self._check.type])
        if self._check.expect is None:
            return Finding("L7OK") if count or self._check.type == "SOA" else self.refused("no answer in it")
        if self._check.expect in found:
            return Finding("L7OK")
        if flags & _TRUNCATED:
            raise Malformed("the answer is truncated")
        return self.refused(printable(", ".join(found).encode("ascii", "replace")) or "no answer in it")


def answers(data: bytes, questions: int, count: int, kind: int) -> list[str]:
    """The answers of one type, as text; names without their final dot.

    Raises:
        Malformed: it ends within a record, or a name has no end.
    """
    found: list[str] = []
    at = _HEADER.size
    for _ in range(questions):
        at = _name(data, at)[1] + 4
        if at > len(data):
            raise Malformed("it ends early")
    for _ in range(count):
        _, at = _name(data, at)
        if at + _RECORD.size > len(data):
            raise Malformed("it ends early")
        record, _, _, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + size > len(data):
            raise Malformed("it ends early")
        if record == kind:
            found.append(_text(data, at, size, kind))
        at += size
    return found


def _text(data: bytes, at: int, size: int, kind: int) -> str:
    content = data[at : at + size]
    if kind in (TYPES["A"], TYPES["AAAA"]):
        if size != (4 if kind == TYPES["A"] else 16):
            raise Malformed("an address of the wrong size")
        return str(ip_address(content))
    if kind == TYPES["TXT"]:
        text = b""
        while content:
            text, content = text + content[1 : 1 + content[0]], content[1 + content[0] :]
        return text.decode("latin-1")
    return _name(data, at + _NAME_STARTS.get(kind, 0))[0]


def _name(data: bytes, at: int) -> tuple[str, int]:
    """A name, and where it ends; each pointer must lead back, so that there is an end."""
    labels: list[str] = []
    end, limit = 0, at
    while True:
        if at >= len(data):
            raise Malformed("it ends within a name")
        size = data[at]
        if size >= 0xC0:
            if at + 1 >= len(data):
                raise Malformed("it ends within a name")
            end = end or at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
            if at >= limit:
                raise Malformed("a name without end")
            limit = at
        elif size > 63:
            raise Malformed("not a name")
        elif size:
            if len(labels) == 128:
                raise Malformed("a name without end")
            labels.append(data[at + 1 : at + 1 + size].decode("latin-1"))
            at += 1 + size
        else:
            return ".".join(labels), end or at + 1
