"""MySQL and MariaDB: the greeting, and a login and a query where a user is given.

A server blocks a host that connects `max_connect_errors` times without logging
in, so a check that only reads the greeting may shut out the balancer: give a user.
Passwords never travel in clear text: what asks for that is refused, but over TLS to a
server that has shown its certificate.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from hapair.config.asks import MysqlCheck, Tls
from hapair.health.probes.dialogue import MAX_ANSWER, Conversation, Malformed, Parting, StartTls, Step
from hapair.health.probes.outcome import Finding, printable

_LONG_PASSWORD, _PROTOCOL_41, _SECURE_CONNECTION, _PLUGIN_AUTH = 1, 0x200, 0x8000, 0x80000
_SSL = 0x800
_UTF8 = 33
_MAX_PACKET = 0x1000000
_NATIVE, _SHA2 = b"mysql_native_password", b"caching_sha2_password"
_OK, _MORE, _SWITCH, _ERROR = 0x00, 0x01, 0xFE, 0xFF
_NULL, _LOCAL_FILE = 0xFB, 0xFB
QUIT = b"\1\0\0\0\1"


def packet(number: int, payload: bytes) -> bytes:
    """Three bytes of length, one that counts the packets of an exchange."""
    return len(payload).to_bytes(3, "little") + bytes((number & 255,)) + payload


def native_answer(password: bytes, scramble: bytes) -> bytes:
    """The proof of mysql_native_password; SHA-1 is the protocol's choice."""
    if not password:
        return b""
    stage = hashlib.sha1(password, usedforsecurity=False).digest()
    mask = hashlib.sha1(scramble + hashlib.sha1(stage, usedforsecurity=False).digest(), usedforsecurity=False)
    return _xor(stage, mask.digest())


def sha2_answer(password: bytes, scramble: bytes) -> bytes:
    """The proof of caching_sha2_password for a server that has us in its cache."""
    if not password:
        return b""
    stage = hashlib.sha256(password).digest()
    return _xor(stage, hashlib.sha256(hashlib.sha256(stage).digest() + scramble).digest())


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class MysqlProbe(Conversation):
    """Greeting, login, query."""

    def __init__(self, check: MysqlCheck, tls: Tls | None = None) -> None:
        """With `tls` the login is held over TLS."""
        super().__init__("the greeting")
        self._tls = tls
        self._check = check
        self._state: Callable[[int, bytes], Step] = self._greeting
        self._version = ""
        self._columns = self._left = 0
        self._tried: set[bytes] = set()
        self._told = False

    def listen(self) -> Step:
        while len(self.heard) >= 4:
            size = int.from_bytes(self.heard[:3], "little")
            if size > MAX_ANSWER - 4:
                raise Malformed("not a MySQL packet, or too long")
            if len(self.heard) < 4 + size:
                return b""
            number, payload = self.heard[3], self.heard[4 : 4 + size]
            self.heard = self.heard[4 + size :]
            if not payload:
                raise Malformed("an empty packet")
            if payload[0] == _ERROR:
                return self._error(payload)
            step = self._state(number, payload)
            if step:
                return step
        return b""

    def _error(self, payload: bytes) -> Finding:
        code = int.from_bytes(payload[1:3], "little")
        text = payload[3:]
        return self.refused(printable(text[6:] if text[:1] == b"#" else text), code)

    def _greeting(self, number: int, payload: bytes) -> Step:
        version, end, rest = payload[1:].partition(b"\0")
        if payload[0] not in (9, 10) or not end:
            raise Malformed("not a MySQL greeting")
        self._version = printable(version)
        if self._check.user is None:
            return Finding("L7OK", self._version)
        self.waiting_for = f"the login of {self._check.user}"
        self._state = self._authenticating
        user = self._check.user.encode() + b"\0"
        if self._check.version == "pre-41":
            return packet(number + 1, struct.pack("<H", _LONG_PASSWORD) + b"\0\0\1" + user)
        scramble, plugin, capabilities = _challenge(rest)
        flags = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE_CONNECTION | (capabilities & _PLUGIN_AUTH)
        if plugin not in (_NATIVE, _SHA2):
            plugin = _NATIVE  # the server will ask for another
        proof = self._proof(plugin, scramble)
        login = user + bytes((len(proof),)) + proof + (plugin + b"\0" if flags & _PLUGIN_AUTH else b"")
        if self._tls is None:
            return packet(number + 1, _terms(flags) + login)
        if not capabilities & _SSL:
            return self.refused("it speaks no TLS")
        if self.heard:
            raise Malformed("it says more in clear text than its greeting")
        terms = _terms(flags | _SSL)
        return StartTls(packet(number + 1, terms), then=packet(number + 2, terms + login))

    def _proof(self, plugin: bytes, scramble: bytes) -> bytes:
        make = native_answer if plugin == _NATIVE else sha2_answer
        return make(self._check.password.encode(), scramble[:20])

    def _authenticating(self, number: int, payload: bytes) -> Step:
        if payload[0] == _OK:
            return self._logged_in()
        if payload[0] == _MORE:
            if payload[1:2] == b"\3":
                return b""  # it knows us: OK follows
            if self._tls is not None and self._tls.verify and payload[1:2] == b"\4" and not self._told:
                self._told = True
                return packet(number + 1, self._check.password.encode() + b"\0")
            return self.refused(
                "caching_sha2_password wants the password itself, which is not sent in clear text: "
                "use starttls with verify, or mysql_native_password"
            )
        if payload[0] != _SWITCH:
            raise Malformed("not an answer to a login")
        plugin, _, scramble = payload[1:].partition(b"\0")
        if plugin not in (_NATIVE, _SHA2):
            return self.refused(
                f"the server wants {printable(plugin) or 'an old password'}, which is not offered"
            )
        if plugin in self._tried:
            raise Malformed("a login without end")
        self._tried.add(plugin)
        return packet(number + 1, self._proof(plugin, scramble))

    def _logged_in(self) -> Step:
        if self._check.query is None:
            return self._passed()
        wanted = f" to give {self._check.expect}" if self._check.expect is not None else ""
        self.waiting_for = f"{self._check.query}{wanted}"
        self._state = self._column_count
        return packet(0, b"\3" + self._check.query.encode())

    def _column_count(self, _number: int, payload: bytes) -> Step:
        if payload[0] == _OK:
            return self._judge(None)
        if payload[0] == _LOCAL_FILE or payload[0] > 0xFB:
            raise Malformed("not a result")
        self._columns = payload[0]
        self._state = self._definitions
        self._left = self._columns
        return b""

    def _definitions(self, _number: int, payload: bytes) -> Step:
        if self._left:
            self._left -= 1
        elif payload[0] == _SWITCH:  # the end of the definitions
            self._state = self._row
        else:
            raise Malformed("not a result")
        return b""

    def _row(self, _number: int, payload: bytes) -> Step:
        if payload[0] == _SWITCH and len(payload) < 9:
            return self._judge(None)
        value: bytes | None = None
        for _ in range(self._columns):
            value, payload = _text(payload)
        return self._judge(value)

    def _judge(self, value: bytes | None) -> Step:
        if self._check.expect is None or value == self._check.expect.encode():
            return self._passed()
        found, wanted = (
            "nothing" if value is None else printable(value),
            printable(self._check.expect.encode()),
        )
        return Parting(QUIT, self.refused(f"the query gave {found}, not {wanted}"))

    def _passed(self) -> Parting:
        return Parting(QUIT, Finding("L7OK", self._version))


def _terms(flags: int) -> bytes:
    """How a login begins, and alone what asks for TLS."""
    return struct.pack("<IIB23x", flags, _MAX_PACKET, _UTF8)


def _challenge(rest: bytes) -> tuple[bytes, bytes, int]:
    """Scramble, authentication plugin and capabilities, from what follows the version in a greeting."""
    if len(rest) < 15:
        raise Malformed("a greeting that ends early")
    scramble, capabilities = rest[4:12], int.from_bytes(rest[13:15], "little")
    if len(rest) < 31:
        return scramble, _NATIVE, capabilities
    capabilities |= int.from_bytes(rest[18:20], "little") << 16
    size = max(13, rest[20] - 8)
    scramble += rest[31 : 31 + size]
    plugin = rest[31 + size :].partition(b"\0")[0] if capabilities & _PLUGIN_AUTH else _NATIVE
    return scramble, plugin, capabilities


def _text(data: bytes) -> tuple[bytes | None, bytes]:
    """A length-encoded string, or NULL, and what is behind it."""
    if not data:
        raise Malformed("a row that ends early")
    size, at = data[0], 1
    if size == _NULL:
        return None, data[1:]
    if size > _NULL:
        width = {0xFC: 2, 0xFD: 3}.get(size)
        if width is None:
            raise Malformed("a value that is too long")
        size, at = int.from_bytes(data[1 : 1 + width], "little"), 1 + width
    if len(data) < at + size:
        raise Malformed("a row that ends early")
    return data[at : at + size], data[at + size :]
