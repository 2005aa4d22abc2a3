"""Layer 7: send a request, pass on 2xx and 3xx, or on what is expected instead.

The whole head of the answer must come and be one that the data plane would
forward: a server whose every response ends as a 502 is not up.  One leniency
(RFC 9112 section 2.2): a bare LF ends a line too, for the sake of the many
health responders that are a few lines of shell.  The body is read only where
something is expected of it.
"""

from __future__ import annotations

import hashlib
import re

from hapair.config.asks import Expect
from hapair.config.model import HttpCheck
from hapair.errors import BadMessage
from hapair.health.probes.dialogue import MAX_ANSWER, Reconnect, Step
from hapair.health.probes.outcome import STATUSES, Finding, printable
from hapair.http1.body import ChunkedBody
from hapair.http1.framing import CHUNKED, UNTIL_CLOSE
from hapair.http1.head import Response
from hapair.http1.memo import Memo, parse_response

MAX_BODY = 1 << 20
"""Bytes of a body whose digest is wanted; of others what fits in MAX_ANSWER is judged, as HAProxy does."""

_START = b"HTTP/1."
_BODILESS = (204, 304)
_heads = Memo()
"""Servers of one kind say the same within a second; the heads of traffic are kept elsewhere."""


def request_bytes(check: HttpCheck) -> bytes:
    """What is sent."""
    lines = [
        f"{check.method} {check.uri} {check.version}",
        *(f"{name}: {value}" for name, value in check.headers),
    ]
    if check.body and all(name.lower() != "content-length" for name, _ in check.headers):
        lines.append(f"Content-Length: {len(check.body.encode())}")
    if check.version == "HTTP/1.1":
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + check.body.encode()


class HttpProbe:
    """One request and its answer, as far as it matters."""

    __slots__ = ("_body", "_check", "_chunks", "_expected", "_head", "_request", "_response", "limit")

    silent = False

    def __init__(self, request: bytes, check: HttpCheck | None = None) -> None:
        """Without a `check` nothing special is expected."""
        self._request = request
        self._check = check or HttpCheck()
        self._expected = ", ".join(expect.text for expect in self._check.expect) or "status 200-399"
        self.limit = MAX_BODY if self._check.digest is not None else MAX_ANSWER
        self._head = b""
        self._body = bytearray()
        self._response: Response | None = None
        self._chunks: ChunkedBody | None = None

    def connected(self) -> bytes:
        return self._request

    def received(self, data: bytes) -> Step:
        if self._response is not None:
            return self._listen(data)
        # The end of the head may straddle two deliveries, by three bytes at most.
        seen = max(0, len(self._head) - 3)
        head = self._head = self._head + data
        end, size = head.find(b"\n\r\n", seen), 3
        bare = head.find(b"\n\n", seen)
        if end < 0 or 0 <= bare < end:
            end, size = bare, 2
        if head[: len(_START)] != _START[: len(head)]:
            return self._wrong(f"not an HTTP answer: {printable(head[:40])}")
        if end >= 0:
            return self._judge_head(head[:end], head[end + size :])
        if len(head) >= MAX_ANSWER:
            return self._wrong("the head of the answer is too long")
        return b""

    def ended(self) -> Finding:
        if self._response is None:
            return self._wrong("the head of the answer is incomplete" if self._head else "no answer")
        if self._check.digest is not None and self._response.length != UNTIL_CLOSE:
            return self._wrong("the body of the answer is incomplete")
        return self._judge_body()

    def late(self) -> Finding:
        return Finding("L7TOUT", expected=self._expected)

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        """Without credentials: they may be in any header."""
        lines = sent.splitlines(keepends=True)
        return (lines[0] if len(lines) > 2 else sent), received

    def _wrong(self, info: str) -> Finding:
        return Finding("L7RSP", info, expected=self._expected)

    def _judge_head(self, head: bytes, rest: bytes) -> Step:
        """Judge a head without its last line end and its final empty line."""
        block = head.removesuffix(b"\r")
        if block.count(b"\n") != block.count(b"\r\n"):
            block = block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        try:
            response = parse_response(block, _heads)
        except BadMessage as error:
            return self._wrong(printable(error.why.encode("latin-1", "replace")))
        status, reason = response.status, printable(block.partition(b"\r\n")[0][13:])
        if not self._check.expect and not 200 <= status < 400:
            return Finding("L7STS", reason, status, expected=self._expected)
        for expect in self._check.expect:
            if not expect.match.endswith("string") and _head_matches(expect, response) == expect.negated:
                return _failed(expect, f"HTTP status check returned code {status}", status)
        bodies = [expect for expect in self._check.expect if expect.match.endswith("string")]
        self._response = response
        if not bodies and self._check.digest is None:
            return Finding("L7OK", code=status)
        if self._check.method == "HEAD" or status in _BODILESS or response.length == 0:
            return self._judge_body()
        if response.length == CHUNKED:
            self._chunks = ChunkedBody()
        return self._listen(rest) if rest else b""

    def _listen(self, data: bytes) -> Step:
        """Take more of the body; judge it when it is complete, or as much as counts is there."""
        response = self._response
        assert response is not None
        if self._chunks is not None:
            try:
                data = self._chunks.feed(data)
            except BadMessage as error:
                return self._wrong(printable(error.why.encode("latin-1", "replace")))
        self._body += data
        complete = self._chunks.done if self._chunks is not None else len(self._body) >= response.length >= 0
        if complete and self._chunks is None:
            del self._body[response.length :]
        if complete:
            return self._judge_body()
        if len(self._body) + len(self._head) < self.limit - MAX_ANSWER // 4:
            return b""
        if self._check.digest is not None:
            return self._wrong("the body of the answer is too long")
        return self._judge_body()

    def _judge_body(self) -> Finding:
        assert self._response is not None
        status, body = self._response.status, bytes(self._body)
        for expect in self._check.expect:
            if not expect.match.endswith("string"):
                continue
            if not body and not expect.negated:
                return _failed(expect, "HTTP content check could not find a response body", status)
            found = (
                re.search(expect.pattern, body, re.DOTALL) is not None
                if expect.match == "rstring"
                else expect.pattern in body
            )
            if found == expect.negated:
                which = "found unwanted content" if found else "did not match"
                return _failed(expect, f"HTTP content check {which}", status)
        if self._check.digest is not None:
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            if digest != self._check.digest:
                return Finding("L7STS", f"the digest is {digest}", status, expected=self._check.digest)
        return Finding("L7OK", code=status)


def _failed(expect: Expect, what: str, status: int) -> Finding:
    info = expect.on_error or expect.comment or what
    found = STATUSES[expect.error_status]
    return Finding(found, printable(info.encode()), status, expected=expect.text)


def _head_matches(expect: Expect, response: Response) -> bool:
    if expect.match == "status":
        return any(low <= response.status <= high for low, high in status_ranges(expect.pattern))
    if expect.match == "rstatus":
        return re.search(expect.pattern, b"%d" % response.status) is not None
    wanted = expect.header.lower().encode()
    for line in response.lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted and expect.pattern in (b"", value.strip(b" \t")):
            return True
    return False


def status_ranges(text: bytes) -> list[tuple[int, int]]:
    """`200-299,404`, which was checked when it was read."""
    ranges = []
    for part in text.split(b","):
        low, _, high = part.partition(b"-")
        ranges.append((int(low), int(high or low)))
    return ranges


class HttpListProbe:
    """Several requests, each on a connection of its own; all must pass (keepalived's HTTP_GET)."""

    silent = False

    def __init__(self, probes: list[HttpProbe], uris: list[str], *, tls: bool) -> None:
        self._probes = probes
        self._uris = uris
        self._tls = tls
        self.limit = sum(probe.limit for probe in probes)

    def connected(self) -> Step:
        return self._probes[0].connected()

    def received(self, data: bytes) -> Step:
        return self._next(self._probes[0].received(data))

    def ended(self) -> Step:
        return self._next(self._probes[0].ended())

    def late(self) -> Finding:
        found = self._probes[0].late()
        return Finding(found.status, f"waiting for {self._uris[0]}", expected=found.expected)

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        return self._probes[0].excerpt(sent, received)

    def _next(self, step: Step) -> Step:
        if not isinstance(step, Finding):
            return step
        if not step.ok:
            info = f"{self._uris[0]}: {step.info}"
            return Finding(step.status, info, step.code, step.expected)
        if len(self._probes) == 1:
            return step
        del self._probes[0], self._uris[0]
        return Reconnect(tls=self._tls)
