"""Message bodies as they pass: how many bytes are left, and chunks re-framed (RFC 9112 sections 6 and 7).

Hot for large bodies.  Chunk extensions are dropped and data is re-chunked, so
that a server never sees a byte of framing that a client wrote.
"""

from __future__ import annotations

import re
from typing import Final

from hapair.errors import BadMessage
from hapair.http1.framing import TOKEN

MAX_LINE: Final = 4096
"""Bytes of one chunk-size line with its extensions."""
MAX_EXTENSIONS: Final = 16384
"""Extension bytes beyond the body's own: they carry nothing and cost us time."""
MAX_TRAILERS: Final = 8192

_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"((?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"|\"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*\"))?)*)"
)
_MAX_CHUNK: Final = 1 << 62
_DIRTY: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FRAMING: Final = frozenset({
    b"transfer-encoding", b"content-length", b"host", b"connection", b"trailer", b"content-encoding", b"te",
    b"content-type", b"content-range", b"set-cookie", b"cookie", b"authorization", b"expect", b"upgrade",
})  # fmt: skip
"""Fields that must not come as trailers (RFC 9110 section 6.5.1)."""

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3
_DONE: Final = 4


class ChunkedBody:
    """Strict decoder of a chunked body that feeds back clean chunks.

    `feed` may be called with any split of the bytes.  After `done`, `rest`
    holds what came behind the body.
    """

    __slots__ = (
        "_buffer",
        "_extensions",
        "_left",
        "_state",
        "_trailer_bytes",
        "done",
        "received",
        "rest",
        "trailers",
    )

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0
        self._buffer = b""
        self._extensions = 0
        self._trailer_bytes = 0
        self.trailers: list[bytes] = []
        self.rest = b""
        self.done = False
        self.received = 0
        """Body bytes so far, without framing."""

    def feed(self, data: bytes) -> bytes:
        """Take received bytes and return the body data in them, unframed.

        Raises:
            BadMessage: 400, the framing is broken; nothing after it can be trusted.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at = 0
        size = len(data)
        pieces: list[bytes] = []
        while True:
            if self._state == _DATA:
                end = at + self._left
                if end > size:
                    pieces.append(data[at:size])
                    self._left = end - size
                    break
                pieces.append(data[at:end])
                at = end
                self._state = _DATA_END
            elif self._state == _DATA_END:
                if size - at < 2:
                    if data[at:] not in (b"", b"\r"):
                        raise BadMessage(400, "chunk data is not followed by CRLF")
                    self._buffer = data[at:]
                    break
                if data[at : at + 2] != b"\r\n":
                    raise BadMessage(400, "chunk data is not followed by CRLF")
                at += 2
                self._state = _SIZE
            else:
                end = data.find(b"\n", at)
                if end < 0:
                    self._buffer = data[at:]
                    if len(self._buffer) > MAX_LINE + 1:  # its CR may be here already
                        raise BadMessage(400, "chunk-size line or trailer too long")
                    break
                if end == at or data[end - 1] != 13:
                    raise BadMessage(400, "bare LF in chunk framing")
                line = data[at : end - 1]
                if len(line) > MAX_LINE:
                    raise BadMessage(400, "chunk-size line or trailer too long")
                at = end + 1
                if self._state == _SIZE:
                    self._size_line(line)
                elif self._trailer_line(line):
                    self.rest = data[at:]
                    self.done = True
                    self._state = _DONE
                    break
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.received += len(body)
        return body

    def _size_line(self, line: bytes) -> None:
        matched = _SIZE_LINE.fullmatch(line)
        if matched is None:
            raise BadMessage(400, "invalid chunk-size line")
        self._extensions += len(matched[2])
        if self._extensions > MAX_EXTENSIONS + self.received:
            raise BadMessage(400, "too many chunk extensions")
        self._left = int(matched[1], 16)
        if self._left >= _MAX_CHUNK:
            raise BadMessage(400, "chunk too large")
        self._state = _DATA if self._left else _TRAILERS

    def _trailer_line(self, line: bytes) -> bool:
        """Take one trailer; true at the empty line that ends them."""
        if not line:
            return True
        self._trailer_bytes += len(line)
        name, colon, value = line.partition(b":")
        if not colon or TOKEN.fullmatch(name) is None or _DIRTY.search(value):
            raise BadMessage(400, "invalid trailer")
        if name.lower() in _FRAMING:
            raise BadMessage(400, "forbidden trailer field")
        if self._trailer_bytes > MAX_TRAILERS:
            raise BadMessage(431, "trailers too large")
        self.trailers.append(line)
        return False


def chunk(data: bytes) -> bytes:
    """One chunk; nothing for no data, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: list[bytes]) -> bytes:
    """The end of a chunked body."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"\r\n".join(trailers) + b"\r\n\r\n"
