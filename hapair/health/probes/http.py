"""Layer 7: send a request, pass on 2xx and 3xx.

The whole head of the answer must come and be one that the data plane would
forward: a server whose every response ends as a 502 is not up.  One leniency
(RFC 9112 section 2.2): a bare LF ends a line too, for the sake of the many
health responders that are a few lines of shell.  The body is not read.
"""

from __future__ import annotations

from hapair.config.model import HttpCheck
from hapair.errors import BadMessage
from hapair.health.probes.dialogue import MAX_ANSWER, Step
from hapair.health.probes.outcome import Finding, printable
from hapair.http1.head import parse_response

_START = b"HTTP/1."


def request_bytes(check: HttpCheck) -> bytes:
    """What is sent."""
    lines = [
        f"{check.method} {check.uri} {check.version}",
        *(f"{name}: {value}" for name, value in check.headers),
    ]
    if check.version == "HTTP/1.1":
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class HttpProbe:
    """One request and the head of its answer."""

    __slots__ = ("_head", "_request")

    silent = False

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""

    def connected(self) -> bytes:
        return self._request

    def received(self, data: bytes) -> Step:
        # The end of the head may straddle two deliveries, by three bytes at most.
        seen = max(0, len(self._head) - 3)
        head = self._head = self._head + data
        end = head.find(b"\n\r\n", seen)
        bare = head.find(b"\n\n", seen)
        if end < 0 or 0 <= bare < end:
            end = bare
        if head[: len(_START)] != _START[: len(head)]:
            return Finding("L7RSP", f"not an HTTP answer: {printable(head[:40])}")
        if end >= 0:
            return _judge(head[:end])
        if len(head) >= MAX_ANSWER:
            return Finding("L7RSP", "the head of the answer is too long")
        return b""

    def ended(self) -> Finding:
        return Finding("L7RSP", "the head of the answer is incomplete" if self._head else "no answer")


def _judge(head: bytes) -> Finding:
    """The finding on a head without its last line end and its final empty line."""
    block = head.removesuffix(b"\r")
    if block.count(b"\n") != block.count(b"\r\n"):
        block = block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    try:
        status = parse_response(block).status
    except BadMessage as error:
        return Finding("L7RSP", printable(error.why.encode("latin-1", "replace")))
    if 200 <= status < 400:
        return Finding("L7OK", code=status)
    reason = block.partition(b"\r\n")[0][13:]
    return Finding("L7STS", printable(reason), status)
