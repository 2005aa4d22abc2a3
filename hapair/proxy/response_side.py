"""HTTP mode: what the server sends, as strictly delimited as the requests, on its way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.errors import BadMessage
from hapair.http1.body import ChunkedBody, chunk, last_chunk
from hapair.http1.framing import CHUNKED, UNTIL_CLOSE
from hapair.http1.head import Response
from hapair.http1.memo import parse_response
from hapair.proxy.about import About
from hapair.proxy.backend import NO_REUSE
from hapair.proxy.exchange import COMPLETE
from hapair.proxy.reasons import byte, not_http
from hapair.proxy.request_side import BUFFER, RequestSide
from hapair.proxy.session import (
    AGAIN,
    DROP,
    LABORIOUS,
    LINGER,
    RECEIVED,
    RECEIVING,
    RESET,
    SHUT_SERVER,
    TUNNEL,
    WAITING,
)
from hapair.rules.verdicts import Answer, Reject, Rule

if TYPE_CHECKING:
    from hapair.cache.store import Entry
    from hapair.rules.verdicts import Kept

_CHALLENGES: Final = (401, 407)
_CHALLENGING: Final = (b"www-authenticate", b"proxy-authenticate")
_NO_RULES: Final[list[Rule]] = []
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


def challenges_connection(response: Response) -> bool:
    """Whether the client is asked for a scheme that authenticates its connection, and not a request.

    NTLM, and Negotiate, which may come to the same (RFC 4559 section 6).
    """
    return any(
        name.lower() in _CHALLENGING and value.strip()[:9].lower().startswith((b"ntlm", b"negotiate"))
        for name, _, value in (line.partition(b":") for line in response.lines[1:])
    )


class ResponseSide(RequestSide):
    """Reads responses and relays them."""

    __slots__ = ()

    def connected(self, now: float, *, reused: bool) -> None:
        """The request goes out."""
        self.stage = WAITING
        self._server_rest = b""
        self._reused = reused
        self.connected_at = now
        backend = self.backend
        if backend is not None and backend.retry_on and self.may_retry:
            whole = self.reading == COMPLETE and len(self.to_server) <= BUFFER
            self._kept = self.to_server if whole else b""
        if not reused and self.server is not None:
            self.server.observed(4, True, "")
        if not reused and self.server is not None and self.server.send_proxy is not None:
            self.to_server = self._greeting(self.server) + self.to_server
        self._allow_body_time(now)
        self._expect_progress(now)

    def server_data(self, data: bytes, now: float) -> None:
        """Bytes of a response head, of its body, or of a tunnel."""
        server = self.server
        if server is not None:
            server.bytes_out += len(data)
        if self.stage == RECEIVING:
            self._relay_body(data, now)
        elif self.stage == TUNNEL:
            self._tunnel_server_data(data, now)
        elif self.stage == WAITING:
            self._read_response(self._server_rest + data if self._server_rest else data, now)
        else:
            # More than the response: the connection is in no state to be used again.
            self._server_keeps = False

    def _read_response(self, data: bytes, now: float) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._server_rest = data
                if len(data) > self.frontend.response_limits.head or data[:7] != b"HTTP/1."[: len(data)]:
                    why = "head too large" if data[:7] == b"HTTP/1." else "not HTTP"
                    self._distrusted(why, data, now)
                return
            try:
                response = parse_response(data[:end], limits=self.frontend.response_limits)
            except BadMessage as mistake:
                self._distrusted(mistake.why, data, now)
                return
            data = data[end + 4 :]
            if self.server is not None and self.server.observe == 7:
                status = response.status
                self.server.observed(7, 100 <= status < 500 or status in (501, 505), "Invalid HTTP status")
            if response.status >= 200:
                break
            if response.status == 101:
                if self.request.upgrade is None or response.upgrade is None:
                    self._distrusted("101 that was not asked for", response.lines[0], now)
                    return
                response.lines += [b"Connection: Upgrade", b"Upgrade: " + response.upgrade]
                break
            if self.request.version == 11:
                self._send_interim(response)
            if not data:
                self._server_rest = b""
                self._expect_progress(now)
                return
        self._server_rest = b""
        if self._kept and self._retried(str(response.status), now):
            return
        self._answer(response, data, now)

    def _send_interim(self, response: Response) -> None:
        head = b"\r\n".join([b"HTTP/1.1" + response.lines[0][8:], *response.lines[1:], b"", b""])
        self.to_client += head
        self.sent += len(head)

    def _begin_tunnel(self, response: Response, data: bytes, now: float) -> None:
        self.keep = False
        head = b"\r\n".join([*response.lines, b"", data])
        self.to_client += head
        if self.frontend.logasap:
            self._log_early(len(head), now)
        self.sent += len(head)
        early, self.rest = self.rest, b""
        self.to_server += early
        self._open_tunnel(now)
        if self.client_ended:
            self.orders |= SHUT_SERVER

    def _answer(self, response: Response, rest: bytes, now: float) -> None:
        """Send a final response's head, and what there is of its body."""
        request, frontend, backend = self.request, self.frontend, self.backend
        self._answered_at = now
        self._status = status = response.status
        about: About | None = self.about
        if about is not None:
            about.response = response
            self.told_at = now
            about.capture_response()
            if self.noted is not None:
                self._remember(request, now)
            if self._answered_by_rule(now):
                return
        self._answer_begun = True
        frontend.responses[status // 100 if status < 600 else 0] += 1
        length = response.length
        options = response.options
        if status == 101 or (status < 300 and request.method == b"CONNECT"):
            self._mark(response, now)
            self._begin_tunnel(response, rest, now)
            return
        if request.method == b"HEAD" or status == 304:
            length = 0
        elif status == 204:
            length = 0
            response.lines = [line for line in response.lines if line[:15].lower() != b"content-length:"]
        elif status in _CHALLENGES and challenges_connection(response):
            self.private = True
        if response.version == 10:
            lines = response.lines
            lines[0] = b"HTTP/1.1" + lines[0][8:]
            self._server_keeps = options.keep_alive
        else:
            self._server_keeps = not options.close
        if length == UNTIL_CLOSE:
            self._server_keeps = self.keep = False
        if frontend.stopping or (self.client_ended and not self.rest):
            self.keep = False
        self._dechunk = length == CHUNKED and request.version == 10
        if self._dechunk:
            self.keep = False
            response.lines = [line for line in response.lines if line[:18].lower() != b"transfer-encoding:"]
        self._mark(response, now)
        if not self.keep:
            response.add(b"Connection: close")
        elif request.version == 10:
            response.add(b"Connection: keep-alive")
        if self._compressor is not None and not frontend.process.compresses_enough(now):
            compression, algo = self._compressor
            self._encoder = compression.begin(algo, request, response)
        out = response.joined()
        if frontend.logasap:
            self._log_early(len(out) + len(rest), now)
        self.stage = RECEIVING
        if self._encoder is not None:
            if about is not None:
                about.compressed = algo.value
            frontend.comp_rsp += 1
            if backend is not None:
                backend.comp_rsp += 1
            self.portion = LABORIOUS
        elif length >= 0 and self._copy is None:
            left = length - len(rest)
            if left < 0:
                rest = rest[:length]
                left = 0
                self._server_keeps = False
            self._response_left = left
            if rest:
                out += rest
            self.to_client = self.to_client + out if self.to_client else out
            self.sent += len(out)
            if left:
                self._expect_response(now)
            else:
                self._response_complete(now)
            return
        self.to_client = self.to_client + out if self.to_client else out
        self.sent += len(out)
        self._response_left = length if length >= 0 else UNTIL_CLOSE
        self._response_chunks = ChunkedBody() if length == CHUNKED else None
        self._expect_response(now)
        if rest or not length:
            self._relay_body(rest, now)

    def _log_early(self, coming: int, now: float) -> None:
        """Write the line while `coming` bytes of the response are on their way (option logasap)."""
        before = self.sent
        self.sent += coming
        if not self._unlogged:
            self._write_line("--", now)
        self._unlogged = True
        self.sent = before

    def _mark(self, response: Response, now: float) -> None:
        """What every response that goes out gets: the persistence cookie, and what the last rules say."""
        frontend, backend = self.frontend, self.backend
        if backend is not None and backend.persistence is not None and self._kept_response is None:
            backend.persistence.mark(self, response, int(now + frontend.dates.offset))
        if self.about is not None and frontend.rules.after_response:
            self._apply(frontend.rules.after_response)

    def _answered_by_rule(self, now: float) -> bool:
        """Apply the rules about a response; true when the client gets another one in its place."""
        backend, last = self.backend, self.frontend.rules.http_response
        if backend is None:
            first, second = _NO_RULES, _NO_RULES
        else:
            first = backend.rules.tcp_response if self._kept_response is None else _NO_RULES
            second = backend.rules.http_response
        if not first and not second and not last:
            return False  # and its lines need not be looked at
        for rules in (first, second, last):
            verdict = self._apply(rules) if rules else None
            self._copy = self.about.draft
            if isinstance(verdict, Answer):
                self._answer_by_rule(verdict, "PH" if verdict.refuses else "LR", now)
                return True
            if isinstance(verdict, Reject):
                self._leave()
                self.keep = False
                self._finish("PH", now)
                self._reject(verdict, now)
                return True
        response = self.about.response
        response.cookies = [line for line in response.lines if line[:11].lower() == b"set-cookie:"]
        return False

    def _relay_body(self, data: bytes, now: float) -> None:
        chunks = self._response_chunks
        if chunks is not None:
            try:
                body = chunks.feed(data)
            except BadMessage as mistake:
                self.frontend.process.faults.response(self, mistake.why, data, now)
                self._cut_response("PD", now)
                return
            done = chunks.done
            if done and chunks.rest:
                self._server_keeps = False
        elif self._response_left >= 0:
            left = self._response_left - len(data)
            if left < 0:
                data = data[: self._response_left]
                self._server_keeps = False
                left = 0
            self._response_left = left
            body = data
            done = not left
        else:
            body = data
            done = False
        if self._copy is not None:
            self._copy.take(body)
        if self._encoder is not None:
            data = self._encoded(body, chunks.trailers if chunks is not None else [], now, done=done)
        elif chunks is None or self._dechunk:
            data = body
        else:
            data = chunk(body) + last_chunk(chunks.trailers) if done else chunk(body)
        if data:
            self.to_client = self.to_client + data if self.to_client else data
            self.sent += len(data)
        if done:
            self._response_complete(now)
        else:
            self._expect_response(now)

    def _encoded(self, data: bytes, trailers: list[bytes], now: float, *, done: bool) -> bytes:
        """A part of the body, or its end, as the client gets it: coded and chunked."""
        encoder, frontend, backend = self._encoder, self.frontend, self.backend
        assert encoder is not None
        coded = encoder.take(data, last=done)
        if frontend.process.maxcomprate:
            frontend.process.comp_rate.add(now, len(data))
        frontend.comp_in += len(data)
        frontend.comp_out += len(coded)
        if backend is not None:
            backend.comp_in += len(data)
            backend.comp_out += len(coded)
        return chunk(coded) + last_chunk(trailers) if done else chunk(coded)

    def _give_kept(self, kept: Kept, now: float) -> None:
        """Answer with what a cache has, as if a server had said it just now."""
        entry: Entry = kept.entry
        frontend = self.frontend
        response = Response()
        response.length = 0 if kept.known else len(entry.body)
        response.status = 304 if kept.known else 200
        first = b"HTTP/1.1 304 Not Modified" if kept.known else entry.lines[0]
        response.lines = [first, *entry.lines[1:]]
        if not kept.known:
            response.add(b"Content-Length: %d" % len(entry.body))
        response.add(b"Age: %d" % entry.age(int(now + frontend.dates.offset)))
        if not kept.known and self.request.method != b"HEAD":
            self._left = memoryview(entry.body)
        self.about.kept_in = kept.name
        self.placed_at = self.assigned_at = self.connected_at = now
        if frontend.compresses or (self.backend is not None and self.backend.compresses):
            self._choose_coding(self.request, self.backend)
        self._answer(response, b"", now)
        self._give_more(now)

    def _give_more(self, now: float) -> None:
        """The client has taken what it got of that: the next part, so that little waits for it."""
        if self._left and self.stage == RECEIVING:
            part, self._left = self._left[: self.portion], self._left[self.portion :]
            self._relay_body(bytes(part), now)
            if self._left:
                self.orders |= AGAIN

    def _response_complete(self, now: float) -> None:
        if self._copy is not None:
            if self._response_chunks is not None and self._response_chunks.trailers:
                self._copy.drop()  # they are no part of a body
            else:
                self._copy.complete()
            self._copy = None
        self._response_chunks = self._encoder = None
        if self.reading == COMPLETE and not self.to_server:
            self._finish("--" if self._kept_response is None else "LR", now)
            return
        # The server answered early; it still gets the rest of the request.
        self.stage = RECEIVED
        self.deadline = now + self.frontend.client_timeout
        if self.reading == COMPLETE:
            self.orders |= AGAIN

    # -- when the server ends -----------------------------------------------------------------------

    def server_eof(self, now: float, *, broken: bool) -> None:
        """The server sends no more."""
        stage = self.stage
        if stage == TUNNEL:
            if broken:
                self.orders |= RESET
                self._abandon(self._ended_as("SD"), 0, now)
            else:
                self._tunnel_server_eof(now)
        elif stage == RECEIVING:
            if self._response_left == UNTIL_CLOSE and self._response_chunks is None and not broken:
                self._server_keeps = False
                self._response_complete(now)
            else:
                if self.server is not None:
                    self.server.response_errors += 1
                self._cut_response("SD", now)
        elif stage == RECEIVED:
            self._server_keeps = False
            self.orders |= DROP
            self.to_server = b""
            self.keep = False
            self.orders |= LINGER
            self._finish("--", now)
        elif stage == WAITING:
            self._server_closed_early(now)

    def _server_closed_early(self, now: float) -> None:
        """Gone without a response.  A pooled connection may have been dead before our request reached it."""
        stale = self._reused and not self._server_rest
        if stale and self._head and self.request.method in _IDEMPOTENT:
            self.may_reuse = NO_REUSE
            self.to_server = self._head
            self.orders |= DROP
            self._connect(now)
            return
        if self._retried("empty-response", now):
            return
        if stale and self.requests > 1 and not self._answer_begun:
            # As HAProxy does: a silent close lets the browser decide whether to repeat.
            self.keep = False
            self._abandon("SH", 0, now)
            return
        self.why = f"no response{self._of_server('closed the connection')}"
        self._bad_response("SH", now)

    def _distrusted(self, why: str, data: bytes, now: float) -> None:
        """A response that is not forwarded, and why."""
        where = not_http(data) or byte(data)
        self.why = f"invalid response: {why}{where}{self._of_server('')}".rstrip()
        self.frontend.process.faults.response(self, why, data, now, where)
        self._bad_response("PH", now)

    def _bad_response(self, flags: str, now: float) -> None:
        if flags == "PH" and self._retried("junk-response", now):
            return
        if self.server is not None:
            self.server.response_errors += 1
            self.server.observed(
                7, False, "Invalid HTTP response" if flags[0] == "P" else "Read error (http)"
            )
        self._fail(502, flags, now)
