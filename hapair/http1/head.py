"""HTTP/1 message heads: validated once, kept as the lines that arrived (RFC 9112 sections 2-5).

Hot.  The idioms are measured (docs/adr/001): `bytes.translate` rejects control
bytes at memcpy speed, one `split` makes the lines, a bounded dict from raw
header name to its kind sends only special headers down a slow path.  A head is
never rebuilt: lines are dropped or added and joined again.

`in` is not used on bytes: it asks first whether what it looks for is a number, and takes three times as long
as `find`.

Law: what is not certainly valid raises BadMessage, and nothing of it is forwarded.

Longer than most files: requests and responses share tables but not their loops; a
function called for each header line would cost more than the line.
"""

from __future__ import annotations

import re
from typing import Any, Final

from hapair.errors import BadMessage
from hapair.http1.framing import (
    CHUNKED,
    NO_OPTIONS,
    TOKEN,
    UNTIL_CLOSE,
    ConnectionOptions,
    check_transfer_encoding,
    connection_options,
    content_length,
)

MAX_HEAD: Final = 16384 - 1024
"""Bytes of one head; HAProxy's tune.bufsize less tune.maxrewrite."""
MAX_HEADERS: Final = 100

_CLEAN: Final = bytes(32 if (b < 32 and b not in b"\t\n\r") or b == 127 else b for b in range(256))
"""Changes what has a control byte, and nothing else: no other check of many bytes is as fast."""
_TARGET: Final = bytes(b for b in range(0x21, 0x7F) if b not in b'#"<>\\^`{|}')
_LENIENT_TARGET: Final = bytes(b for b in range(0x21, 0x7F) if b not in b"#")
METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?@]*)([/?].*)?")
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9\-._~]+):([0-9]{1,5})")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
# The outer repetition is not possessive: in Python 3.11.2 (Debian 12; 3.11.7 is right) such a group swallows
# what it has tried in vain, here the end of a line.
_FOLD: Final = re.compile(rb"(?<![ \t])(?:[ \t]*+\r\n[ \t]++)+")
"""Tried only where white space begins, and never twice: else a long run of blanks takes quadratic time."""
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")

# Kinds of header that need a look; every other valid name is 0.
_HOST_HEADER: Final = 1
_LENGTH: Final = 2
_CODING: Final = 3
_CONNECTION: Final = 4
_DROP: Final = 5
_UPGRADE: Final = 6
_EXPECT: Final = 7
_COOKIE: Final = 8
_SET_COOKIE: Final = 9
_SPECIAL: Final = {
    b"host": _HOST_HEADER,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"keep-alive": _DROP,
    b"proxy-connection": _DROP,
    b"te": _DROP,
    b"http2-settings": _DROP,
    b"upgrade": _UPGRADE,
    b"expect": _EXPECT,
    b"cookie": _COOKIE,
    b"set-cookie": _SET_COOKIE,
}
_kinds: Final[dict[bytes, int]] = {}
_hosts: Final[set[bytes]] = set()
_CACHE_SIZE: Final = 4096


class Limits:
    """How large a head may be."""

    __slots__ = ("head", "headers", "line")

    def __init__(self, line: int = MAX_HEAD, head: int = MAX_HEAD, headers: int = MAX_HEADERS) -> None:
        """Bytes of the request line and of the whole head, and header lines."""
        self.line = min(line, head)
        self.head = head
        self.headers = headers


STANDARD: Final = Limits()


class Seen:
    """A part of a head that came before, byte for byte; shared by all requests that have it."""

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        """What has been found out about it (`proxy.steady`)."""


class Head:
    """The lines of a head: joined as they will be sent, until somebody wants to see or change them."""

    __slots__ = ("_lines", "known", "wire")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.wire = b""
        """All lines in one; empty while there is a list of them."""
        self.known: dict[bytes, list[bytes]] | None = None
        """The values of each header by its name in small letters, shared by all heads that say the same:
        not to be changed, and true only while there is `wire`.
        """

    @property
    def lines(self) -> list[bytes]:
        """The request or status line, and the header lines that travel on."""
        if self.wire:
            self._lines = self.wire.split(b"\r\n")
            self.wire = b""
        return self._lines

    @lines.setter
    def lines(self, lines: list[bytes]) -> None:
        self._lines = lines
        self.wire = b""

    def add(self, line: bytes) -> None:
        """Append a line."""
        if self.wire:
            self.wire = b"%b\r\n%b" % (self.wire, line)
            self.known = None
        else:
            self._lines.append(line)

    def joined(self) -> bytes:
        """The head as it is sent, with its final empty line."""
        if self.wire:
            return b"%b\r\n\r\n" % self.wire
        return b"\r\n".join(self._lines) + b"\r\n\r\n"


class Request(Head):
    """One request head, ready to be routed, edited and sent on."""

    __slots__ = (
        "about",
        "cookies",
        "dropped",
        "expect",
        "fields_seen",
        "host",
        "length",
        "line_seen",
        "method",
        "options",
        "path",
        "query",
        "source",
        "target",
        "text",
        "upgrade",
        "version",
    )

    def __init__(self) -> None:
        super().__init__()
        self.text = b""
        """The request line as a log line has it, where that is known; else empty."""
        self.method = b""
        self.target = b""
        """As received, for the log."""
        self.path = b""
        """Empty for CONNECT and `OPTIONS *`, as in HAProxy: rules on paths do not apply."""
        self.query = b""
        self.version = 11
        self.dropped: list[bytes] = []
        """Hop-by-hop header lines: visible to rules, not to servers."""
        self.host: bytes | None = None
        self.length = 0
        """Body bytes, or CHUNKED."""
        self.options: ConnectionOptions = NO_OPTIONS
        self.upgrade: bytes | None = None
        """Protocol of an Upgrade that travels on."""
        self.expect = False
        self.cookies: list[bytes] = []
        """Cookie header lines, also in `lines`."""
        self.source = ""
        """The client's address, set by the session; rules ask for it."""
        self.line_seen: Seen | None = None
        self.fields_seen: Seen | None = None
        """The request line and the header lines, where such came before."""
        self.about: Any = None
        """The transaction, set by the session where rules ask for more; opaque here."""

    @property
    def as_it_came(self) -> bool:
        """Are `line_seen` and `fields_seen` still what the head says?"""
        return self.fields_seen is not None and self.known is not None and self.wire != b""

    def header(self, name: bytes) -> list[bytes]:
        """The values of every line named `name` (lower case), hop-by-hop ones included."""
        if self.wire and self.known is not None:
            found = self.known.get(name)
            return [] if found is None else found[:]
        return _values(self.lines, name) + _values(self.dropped, name)

    def index(self) -> None:
        """Many are about to ask for headers by their names."""
        if self.known is None and not self.wire:
            self.known = by_name(self._lines, self.dropped)
            self.wire = b"\r\n".join(self._lines)
            self.line_seen = self.fields_seen = None  # it may have been edited

    def sends(self, name: bytes) -> bool:
        """Does a header line named `name` (lower case) travel on?"""
        return bool(_values(self.lines, name))


class Response(Head):
    """One response head."""

    __slots__ = ("cached", "cookies", "length", "options", "status", "upgrade", "version")

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.version = 11
        self.cached = 0
        """What it says to caches (`caching`), while there is `wire`."""
        self.length = UNTIL_CLOSE
        self.options: ConnectionOptions = NO_OPTIONS
        self.upgrade: bytes | None = None
        self.cookies: list[bytes] = []
        """Set-Cookie header lines, also in `lines`."""


def by_name(lines: list[bytes], dropped: list[bytes]) -> dict[bytes, list[bytes]]:
    """The values of each header by its name in small letters; the first of `lines` is none."""
    known: dict[bytes, list[bytes]] = {}
    for line in lines[1:] + dropped:
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip(b" \t")
        found = known.get(name)
        if found is None:
            known[name] = [value]
        else:
            found.append(value)
    return known


def parse_request(block: bytes, limits: Limits = STANDARD) -> Request:
    """Parse a head without its final empty line.

    Raises:
        BadMessage: with the status for the client and the reason for the log.
    """
    if block.find(b"\r\n", 0, limits.line + 2) < 0 and len(block) > limits.line:
        raise BadMessage(414, "request line too long")
    lines = _split(block, limits)
    request = Request()
    request.lines = lines
    method, target, version = request_line(lines[0])
    request.method = method
    request.target = target
    request.version = version
    host: bytes | None = None
    drops: list[int] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    upgrades: list[bytes] = []
    kinds = _kinds
    for i in range(1, len(lines)):
        name, colon, value = lines[i].partition(b":")
        kind = kinds.get(name)
        if kind is None:
            kind = _learn(name, lines[i])
        if not colon:
            raise BadMessage(400, "header line without a colon")
        if not kind:
            continue
        value = value.strip(b" \t")
        if kind == _HOST_HEADER:
            if host is not None:
                raise BadMessage(400, "more than one Host")
            host = value
            if value not in _hosts:
                _check_host(value)
        elif kind == _COOKIE:
            request.cookies.append(lines[i])
        elif kind == _CONNECTION:
            if request.options is not NO_OPTIONS:
                value = b",".join(_values(request.dropped + lines[1 : i + 1], b"connection"))
            request.options = connection_options(value)
            drops.append(i)
        elif kind == _LENGTH:
            lengths.append(value)
            if value[:1] == b"0" and value != b"0" and content_length([value], merge=False) >= 0:
                lines[i] = b"Content-Length: %d" % int(value)
        elif kind == _CODING:
            codings.append(value)
        elif kind == _EXPECT:
            if value.lower() != b"100-continue":
                raise BadMessage(417, "unknown expectation")
            request.expect = True
        elif kind == _UPGRADE:
            upgrades.append(value)
            drops.append(i)
        elif kind == _DROP:
            drops.append(i)
    if codings:
        if lengths:
            raise BadMessage(400, "both Content-Length and Transfer-Encoding")
        check_transfer_encoding(codings, version)
        request.length = CHUNKED
    elif lengths:
        request.length = content_length(lengths, merge=False)
    if host is None and version == 11:
        raise BadMessage(400, "HTTP/1.1 without Host")
    request.host = host
    if drops:
        for i in reversed(drops):
            request.dropped.append(lines.pop(i))
        if request.options.nominated:
            _drop_nominated(request)
        if upgrades and request.options.upgrade and version == 11 and not request.length:
            request.upgrade = _upgrade(upgrades)
    if target[0] == 0x2F:
        path, _, request.query = target.partition(b"?")
        request.path = path
    else:
        _other_target(request, host)
    return request


def parse_response(block: bytes, limits: Limits = STANDARD) -> Response:
    """Parse a response head without its final empty line.

    Framing is by the head alone; the caller knows about HEAD requests and the
    statuses that have no body.

    Raises:
        BadMessage: always 502.
    """
    try:
        return _parse_response(block, limits)
    except BadMessage as error:
        raise BadMessage(502, error.why) from None


def incomplete_mistake(data: bytes, limits: Limits = STANDARD) -> BadMessage | None:
    """What is already certainly wrong with a request head that has not ended yet, if anything."""
    if _BARE_LF.search(data):
        return BadMessage(400, "line ends with a bare LF")
    line, ended, _ = data.partition(b"\r\n")
    if len(line) - (not ended and line[-1:] == b"\r") > limits.line:
        return BadMessage(414, "request line too long")
    if ended:
        try:
            request_line(line)
        except BadMessage as error:
            return error
    elif TOKEN.fullmatch(data.partition(b" ")[0]) is None:
        return BadMessage(400, "invalid character in the method")
    if len(data) > limits.head + 3:  # nor does what may be the beginning of its end
        return BadMessage(431, "head too large")
    return None


def _split(block: bytes, limits: Limits) -> list[bytes]:
    if block.translate(_CLEAN) != block:
        raise BadMessage(400, "control character in the head")
    if len(block) > limits.head:
        raise BadMessage(431, "head too large")
    lines = block.split(b"\r\n")
    breaks = len(lines) - 1
    if block.count(b"\n") != breaks or block.count(b"\r") != breaks:
        raise BadMessage(400, "bare CR or LF in the head")
    if breaks > limits.headers:
        raise BadMessage(431, f"more than {limits.headers} header lines")
    return lines


def request_line(line: bytes) -> tuple[bytes, bytes, int]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadMessage(400, "request line is not 'method target version'")
    method, target, version = parts
    if method not in METHODS:
        if TOKEN.fullmatch(method) is None:
            raise BadMessage(400, "invalid character in the method")
        if method == b"CONNECT" and target[:1] == b"/":
            raise BadMessage(400, "CONNECT target is not host:port")
    if version == b"HTTP/1.1":
        number = 11
    elif version == b"HTTP/1.0":
        number = 10
    else:
        raise BadMessage(505 if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version) else 400, "unsupported version")
    if not target or target.translate(None, _LENIENT_TARGET):
        raise BadMessage(400, "invalid character in the target")
    return method, target, number


def _learn(name: bytes, line: bytes) -> int:
    """The kind of a header name that was not seen before; remembered while there is room."""
    if TOKEN.fullmatch(name) is None:
        if line[:1] in (b" ", b"\t"):
            raise BadMessage(400, "folded header line")
        if not line:
            raise BadMessage(400, "empty line in the head")
        if name.rstrip(b" \t") != name and b":" in line:
            raise BadMessage(400, "white space before the colon")
        raise BadMessage(400, "invalid header name")
    kind = _SPECIAL.get(name.lower(), 0)
    if len(_kinds) < _CACHE_SIZE and len(name) <= 64:
        _kinds[name] = kind
    return kind


def _check_host(value: bytes) -> None:
    if _HOST.fullmatch(value) is None:
        raise BadMessage(400, "invalid Host")
    if len(_hosts) < _CACHE_SIZE and len(value) <= 255:
        _hosts.add(value)


def _values(lines: list[bytes], name: bytes) -> list[bytes]:
    found = []
    size = len(name)
    for line in lines:
        if line[size : size + 1] == b":" and line[:size].lower() == name:
            found.append(line[size + 1 :].strip(b" \t"))
    return found


def _drop_nominated(message: Request) -> None:
    nominated = message.options.nominated
    kept = message.lines[:1]
    for line in message.lines[1:]:
        (message.dropped if line.partition(b":")[0].lower() in nominated else kept).append(line)
    message.lines = kept
    message.cookies = [line for line in message.cookies if line in kept]
    if b"expect" in nominated:
        message.expect = False


def _upgrade(values: list[bytes]) -> bytes | None:
    """The one protocol that may be upgraded to; never h2c: it hides requests (RFC 9113 removed it)."""
    if len(values) == 1 and values[0].lower() != b"h2c" and TOKEN.fullmatch(values[0].replace(b"/", b"", 1)):
        return values[0]
    return None


def _other_target(request: Request, host: bytes | None) -> None:
    """Absolute, authority and asterisk forms (RFC 9112 section 3.2)."""
    target = request.target
    if request.method == b"CONNECT":
        authority = _AUTHORITY.fullmatch(target)
        if authority is None or not 0 < int(authority[1]) < 65536:
            raise BadMessage(400, "CONNECT target is not host:port")
        if request.length:
            raise BadMessage(400, "CONNECT with a body")
        if host is not None and host.lower() != target.lower():
            raise BadMessage(400, "target and Host differ")
        return
    if target == b"*":
        if request.method != b"OPTIONS":
            raise BadMessage(400, "asterisk target without OPTIONS")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None or not absolute[1]:
        raise BadMessage(400, "target is neither a path nor a valid URI")
    if host is not None and absolute[1].lower() != host.lower():
        raise BadMessage(400, "target and Host differ")
    origin: bytes = absolute[2] or b"/"
    if origin[:1] == b"?":
        origin = b"/" + origin
    request.path, _, request.query = origin.partition(b"?")
    request.lines[0] = b"%s %s HTTP/1.%d" % (request.method, origin, request.version - 10)
    if host is None:
        request.lines.insert(1, b"Host: " + absolute[1])
        request.host = absolute[1]


def _parse_response(block: bytes, limits: Limits) -> Response:
    if block.find(b"\n ") >= 0 or block.find(b"\n\t") >= 0:
        # Servers are not ours to mend: a fold becomes one space (RFC 9112 section 5.2).
        first, crlf, rest = block.partition(b"\r\n")
        if rest[:1] in (b" ", b"\t"):
            raise BadMessage(502, "fold before the first header")
        block = first + crlf + _FOLD.sub(b" ", rest)
    lines = _split(block, limits)
    matched = _STATUS_LINE.fullmatch(lines[0])
    if matched is None:
        raise BadMessage(502, "invalid status line")
    response = Response()
    response.lines = lines
    response.status = int(matched[2])
    response.version = 11 if matched[1] == b"1" else 10
    drops: list[int] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    upgrades: list[bytes] = []
    kinds = _kinds
    for i in range(1, len(lines)):
        name, colon, value = lines[i].partition(b":")
        kind = kinds.get(name)
        if kind is None:
            kind = _learn(name, lines[i])
        if not colon:
            raise BadMessage(502, "header line without a colon")
        if not kind:
            continue
        value = value.strip(b" \t")
        if kind == _LENGTH:
            if lengths:
                drops.append(i)
            lengths.append(value)
        elif kind == _SET_COOKIE:
            response.cookies.append(lines[i])
        elif kind == _CODING:
            codings.append(value)
        elif kind == _CONNECTION:
            if response.options is not NO_OPTIONS:
                value = b",".join(_values(lines[1 : i + 1], b"connection"))
            response.options = connection_options(value)
            drops.append(i)
        elif kind == _UPGRADE:
            upgrades.append(value)
            drops.append(i)
        elif kind == _DROP:
            drops.append(i)
    if codings:
        if lengths:
            raise BadMessage(502, "both Content-Length and Transfer-Encoding")
        check_transfer_encoding(codings, response.version)
        response.length = CHUNKED
    elif lengths:
        response.length = content_length(lengths, merge=True)
        if len(lengths) > 1 or b"," in lengths[0] or lengths[0][:1] == b"0":
            at = next(
                i for i in range(1, len(lines)) if lines[i].partition(b":")[0].lower() == b"content-length"
            )
            lines[at] = b"Content-Length: %d" % response.length
    if upgrades and response.options.upgrade:
        response.upgrade = upgrades[0]
    for i in reversed(drops):
        del lines[i]
    if response.options.nominated:
        nominated = response.options.nominated
        response.lines = lines[:1] + [n for n in lines[1:] if n.partition(b":")[0].lower() not in nominated]
        response.cookies = [line for line in response.cookies if line in response.lines]
    return response
