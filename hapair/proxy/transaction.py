"""HTTP mode: requests and responses through one client connection, one after the other.

Sans-I/O and hot: `Session` says how it is driven.  A request goes on as soon as
its head is valid and a server has a slot; its body follows as it comes.  The
law of RFC 9112 holds in both directions: what cannot be delimited with
certainty is answered with an error (400, 502) and the connection that brought
it is not used again.

Longer than most files: it is one machine, and its transitions are easier to check side by side.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from hapair.config.model import LogFormat
from hapair.errors import BadMessage
from hapair.http1 import emit
from hapair.http1.body import ChunkedBody, chunk, last_chunk
from hapair.http1.framing import CHUNKED, UNTIL_CLOSE
from hapair.http1.head import MAX_HEAD, Request, Response, incomplete_mistake, parse_request, parse_response
from hapair.proxy.log_line import milliseconds, request_line
from hapair.proxy.persistence import mark_response, wanted_server
from hapair.proxy.session import (
    AGAIN,
    CLOSE,
    CONNECTING,
    DROP,
    LINGER,
    NONE,
    QUEUED,
    RECEIVED,
    RECEIVING,
    RELEASE,
    RESET,
    RETRYING,
    SHUT_SERVER,
    TUNNEL,
    WAITING,
    Session,
)

if TYPE_CHECKING:
    from hapair.proxy.backend import Backend
    from hapair.proxy.frontend import Frontend

# Where we are with what the client sends.
IDLE, HEAD, BODY, COMPLETE = range(4)

_INFO = 6
_LINGER_TIME = 2.0
"""Seconds that a client which still sends has to read our last answer."""
_FLUSH_TIME = 30.0
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
_NO_REQUEST = Request()


class HttpSession(Session):
    """One client connection in HTTP mode."""

    def __init__(self, frontend: Frontend, source: str, port: int, now: float) -> None:
        super().__init__(frontend, source, port, now)
        self.reading = IDLE
        self.rest = b""
        """Received from the client and not yet understood."""
        self.request: Request = _NO_REQUEST
        self.requests = 0
        self.keep = True
        """The client connection outlives this response."""
        self._answer_begun = False
        self._body_left = 0
        self._body_chunks: ChunkedBody | None = None
        self._head = b""
        """What was sent to the server, while it may have to be sent again."""
        self._reused = False
        self._server_rest = b""
        self._server_keeps = False
        self._response_left = 0
        self._response_chunks: ChunkedBody | None = None
        self._dechunk = False
        self._status = -1
        self._cookie_in = "-"
        self._cookie_out = "-"
        self._begun_at = inf
        self._head_at = inf
        self._answered_at = inf

    # -- the client ----------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Wait for the first request, not for ever."""
        self.deadline = now + min(self.frontend.request_timeout, self.frontend.client_timeout)

    def client_data(self, data: bytes, now: float) -> None:
        """Bytes of a head, of a body, of a later request or of a tunnel."""
        if self.ended:
            return
        self.frontend.bytes_in += len(data)
        if self.reading == IDLE and self.to_client:
            # The next request waits until the answers before it are taken: nobody fills our memory with them.
            self.rest = self.rest + data if self.rest else data
            self.orders |= AGAIN
        elif self.reading <= HEAD:
            self.received += len(data)
            self._read_head(self.rest + data if self.rest else data, now)
        elif self.stage == TUNNEL:
            self._tunnel_client_data(data, now)
        elif self.reading == BODY:
            self.received += len(data)
            self._read_body(data, now)
        else:
            self.rest = self.rest + data if self.rest else data

    def _read_head(self, data: bytes, now: float) -> None:
        if self.reading == IDLE:
            if data[0] in b"\r\n":
                data = data.lstrip(b"\r\n")
                if not data:
                    return
            self.reading = HEAD
            self._begun_at = now
            if self.requests:
                self.deadline = now + min(self.frontend.request_timeout, self.frontend.client_timeout)
        end = data.find(b"\r\n\r\n")
        if end < 0:
            mistake = incomplete_mistake(data)
            if mistake is not None:
                self._refuse(mistake.status, "PR", now, mistake.why)
            else:
                self.rest = data
            return
        self.rest = b""
        try:
            request = parse_request(data[:end])
        except BadMessage as mistake:
            self._refuse(mistake.status, "PR", now, mistake.why)
            return
        self._take_request(request, data[end + 4 :], now)

    def _take_request(self, request: Request, rest: bytes, now: float) -> None:
        frontend = self.frontend
        self.request = request
        request.source = self.source
        self.requests += 1
        frontend.requests += 1
        self._head_at = now
        options = request.options
        self.keep = not frontend.stopping and (
            not options.close if request.version == 11 else options.keep_alive
        )
        length = request.length
        body = b""
        if length == 0:
            self.reading = COMPLETE
            self.rest = rest
        elif length > 0:
            body = rest[:length]
            self._body_left = length - len(body)
            self.rest = rest[length:]
            self.reading = BODY if self._body_left else COMPLETE
        else:
            self._body_chunks = ChunkedBody()
            self.reading = BODY
            try:
                body = self._dechunked(rest)
            except BadMessage as mistake:
                self._refuse(mistake.status, "PR", now, mistake.why)
                return
        if frontend.responder is not None:
            own = frontend.responder(request)
            if own is not None:
                self._answer_ourselves(own, now)
                return
        if request.method == b"TRACE":
            self._refuse(405, "PR", now, "TRACE reflects credentials")
            return
        backend = frontend.route(request)
        if backend is None:
            self._fail(503, "SC", now)
            return
        self.backend = backend
        backend.enter()
        head = self._server_head(request, backend)
        if length == 0:
            self._head = head
        self.to_server = head + body if body else head
        self.may_reuse = self.requests > 1
        self._place(now, self._wanted)

    def _server_head(self, request: Request, backend: Backend) -> bytes:
        if backend.config.cookie is not None:
            self._cookie_in, self._wanted = wanted_server(request, backend)
        lines = request.lines
        rule = self.frontend.forwarded_for(backend)
        if rule is not None:
            line = rule.line(self.source)
            if line is not None and not (rule.if_none and request.sends(rule.name)):
                lines.append(line)
        if request.upgrade is not None:
            lines.append(b"Connection: Upgrade")
            lines.append(b"Upgrade: " + request.upgrade)
        elif backend.config.http_server_close or self.frontend.config.http_server_close:
            lines.append(b"Connection: close")
        elif request.version == 10:
            lines.append(b"Connection: keep-alive")
        lines.append(b"")
        lines.append(b"")
        return b"\r\n".join(lines)

    def _read_body(self, data: bytes, now: float) -> None:
        if self._body_chunks is None:
            left = self._body_left
            if len(data) > left:
                self.rest = data[left:]
                data = data[:left]
            self._body_left = left - len(data)
            if not self._body_left:
                self.reading = COMPLETE
        else:
            try:
                data = self._dechunked(data)
            except BadMessage as mistake:
                self._refuse(mistake.status, "PD" if self._answer_begun else "PR", now, mistake.why)
                return
        if data:
            self.to_server = self.to_server + data if self.to_server else data
        if self.stage >= WAITING:
            self._expect_progress(now)
            if self.stage == RECEIVED and self.reading == COMPLETE:
                self.orders |= AGAIN

    def _dechunked(self, data: bytes) -> bytes:
        """The next clean chunks for the server."""
        chunks = self._body_chunks
        assert chunks is not None
        body = chunk(chunks.feed(data))
        if chunks.done:
            body += last_chunk(chunks.trailers)
            self.rest = chunks.rest
            self.reading = COMPLETE
            self._body_chunks = None
        return body

    # -- the server ------------------------------------------------------------------------

    def connected(self, now: float, *, reused: bool) -> None:
        """The request goes out."""
        self.stage = WAITING
        self._server_rest = b""
        self._reused = reused
        self.connected_at = now
        self._expect_progress(now)

    def _expect_progress(self, now: float) -> None:
        """The next sign of life must come in time from whomever we wait for.

        What a client sent counts as passed on: if the server does not take it, `flushed` says so.
        """
        if self.reading == COMPLETE:
            assert self.backend is not None
            self.deadline = now + self.backend.config.timeout.server
        else:
            self.deadline = now + self.frontend.client_timeout

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
                if len(data) > MAX_HEAD or data[:7] != b"HTTP/1."[: len(data)]:
                    self._bad_response("PH", now)
                return
            try:
                response = parse_response(data[:end])
            except BadMessage:
                self._bad_response("PH", now)
                return
            data = data[end + 4 :]
            if response.status >= 200:
                break
            if response.status == 101:
                self._switch_protocols(response, data, now)
                return
            if self.request.version == 11:
                self._send_interim(response)
            if not data:
                self._server_rest = b""
                self._expect_progress(now)
                return
        self._server_rest = b""
        self._answer(response, data, now)

    def _send_interim(self, response: Response) -> None:
        head = b"\r\n".join([b"HTTP/1.1" + response.lines[0][8:], *response.lines[1:], b"", b""])
        self.to_client += head
        self.sent += len(head)

    def _switch_protocols(self, response: Response, data: bytes, now: float) -> None:
        if self.request.upgrade is None or response.upgrade is None:
            self._bad_response("PH", now)
            return
        response.lines += [b"Connection: Upgrade", b"Upgrade: " + response.upgrade]
        self._begin_tunnel(response, data, now)

    def _begin_tunnel(self, response: Response, data: bytes, now: float) -> None:
        self._answered_at = now
        self._status = response.status
        self._answer_begun = True
        self.keep = False
        head = b"\r\n".join([*response.lines, b"", data])
        self.to_client += head
        self.sent += len(head)
        early, self.rest = self.rest, b""
        self._open_tunnel(now)
        if early:
            self._tunnel_client_data(early, now)
        if self.client_ended:
            self.orders |= SHUT_SERVER

    def _answer(self, response: Response, rest: bytes, now: float) -> None:
        """Send a final response's head, and what there is of its body."""
        request, frontend, backend = self.request, self.frontend, self.backend
        assert backend is not None
        self._answered_at = now
        self._status = status = response.status
        self._answer_begun = True
        frontend.responses[status // 100 if status < 600 else 0] += 1
        lines = response.lines
        length = response.length
        options = response.options
        if request.method == b"HEAD" or status == 304:
            length = 0
        elif status == 204:
            length = 0
            response.lines = lines = [line for line in lines if line[:15].lower() != b"content-length:"]
        elif request.method == b"CONNECT" and status < 300:
            self._begin_tunnel(response, rest, now)
            return
        if response.version == 10:
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
            lines[:] = [line for line in lines if line[:18].lower() != b"transfer-encoding:"]
        if backend.config.cookie is not None:
            assert self.server is not None
            if self._cookie_in == "V" and self.server is not self._wanted:
                self._cookie_in = "D"
            self._cookie_out = mark_response(response, backend, self.server, self._wanted, self._cookie_in)
            lines = response.lines
        if not self.keep:
            lines.append(b"Connection: close")
        elif request.version == 10:
            lines.append(b"Connection: keep-alive")
        lines.append(b"")
        self.stage = RECEIVING
        if length >= 0:
            left = length - len(rest)
            if left < 0:
                rest = rest[:length]
                left = 0
                self._server_keeps = False
            self._response_left = left
            lines.append(rest)
            out = b"\r\n".join(lines)
            self.to_client = self.to_client + out if self.to_client else out
            self.sent += len(out)
            if left:
                self._expect_response(now)
            else:
                self._response_complete(now)
            return
        lines.append(b"")
        out = b"\r\n".join(lines)
        self.to_client = self.to_client + out if self.to_client else out
        self.sent += len(out)
        self._response_left = UNTIL_CLOSE
        self._response_chunks = ChunkedBody() if length == CHUNKED else None
        self._expect_response(now)
        if rest:
            self._relay_body(rest, now)

    def _relay_body(self, data: bytes, now: float) -> None:
        chunks = self._response_chunks
        if chunks is not None:
            try:
                body = chunks.feed(data)
            except BadMessage:
                self._cut_response("PD", now)
                return
            done = chunks.done
            if done and chunks.rest:
                self._server_keeps = False
            if self._dechunk:
                data = body
            else:
                data = chunk(body) + last_chunk(chunks.trailers) if done else chunk(body)
        elif self._response_left >= 0:
            left = self._response_left - len(data)
            if left < 0:
                data = data[: self._response_left]
                self._server_keeps = False
                left = 0
            self._response_left = left
            done = not left
        else:
            done = False
        if data:
            self.to_client = self.to_client + data if self.to_client else data
            self.sent += len(data)
        if done:
            self._response_complete(now)
        else:
            self._expect_response(now)

    def _expect_response(self, now: float) -> None:
        assert self.backend is not None
        self.deadline = now + self.backend.config.timeout.server

    def _response_complete(self, now: float) -> None:
        self._response_chunks = None
        if self.reading == COMPLETE and not self.to_server:
            self._finish("--", now)
            return
        # The server answered early; it still gets the rest of the request.
        self.stage = RECEIVED
        self.deadline = now + self.frontend.client_timeout
        if self.reading == COMPLETE:
            self.orders |= AGAIN

    def _finish(self, flags: str, now: float) -> None:
        """The request is over and the client has, or will have, all of the answer."""
        server_keeps = self._server_keeps and not (
            self.frontend.config.http_server_close
            or (self.backend is not None and self.backend.config.http_server_close)
        )
        if self.stage != NONE:
            self.orders |= RELEASE if server_keeps else DROP
        self.stage = NONE
        self._release()
        if self.backend is not None:
            self.backend.leave()
        self._log(flags, now)
        if not self.keep:
            self._close(now)
            return
        self._reset(now)
        if self.rest:
            self.orders |= AGAIN
        elif self.client_ended:
            self._close(now)

    def _reset(self, now: float) -> None:
        """Ready for the next request of this client."""
        self.reading = IDLE
        self.request = _NO_REQUEST
        self.backend = None
        self.server = None
        self.attempts = 0
        self.redispatched = False
        self.server_queue = self.backend_queue = 0
        self.placed_at = self.assigned_at = self.connected_at = inf
        self._begun_at = self._head_at = self._answered_at = inf
        self._answer_begun = self._dechunk = False
        self._status = -1
        self.sent = 0
        self.received = 0
        self._head = self._server_rest = b""
        self._wanted = None
        self._cookie_in = self._cookie_out = "-"
        self.deadline = now + min(self.frontend.keep_alive_timeout, self.frontend.client_timeout)

    def again(self, now: float) -> None:
        """Serve the pipelined request that waited, or end one that was answered before it was sent."""
        if self.stage == RECEIVED:
            self._finish("--", now)
            return
        data, self.rest = self.rest, b""
        self._read_head(data, now)
        if self.client_ended and not self.ended:
            if self.reading == IDLE:
                self._close(now)
            elif self.reading == HEAD:
                self._partial_request(now)

    def buffered(self) -> int:
        """Pipelined bytes that wait."""
        return 0 if self.reading == HEAD else len(self.rest)

    # -- ends -------------------------------------------------------------------------------

    def client_eof(self, now: float) -> None:
        """The client sends no more; it may still read (a half-close)."""
        if self.ended:
            self.client_ended = True
            return
        self.client_ended = True
        if self.stage == TUNNEL:
            self._tunnel_client_eof(now)
            self._end_tunnel_when_over(now)
        elif self.reading == IDLE:
            if not self.rest:
                self._close(now)
        elif self.reading == HEAD:
            self._partial_request(now)
        elif self.reading == BODY:
            self._abandon("CD" if self._answer_begun else "CH", 400, now)
        else:
            backend = self.backend
            if (
                backend is not None
                and backend.config.abortonclose
                and not self._answer_begun
                and not self.rest
            ):
                self._abandon({QUEUED: "CQ", CONNECTING: "CC", RETRYING: "CC"}.get(self.stage, "CH"), 0, now)

    def _partial_request(self, now: float) -> None:
        self._refuse(400, "CR", now, "the client closed before its request was complete")

    def client_gone(self, now: float) -> None:
        """The client connection is broken: nobody is left to answer."""
        if self.ended:
            self.to_client = b""
            return
        self.client_ended = True
        if self.reading == IDLE:
            self._close(now)
            return
        self.to_client = b""
        if self.reading == HEAD:
            flags = "CR"
        elif self._answer_begun:
            flags = "CD"
        else:
            flags = {QUEUED: "CQ", CONNECTING: "CC", RETRYING: "CC"}.get(self.stage, "CH")
        self._abandon(flags, 0, now)

    def server_eof(self, now: float, *, broken: bool) -> None:
        """The server sends no more."""
        stage = self.stage
        if stage == TUNNEL:
            if broken:
                self.orders |= RESET
                self._abandon("SD", 0, now)
            else:
                self._tunnel_server_eof(now)
                self._end_tunnel_when_over(now)
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
        if self._reused and not self._server_rest:
            if self._head and self.request.method in _IDEMPOTENT:
                self.may_reuse = False
                self.to_server = self._head
                self.orders |= DROP
                self._connect(now)
                return
            if self.requests > 1 and not self._answer_begun:
                # As HAProxy does: a silent close lets the browser decide whether to repeat.
                self.keep = False
                self._abandon("SH", 0, now)
                return
        self._bad_response("SH", now)

    def _bad_response(self, flags: str, now: float) -> None:
        if self.server is not None:
            self.server.response_errors += 1
        self._fail(502, flags, now)

    def _cut_response(self, flags: str, now: float) -> None:
        """The answer is incomplete and partly sent: the client must be able to notice."""
        if self._response_left == UNTIL_CLOSE and (self._response_chunks is None or self._dechunk):
            self.orders |= RESET
        self._abandon(flags, 0, now)

    def _end_tunnel_when_over(self, now: float) -> None:
        if self.client_ended and self.server_ended and not self.to_client and not self.to_server:
            self._server_keeps = False
            self._finish("--", now)

    def flushed(self, now: float) -> None:
        """A slow receiver took some."""
        if self.ended:
            return
        if self.stage == TUNNEL:
            self._tunnel_moved(now)
            self._end_tunnel_when_over(now)
        elif self.to_client:
            self.deadline = now + self.frontend.client_timeout
        elif self.stage in (WAITING, RECEIVING):
            if self.to_server:
                self._expect_response(now)
            else:
                self._expect_progress(now)

    def timeout(self, now: float) -> None:
        """Whoever was expected to act did not."""
        if self.ended:
            self.to_client = b""
            self.orders = (self.orders | CLOSE | RESET) & ~LINGER
        elif self.stage == NONE or self.stage == RECEIVED:
            self._client_too_slow(now)
        elif self.stage == QUEUED:
            self.assigned_at = now  # so long it waited
            self._fail(503, "sQ", now)
        elif self.stage == CONNECTING:
            self.connect_failed(now, timed_out=True)
        elif self.stage == RETRYING:
            self._retry(now)
        elif self.stage == TUNNEL:
            self._abandon("cD" if self.to_client else "sD", 0, now)
        elif self.stage == WAITING:
            if self.reading == BODY and not self.to_server:
                self._refuse(408, "cH", now, "the request body stalled")
            else:
                self._fail(504, "sH", now)
        elif self.to_client:
            self.to_client = b""
            self._abandon("cD", 0, now)
        else:
            self._cut_response("sD", now)

    def _client_too_slow(self, now: float) -> None:
        if self.reading == IDLE and self.requests:
            self._close(now)
        elif self.reading <= HEAD:
            self._refuse(408, "cR", now, "no complete request in time")
        else:
            self._abandon("cD", 0, now)

    def shut_down(self, now: float, *, at_once: bool) -> None:
        """Finish the request in flight, or end it now so that the client can go elsewhere."""
        if self.ended:
            return
        self.keep = False
        if self.reading == IDLE:
            self._close(now)
        elif at_once:
            self.orders |= RESET
            self.to_client = b""
            self._abandon("K" + ("D" if self._answer_begun else "H"), 0, now)

    # -- answers of our own --------------------------------------------------------------------

    def _answer_ourselves(self, answer: bytes, now: float) -> None:
        self._status = int(answer[9:12])
        self.frontend.responses[self._status // 100] += 1
        if self.request.method == b"HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        if self.reading != COMPLETE:
            self.keep = False
            self.orders |= LINGER
        if not self.keep:
            answer = answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        self._send_own(answer)
        self._finish("LR", now)

    def _refuse(self, status: int, flags: str, now: float, why: str) -> None:
        """The client's fault: answer and never read another byte of this connection as a request."""
        self.frontend.refused(why)
        self.keep = False
        self.orders |= LINGER
        self._fail(status, flags, now)

    def _fail(self, status: int, flags: str, now: float) -> None:
        if self._answer_begun:
            self._cut_response(flags, now)
            return
        self._leave()
        if self.reading not in (IDLE, COMPLETE):
            self.keep = False
            self.orders |= LINGER
        if self.client_ended and not self.rest:
            self.keep = False
        self._status = status
        self.frontend.responses[status // 100] += 1
        page = emit.error(status, close=not self.keep)
        if self.request.method == b"HEAD":
            page = page[: page.index(b"\r\n\r\n") + 4]
        self._send_own(page)
        self._server_keeps = False
        self._finish(flags, now)

    def _send_own(self, answer: bytes) -> None:
        self.to_client = self.to_client + answer if self.to_client else answer
        self.sent += len(answer)

    def _abandon(self, flags: str, status: int, now: float) -> None:
        """End this request and this client without (more of) an answer, except `status` if it is not 0."""
        if status and not self._answer_begun:
            self.keep = False
            self._fail(status, flags, now)
            return
        self._leave()
        self.keep = False
        self._finish(flags, now)

    def _close(self, now: float) -> None:
        self.ended = True
        self.orders |= CLOSE
        self.deadline = now + (_LINGER_TIME if self.orders & LINGER else _FLUSH_TIME)

    # -- the log ---------------------------------------------------------------------------------

    def _log(self, flags: str, now: float) -> None:
        frontend = self.frontend
        frontend.bytes_out += self.sent
        if frontend.log_format is None or (
            frontend.config.dontlognull and not self.requests and not self.received
        ):
            return
        begun = self._begun_at if self._begun_at != inf else self.accepted_at
        if frontend.log_format is LogFormat.TCPLOG:
            line = (
                f"{self.source}:{self.port} [{frontend.dates.stamp(begun)}] {self._log_names()} "
                f"{milliseconds(self.placed_at, self.assigned_at)}/"
                f"{milliseconds(self.assigned_at, self.connected_at)}/"
                f"{milliseconds(begun, now)} {self.sent} {flags} {self._log_load()}"
            )
        else:
            request = self.request
            text = request_line(request.target) if request is not _NO_REQUEST else "<BADREQ>"
            if request is not _NO_REQUEST:
                text = f"{request.method.decode()} {text} HTTP/1.{request.version - 10}"
            line = (
                f"{self.source}:{self.port} [{frontend.dates.stamp(begun)}] {self._log_names()} "
                f"{milliseconds(begun, self._head_at)}/{milliseconds(self.placed_at, self.assigned_at)}/"
                f"{milliseconds(self.assigned_at, self.connected_at)}/"
                f"{milliseconds(self.connected_at, self._answered_at)}/{milliseconds(begun, now)} "
                f"{self._status} {self.sent} - - {flags}{self._cookie_in}{self._cookie_out} "
                f'{self._log_load()} "{text}"'
            )
        frontend.log(_INFO, line.encode("latin-1", "replace"))
