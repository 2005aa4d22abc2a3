"""Heads that were parsed before: clients repeat their header lines byte for byte, and servers whole heads.

Hot.  Parsing is a pure function of the bytes, so what it found may be kept.  Law: a memo never decides
anything; what it does not know for certain goes to `http1.head`, which stays the only judge, and nothing
that is mutable is shared between two messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hapair.errors import BadMessage
from hapair.http1 import head
from hapair.http1.caching import caching
from hapair.http1.head import METHODS, STANDARD, Limits, Request, Response, Seen
from hapair.http1.printable import request_line as logged_line

if TYPE_CHECKING:
    from hapair.http1.framing import ConnectionOptions

LONGEST: Final = 1024
"""Bytes of a head that is kept; longer ones are rarely repeated."""
GENERATION: Final = 256
"""Heads in one of the two generations; with `LONGEST` that bounds what a stranger can make us keep: 2 MiB."""
PAUSE: Final = 16
"""So many generations of heads are not looked up after one in which too few were found again."""
WORTH: Final = 4
"""One look-up in so many must pay off: what a hit saves, to what a miss costs."""


class Memo:
    """Bytes to what was made of them; what was not asked for during a whole generation is forgotten.

    Where nearly every head is new, looking up is given up for a while, so that misses cost next to nothing.
    """

    __slots__ = ("_found", "_generation", "_old", "_pause", "_young")

    def __init__(self, generation: int = GENERATION) -> None:
        self._generation = generation
        self._young: dict[bytes, Any] = {}
        self._old: dict[bytes, Any] = {}
        self._found = 0
        """Look-ups that paid off in this generation."""
        self._pause = 0

    def find(self, block: bytes) -> Any:
        """What was kept for these bytes, or None."""
        if self._pause:
            self._pause -= 1
            return None
        known = self._young.get(block)
        if known is not None:
            self._found += 1
            return known
        known = self._old.get(block)
        if known is not None:
            self._found += 1
            self.keep(block, known)
        return known

    @property
    def keeps(self) -> bool:
        """Is it worth making something to keep?"""
        return not self._pause

    def keep(self, block: bytes, made: Any) -> None:
        """Remember what was made of these bytes: something immutable."""
        if self._pause:
            return
        young = self._young
        young[block] = made
        if len(young) >= self._generation:
            if self._found * WORTH < self._generation:
                self._pause = self._generation * PAUSE
            self._found = 0
            self._old = young
            self._young = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class _Fields(Seen):
    """What the header lines of a request say, whatever its request line."""

    __slots__ = (
        "cookies",
        "count",
        "dropped",
        "expect",
        "host",
        "known",
        "length",
        "options",
        "upgrade",
        "wire",
    )

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.count = len(request.lines) - 1 + len(request.dropped)
        self.wire = b"".join([b"\r\n" + line for line in request.lines[1:]])
        self.known = head.by_name(request.lines, request.dropped)
        self.dropped = tuple(request.dropped)
        self.host = request.host
        self.length = request.length
        self.options: ConnectionOptions = request.options
        self.upgrade = request.upgrade
        self.expect = request.expect
        self.cookies = tuple(request.cookies)


class _Line(Seen):
    """A request line of HTTP/1.1 with a path."""

    __slots__ = ("method", "path", "query", "target", "text")

    def __init__(self, request: Request, line: bytes) -> None:
        super().__init__()
        self.method = request.method
        self.target = request.target
        self.path = request.path
        self.query = request.query
        self.text = logged_line(line)


class _Known:
    """A response head."""

    __slots__ = ("cached", "cookies", "count", "length", "options", "status", "upgrade", "version", "wire")

    def __init__(self, response: Response, count: int) -> None:
        self.count = count
        """Of header lines, as they came."""
        self.status = response.status
        self.version = response.version
        self.wire = b"\r\n".join(response.lines)
        self.cached = caching(response.lines)
        self.length = response.length
        self.options: ConnectionOptions = response.options
        self.upgrade = response.upgrade
        self.cookies = tuple(response.cookies)


_lines: Final = Memo()
_requests: Final = Memo()
_responses: Final = Memo()


def parse_request(
    block: bytes, memo: Memo = _requests, known_lines: Memo = _lines, limits: Limits = STANDARD
) -> Request:
    """What `head.parse_request` finds in a head without its final empty line.

    Raises:
        BadMessage: with the status for the client and the reason for the log.
    """
    end = block.find(b"\r\n")
    size = len(block)
    if end < 0 or size - end > LONGEST or size > limits.head or end > limits.line:
        return head.parse_request(block, limits)
    rest = block[end:]
    fields: _Fields | None = memo.find(rest)
    if fields is None or fields.count > limits.headers:
        request = head.parse_request(block, limits)
        if memo.keeps and request.version == 11 and request.target[0] == 0x2F:
            # Other versions and targets change what the header lines mean.
            memo.keep(rest, _Fields(request))
        return request
    line = block[:end]
    said: _Line | None = known_lines.find(line) if end <= LONGEST else None
    if said is None:
        try:
            method, target, version = head.request_line(line)
        except BadMessage:
            version = 0
        if version != 11 or target[:1] != b"/" or method not in METHODS:
            return head.parse_request(block, limits)
        request = Request()
        request.method = method
        request.target = target
        request.path, _, request.query = target.partition(b"?")
        if end <= LONGEST and known_lines.keeps:
            said = _Line(request, line)
            request.text = said.text
            request.line_seen = said
            known_lines.keep(line, said)
    else:
        request = Request()
        request.method = said.method
        request.target = said.target
        request.path = said.path
        request.query = said.query
        request.text = said.text
        request.line_seen = said
    request.wire = line + fields.wire
    request.known = fields.known
    request.fields_seen = fields
    if fields.dropped:
        request.dropped = list(fields.dropped)
    request.host = fields.host
    request.length = fields.length
    request.options = fields.options
    request.upgrade = fields.upgrade
    request.expect = fields.expect
    if fields.cookies:
        request.cookies = list(fields.cookies)
    return request


def parse_response(block: bytes, memo: Memo = _responses, limits: Limits = STANDARD) -> Response:
    """What `head.parse_response` finds.

    Raises:
        BadMessage: always 502.
    """
    if len(block) > LONGEST:
        return head.parse_response(block, limits)
    known: _Known | None = memo.find(block)
    if known is None or known.count > limits.headers:
        response = head.parse_response(block, limits)
        if memo.keeps:
            memo.keep(block, _Known(response, block.count(b"\r\n")))
        return response
    response = Response()
    response.status = known.status
    response.version = known.version
    response.wire = known.wire
    response.cached = known.cached
    response.length = known.length
    response.options = known.options
    response.upgrade = known.upgrade
    if known.cookies:
        response.cookies = list(known.cookies)
    return response
