"""The ClientHello with which a TLS connection begins (RFC 8446 section 4.1.2), as far as rules ask about it.

Strict and bounded: every length must add up exactly, and what does not is no
hello at all, so that nobody is routed by a name that a server would read
otherwise.  A hello may come in several records, as RFC 8446 section 5.1 allows.
"""

from __future__ import annotations

import re

import attrs

LONGEST = 16384
"""Bytes of a connection in which its hello must be complete."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_CURVES = 10
_ALPN = 16
_TICKET = 35
_HOST_NAME = 0
_NAME = re.compile(rb"[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")


@attrs.frozen
class Hello:
    """How a connection begins."""

    kind: int = 0
    """HAProxy's `req.ssl_hello_type`: 1 for a ClientHello, 0 for anything else."""
    server_name: bytes = b""
    """The name that the client asks for (RFC 6066 section 3) as it was sent; empty for none."""
    version: int = 0
    """Its legacy_version: 0x0303 for TLS 1.2 and later; 0 if it is none."""
    protocol: bytes = b""
    """What it would rather speak than anything else (ALPN, RFC 7301); empty if it does not say."""
    has_curves: bool = False
    """It names elliptic curves (RFC 8422 section 5.1)."""
    ticket: int | None = None
    """Bytes of its session ticket (RFC 5077); -1 without that extension, None without any."""


OTHER = Hello()
"""Not TLS, or not as it must be."""


class _MalformedError(Exception):
    pass


class _Reader:
    """Takes fields from bytes; never beyond their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise _MalformedError
        self._at += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> _Reader:
        """What follows a length of `size` bytes."""
        return _Reader(self.take(self.number(size)))

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def look(data: bytes) -> Hello | None:
    """What a connection that begins with `data` is; None while that cannot be said."""
    try:
        message = _handshake(data)
        return None if message is None else _client_hello(_Reader(message))
    except _MalformedError:
        return OTHER


def _handshake(data: bytes) -> bytes | None:
    """The body of the first handshake message, which is a ClientHello; None while it is incomplete."""
    message = b""
    at = 0
    while True:
        head = data[at : at + 5]
        if head[:1] not in (b"", bytes([_HANDSHAKE])) or head[1:2] not in (b"", b"\x03"):
            raise _MalformedError
        if len(head) == 5 and not 0 < int.from_bytes(head[3:5], "big") <= LONGEST:
            raise _MalformedError  # an empty record may not carry a handshake message
        size = int.from_bytes(head[3:5], "big") if len(head) == 5 else 0
        message += data[at + 5 : at + 5 + size]
        if message[:1] not in (b"", bytes([_CLIENT_HELLO])):
            raise _MalformedError
        if len(message) >= 4:
            length = int.from_bytes(message[1:4], "big")
            if length > LONGEST:
                raise _MalformedError
            if len(message) >= 4 + length:
                return message[4 : 4 + length]
        if len(head) < 5 or len(data) < at + 5 + size:
            return None
        at += 5 + size


def _client_hello(hello: _Reader) -> Hello:
    version = hello.number(2)
    hello.take(32)  # random
    if hello.vector(1).left > 32:  # session id
        raise _MalformedError
    suites = hello.vector(2).left
    if not suites or suites % 2 or not hello.vector(1).left:  # then compression methods
        raise _MalformedError
    if not hello.left:
        return Hello(_CLIENT_HELLO, version=version)  # as before TLS 1.2 had extensions
    extensions = hello.vector(2)
    if hello.left:
        raise _MalformedError
    names: list[bytes] = []
    protocol = b""
    has_curves = False
    ticket = -1 if extensions.left else None
    while extensions.left:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind == _SERVER_NAME:
            names.append(_server_name(content))
        elif kind == _ALPN and not protocol:
            protocol = _first_protocol(content)
        elif kind == _CURVES:
            has_curves = True
        elif kind == _TICKET:
            ticket = content.left
    if len(names) > 1:
        raise _MalformedError
    return Hello(_CLIENT_HELLO, names[0] if names else b"", version, protocol, has_curves, ticket)


def _first_protocol(content: _Reader) -> bytes:
    """Of a list that adds up, which may be empty."""
    listed = content.vector(2)
    if content.left:
        raise _MalformedError
    first = b""
    while listed.left:
        name = listed.take(listed.number(1))
        first = first or name
    return first


def _server_name(content: _Reader) -> bytes:
    """The one name in a list of one: no client sends more, and RFC 6066 allows no second of a kind."""
    listed = content.vector(2)
    if content.left or listed.number(1) != _HOST_NAME:
        raise _MalformedError
    size = listed.number(2)
    name = listed.take(size)
    if listed.left or size > 255 or _NAME.fullmatch(name) is None:
        raise _MalformedError
    return name
