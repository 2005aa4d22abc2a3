"""How long a message's body is, and what its Connection header asks (RFC 9112 sections 6 and 9).

This is where requests are smuggled, so the law is: one way to read it, or no
forwarding at all.  Both Content-Length and Transfer-Encoding, differing or
oddly spelled lengths, any transfer coding but a single final `chunked`: refused.
"""

from __future__ import annotations

import re
from typing import Final

from hapair.errors import BadMessage

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
"""Only responses: the body ends when the server closes."""

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_PROTECTED: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
_CACHE_SIZE: Final = 512


def content_length(values: list[bytes], *, merge: bool) -> int:
    """The one length that every Content-Length value states.

    `merge` accepts identical repetitions (RFC 9110 section 8.6), which we do for
    servers but not for clients.

    Raises:
        BadMessage: 400, no single valid length.
    """
    if len(values) > 1 or b"," in values[0]:
        if not merge:
            raise BadMessage(400, "more than one Content-Length")
        values = [item.strip(b" \t") for value in values for item in value.split(b",")]
    if any(_LENGTH.fullmatch(value) is None for value in values):
        raise BadMessage(400, "Content-Length is not a plain decimal number")
    lengths = {int(value) for value in values}
    if len(lengths) > 1:
        raise BadMessage(400, "differing Content-Length values")
    return lengths.pop()


def check_transfer_encoding(values: list[bytes], version: int) -> None:
    """Accept exactly one transfer coding, `chunked`, and only in HTTP/1.1.

    Raises:
        BadMessage: 400, or 501 for a coding that we do not know (RFC 9112 section 6.1).
    """
    if version < 11:
        raise BadMessage(400, "Transfer-Encoding in HTTP/1.0")
    if len(values) != 1:
        raise BadMessage(400, "more than one Transfer-Encoding")
    if values[0].lower() != b"chunked":
        raise BadMessage(501, "Transfer-Encoding is not exactly 'chunked'")


class ConnectionOptions:
    """What one Connection header value asks for; immutable, shared between messages."""

    __slots__ = ("close", "keep_alive", "nominated", "upgrade")

    def __init__(self, tokens: list[bytes]) -> None:
        self.close = b"close" in tokens
        self.keep_alive = b"keep-alive" in tokens
        self.upgrade = b"upgrade" in tokens
        self.nominated = frozenset(tokens) - {b"close", b"keep-alive", b"upgrade"}
        """Lower-case names of headers that must not travel on (RFC 9110 section 7.6.1)."""


_options: dict[bytes, ConnectionOptions] = {}

NO_OPTIONS: Final = ConnectionOptions([])


def connection_options(value: bytes) -> ConnectionOptions:
    """Parse a Connection header's value; common values are looked up, not parsed.

    Raises:
        BadMessage: 400, not a list of tokens, or it nominates a header that frames the message.
    """
    known = _options.get(value)
    if known is not None:
        return known
    tokens = [token for item in value.lower().split(b",") if (token := item.strip(b" \t"))]
    if any(TOKEN.fullmatch(token) is None for token in tokens):
        raise BadMessage(400, "Connection is not a list of tokens")
    options = ConnectionOptions(tokens)
    if options.nominated & _PROTECTED:
        raise BadMessage(400, "Connection nominates a header that cannot be dropped")
    if len(_options) < _CACHE_SIZE and len(value) < 64:
        _options[value] = options
    return options
