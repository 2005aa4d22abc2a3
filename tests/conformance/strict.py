"""A strict reader of HTTP/1 messages (RFC 9112): whatever is malformed or ambiguous raises.

It judges what a proxy let through, so it must be stricter than any proxy: the
parser under test is deliberately not used here.  What is not wrong but should
not have been passed on (a chunk extension, a control character) is collected
as `soft`.
"""

from __future__ import annotations

import re

import attrs

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ \t\r\n\x00]+) HTTP/(1\.[01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: (.*))?", re.DOTALL)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;.*)?)", re.DOTALL)
BARE_LF = re.compile(rb"(?<!\r)\n")
BARE_CR = re.compile(rb"\r(?!\n)")
LONGEST_LINE = 300_000

Headers = list[tuple[str, str]]


class Malformed(Exception):  # noqa: N818  # what was seen, not what went wrong here
    """Bytes that no careful implementation may send."""


@attrs.define
class Request:
    """A request as the server saw it."""

    method: str
    target: str
    version: str
    headers: Headers
    record: int = 0
    """The number under which the oracle answered it; 0 while it is not complete."""
    body: bytes = b""
    soft: list[str] = attrs.field(factory=list)

    def header(self, name: str) -> str:
        """The last value of a header, or nothing."""
        return dict(self.headers).get(name, "")

    def __str__(self) -> str:
        return f"{self.method} {self.target[:60]} b{len(self.body)}"


@attrs.define
class Response:
    """A response as the client saw it."""

    status: int
    headers: Headers
    record: int | None
    """The request that the oracle says it answers; None when the proxy made it."""
    body: bytes = b""
    complete: bool = True
    framing: str | None = None
    """`chunked`, `cl`, `close`; None without a body."""


@attrs.define
class Body:
    """What of a body has come."""

    framing: str | None
    length: int = 0
    data: bytearray = attrs.field(factory=bytearray)
    _state: str = "size"
    _left: int = 0

    def read(self, buffer: bytearray, soft: list[str]) -> bool:
        """Take from `buffer` what belongs to the body; true when it is complete."""
        if self.framing is None:
            return True
        if self.framing == "cl":
            self._take(buffer, self.length - len(self.data))
            return len(self.data) == self.length
        while self._state != "done":
            if not self._step(buffer, soft):
                return False
        return True

    def _take(self, buffer: bytearray, count: int) -> int:
        taken = buffer[:count]
        self.data += taken
        del buffer[:count]
        return len(taken)

    def _step(self, buffer: bytearray, soft: list[str]) -> bool:
        if self._state == "data":
            self._left -= self._take(buffer, self._left)
            if self._left:
                return False
            self._state = "end of data"
        elif self._state == "end of data":
            if len(buffer) < 2:
                return False
            if buffer[:2] != b"\r\n":
                raise Malformed(f"chunk data not followed by CRLF: {bytes(buffer[:20])!r}")
            del buffer[:2]
            self._state = "size"
        else:
            line = _line(buffer)
            if line is None:
                return False
            if self._state == "size":
                self._begin_chunk(line, soft)
            elif line:
                headers([line], soft)
            else:
                self._state = "done"
        return True

    def _begin_chunk(self, line: bytes, soft: list[str]) -> None:
        found = CHUNK_LINE.fullmatch(line)
        if found is None:
            raise Malformed(f"bad chunk size line {line[:60]!r}")
        if found[2]:
            soft.append("chunk extension passed on")
            if b"\x00" in found[2]:
                raise Malformed("NUL in a chunk extension")
        self._left = int(found[1], 16)
        self._state = "data" if self._left else "trailers"


def take_request(buffer: bytearray, soft: list[str]) -> tuple[Request, Body] | None:
    """The head of a request, removed from `buffer`, and its body to be read; None when more is needed."""
    while buffer[:2] == b"\r\n":
        del buffer[:2]
        soft.append("empty line before the request passed on")
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if BARE_LF.search(buffer):
            raise Malformed(f"bare LF in the head {bytes(buffer[:80])!r}")
        return None
    lines = _head_lines(bytes(buffer[:end]))
    del buffer[: end + 4]
    found = REQUEST_LINE.fullmatch(lines[0])
    if found is None:
        raise Malformed(f"bad request line {lines[0][:80]!r}")
    fields = headers(lines[1:], soft)
    version, target = found[3].decode(), found[2].decode("latin-1")
    _check_target(target, soft)
    hosts = sum(name == "host" for name, _ in fields)
    if hosts > 1:
        raise Malformed("several Host lines")
    if version == "1.1" and not hosts:
        soft.append("HTTP/1.1 without Host")
    body = framing(fields, soft, http_1_0=version == "1.0")
    return Request(found[1].decode(), target, version, fields, soft=soft), body


def _check_target(target: str, soft: list[str]) -> None:
    if any(ord(letter) < 33 or ord(letter) == 127 for letter in target):
        raise Malformed(f"control character in the target {target[:60]!r}")
    if "#" in target:
        raise Malformed(f"# in the target {target[:60]!r}")
    if not target.isascii():
        soft.append("raw 8-bit target")


def responses(
    received: bytes, *, ended: bool, methods: dict[int, str], first_method: str | None = None
) -> tuple[list[Response], list[Response], str | None, bytes]:
    """(final responses, interim ones, what is wrong, bytes of a tunnel) in what a client received.

    `methods` says which request a record number answers, since HEAD has no body.
    """
    buffer = bytearray(received)
    finals: list[Response] = []
    interims: list[Response] = []
    while buffer:
        if not buffer.startswith(b"HTTP/1."):
            return finals, interims, f"not an HTTP/1 response: {bytes(buffer[:60])!r}", b""
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return finals, interims, "incomplete response head", b""
        try:
            response = _response_head(bytes(buffer[:end]))
            del buffer[: end + 4]
            if 100 <= response.status < 200 and response.status != 101:
                interims.append(response)
                continue
            finals.append(response)
            if response.status == 101:
                return finals, interims, None, bytes(buffer)
            method = first_method if len(finals) == 1 and not response.record else None
            if response.record:
                method = methods.get(response.record)
            if method != "HEAD" and response.status not in (204, 304):
                _read_response_body(response, buffer, ended=ended)
                if not response.complete:
                    break
        except Malformed as error:
            return finals, interims, f"client got malformed bytes: {error}", b""
    return finals, interims, None, b""


def _response_head(head: bytes) -> Response:
    lines = _head_lines(head)
    found = STATUS_LINE.fullmatch(lines[0])
    if found is None:
        raise Malformed(f"bad status line {lines[0][:60]!r}")
    fields = headers(lines[1:], [])
    record = next((int(value) for name, value in fields if name == "x-rec" and value.isdigit()), None)
    return Response(int(found[2]), fields, record)


def _read_response_body(response: Response, buffer: bytearray, *, ended: bool) -> None:
    body = framing(response.headers, [], http_1_0=False)
    response.framing = body.framing or "close"
    if body.framing is None:
        response.body = bytes(buffer)
        buffer.clear()
        response.complete = ended
    else:
        response.complete = body.read(buffer, [])
        response.body = bytes(body.data)


def headers(lines: list[bytes], soft: list[str]) -> Headers:
    """Header lines as (lower-case name, value)."""
    fields = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            raise Malformed(f"folded line {line[:60]!r}")
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed(f"header line without a colon {line[:60]!r}")
        if TOKEN.fullmatch(name) is None:
            raise Malformed(f"bad header name {name[:60]!r}")
        if any(byte in value for byte in b"\x00\r\n"):
            raise Malformed(f"CR, LF or NUL in the value of {name[:40]!r}")
        value = value.strip(b" \t")
        if any((byte < 32 and byte != 9) or byte == 127 for byte in value):
            soft.append(f"control character in the value of {name.decode()}")
        fields.append((name.decode().lower(), value.decode("latin-1")))
    return fields


def framing(fields: Headers, soft: list[str], *, http_1_0: bool) -> Body:
    """How the body is delimited."""
    codings = [value for name, value in fields if name == "transfer-encoding"]
    lengths = [value for name, value in fields if name == "content-length"]
    if codings and lengths:
        raise Malformed(f"both Transfer-Encoding and Content-Length: {codings} {lengths}")
    if codings:
        _check_codings(codings, soft, http_1_0=http_1_0)
        return Body("chunked")
    if len(lengths) > 1:
        raise Malformed(f"several Content-Length lines {lengths}")
    if not lengths:
        return Body(None)
    if re.fullmatch(r"[0-9]+", lengths[0]) is None:
        raise Malformed(f"bad Content-Length {lengths[0][:40]!r}")
    if len(lengths[0]) > 1 and lengths[0][0] == "0":
        soft.append("Content-Length with leading zeros")
    return Body("cl", int(lengths[0].lstrip("0")[:30] or "0"))


def _check_codings(lines: list[str], soft: list[str], *, http_1_0: bool) -> None:
    codings = [coding.strip(" \t").lower() for coding in ",".join(lines).split(",")]
    if "" in codings:
        raise Malformed(f"empty transfer coding {lines}")
    if http_1_0:
        raise Malformed("Transfer-Encoding in HTTP/1.0")
    if any(TOKEN.fullmatch(coding.encode("latin-1")) is None for coding in codings):
        raise Malformed(f"bad transfer coding {lines}")
    if codings.count("chunked") > 1 or codings[-1] != "chunked":
        raise Malformed(f"chunked is not last, or not once {lines}")
    if len(codings) > 1:
        soft.append(f"Transfer-Encoding {lines}")


def _head_lines(head: bytes) -> list[bytes]:
    if BARE_LF.search(head):
        raise Malformed("bare LF in the head")
    if BARE_CR.search(head):
        raise Malformed("bare CR in the head")
    return head.split(b"\r\n")


def _line(buffer: bytearray) -> bytes | None:
    """A line of a chunked body, removed from `buffer`."""
    end = buffer.find(b"\n")
    if end < 0:
        if len(buffer) > LONGEST_LINE:
            raise Malformed("line too long")
        return None
    if end == 0 or buffer[end - 1 : end] != b"\r":
        raise Malformed(f"bare LF in a chunk line or trailer {bytes(buffer[: end + 1][:60])!r}")
    line = bytes(buffer[: end - 1])
    del buffer[: end + 1]
    if b"\r" in line:
        raise Malformed(f"bare CR in a chunk line or trailer {line[:60]!r}")
    return line
