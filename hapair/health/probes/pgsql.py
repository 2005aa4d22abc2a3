"""PostgreSQL: a startup message of protocol 3.0; a login and a query where they are asked for.

Without a password it is enough that the server asks for one, as for HAProxy.  A
password is proved by SCRAM-SHA-256 or MD5, never sent in clear text.
"""

from __future__ import annotations

import hashlib
import struct

from hapair.config.asks import PgsqlCheck
from hapair.health.probes.dialogue import MAX_ANSWER, Conversation, Malformed, Parting, StartTls, Step
from hapair.health.probes.outcome import Finding, printable
from hapair.health.probes.scram import Scram

TERMINATE = b"X\0\0\0\4"
SSL_REQUEST = struct.pack("!II", 8, 80877103)
_VERSION_3 = 0x30000
_MECHANISM = b"SCRAM-SHA-256"
_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_BEFORE_LOGIN = b"ERN"
_AFTER_LOGIN = b"EKSNZRTDCAI"


def startup(user: str, database: str | None) -> bytes:
    """The first message, which alone has no type."""
    words = ["user", user, "database", database or user, "application_name", "hapair"]
    body = struct.pack("!I", _VERSION_3) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def message(kind: bytes, body: bytes) -> bytes:
    """Any other."""
    return kind + struct.pack("!I", len(body) + 4) + body


def md5_answer(user: str, password: str, salt: bytes) -> bytes:
    """The proof of the old method; MD5 is the protocol's choice."""
    inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode() + b"\0"


class PgsqlProbe(Conversation):
    """Startup, login, query."""

    def __init__(self, check: PgsqlCheck, nonce: bytes, *, starttls: bool = False) -> None:
        super().__init__("leave to speak TLS" if starttls else "a request to log in")
        self._starting_tls = starttls
        self._check = check
        self._scram = Scram(check.password or "", nonce)
        self._row: bytes | None = None
        self._asked = False
        self._logged_in = False
        self._proving = False
        """SCRAM began, and the server has not proved yet that it knows the password."""

    def connected(self) -> bytes:
        return SSL_REQUEST if self._starting_tls else startup(self._check.user, self._check.database)

    def _may_start_tls(self) -> Step:
        if self.heard[:1] == b"N":
            return self.refused("it speaks no TLS")
        if self.heard != b"S":  # nor may anything be behind it: that would be taken for said over TLS
            raise Malformed("not PostgreSQL")
        self._starting_tls, self.heard = False, b""
        self.waiting_for = "a request to log in"
        return StartTls(then=startup(self._check.user, self._check.database))

    def listen(self) -> Step:
        if self._starting_tls:
            return self._may_start_tls()
        while self.heard:
            kind = self.heard[:1]
            if kind not in (_AFTER_LOGIN if self._logged_in else _BEFORE_LOGIN):
                raise Malformed("not PostgreSQL")
            if len(self.heard) < 5:
                return b""
            size = int.from_bytes(self.heard[1:5], "big")
            if not 4 <= size < MAX_ANSWER:
                raise Malformed("not PostgreSQL, or too long")
            if len(self.heard) < 1 + size:
                return b""
            body, self.heard = self.heard[5 : 1 + size], self.heard[1 + size :]
            step = self._message(kind, body)
            if step:
                return step
        return b""

    def _message(self, kind: bytes, body: bytes) -> Step:
        if kind == b"E":
            return self._error(body)
        if kind == b"R":
            return self._authentication(body)
        if kind == b"Z":
            return self._ready()
        if kind == b"D" and self._row is None:
            self._row = body
        return b""

    def _error(self, body: bytes) -> Finding:
        fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
        return self.refused(printable(fields.get(b"C", b"") + b" " + fields.get(b"M", b"")).strip())

    def _authentication(self, body: bytes) -> Step:
        if len(body) < 4 or self._logged_in:
            raise Malformed("not a request to log in")
        method, more = int.from_bytes(body[:4], "big"), body[4:]
        if method == _OK:
            if self._proving:
                raise Malformed("the server does not know the password")
            self._logged_in = True
            self.waiting_for = "the end of the login"
        if self._check.password is None and self._check.query is None:
            return Parting(TERMINATE, Finding("L7OK"))
        if method == _OK:
            return b""
        if self._check.password is None:
            return self.refused("the server asks for a password")
        return self._prove(method, more)

    def _prove(self, method: int, more: bytes) -> Step:
        self.waiting_for = f"the login of {self._check.user}"
        password = self._check.password or ""
        if method == _MD5 and len(more) == 4:
            return message(b"p", md5_answer(self._check.user, password, more))
        if method == _SASL and _MECHANISM in more.split(b"\0"):
            self._proving = True
            first = self._scram.first()
            return message(b"p", _MECHANISM + b"\0" + struct.pack("!I", len(first)) + first)
        if method == _SASL_CONTINUE and self._proving:
            return message(b"p", self._scram.proof(more))
        if method == _SASL_FINAL and self._proving:
            if not self._scram.server_is_right(more):
                raise Malformed("the server does not know the password")
            self._proving = False
            return b""
        clear = " the password in clear text" if method == _CLEARTEXT else f" login method {method}"
        return self.refused(f"the server wants{clear}, which is not offered")

    def _ready(self) -> Step:
        if self._check.query is None:
            return Parting(TERMINATE, Finding("L7OK"))
        if not self._asked:
            self._asked = True
            wanted = f" to give {self._check.expect}" if self._check.expect is not None else ""
            self.waiting_for = f"{self._check.query}{wanted}"
            return message(b"Q", self._check.query.encode() + b"\0")
        value = _last_column(self._row) if self._row is not None else None
        if self._check.expect is None or value == self._check.expect.encode():
            return Parting(TERMINATE, Finding("L7OK"))
        found, wanted = (
            "nothing" if value is None else printable(value),
            printable(self._check.expect.encode()),
        )
        return Parting(TERMINATE, self.refused(f"the query gave {found}, not {wanted}"))


def _last_column(row: bytes) -> bytes | None:
    """Of a DataRow; None for NULL."""
    count, at, value = int.from_bytes(row[:2], "big"), 2, None
    for _ in range(count):
        if len(row) < at + 4:
            raise Malformed("a row that ends early")
        size = int.from_bytes(row[at : at + 4], "big", signed=True)
        at += 4
        value = row[at : at + size] if size >= 0 else None
        at += max(size, 0)
    return value
