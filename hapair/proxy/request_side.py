"""HTTP mode: what the client sends, strictly delimited (RFC 9112), on its way to a server.

A request goes on as soon as its head is valid and a server has a slot; its body follows as it comes.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from hapair.errors import BadMessage
from hapair.http1 import emit
from hapair.http1.body import ChunkedBody, chunk, last_chunk
from hapair.http1.head import Request, incomplete_mistake
from hapair.http1.memo import parse_request
from hapair.proxy.about import About
from hapair.proxy.backend import ANY
from hapair.proxy.exchange import BODY, BODY_GRACE, COMPLETE, HEAD, IDLE, Exchange
from hapair.proxy.reasons import byte, limit
from hapair.proxy.session import AGAIN, CONNECTING, QUEUED, RECEIVED, RESET, RETRYING, TUNNEL, WAITING
from hapair.rules.verdicts import Allow, Answer, Kept, Reject, Tarpit, WaitForBody

if TYPE_CHECKING:
    from hapair.proxy.backend import Backend
    from hapair.proxy.server import Server
    from hapair.proxy.steady import RuleList
    from hapair.rules.verdicts import Verdict


BUFFER: Final = 16384
"""Bytes of a request that `http_buffer_request` waits for at most, as HAProxy's tune.bufsize."""


class RequestSide(Exchange):
    """Reads requests and places them."""

    __slots__ = ()

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
            self.received += len(data)
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
                self.deadline = now + self.frontend.patience
        end = data.find(b"\r\n\r\n")
        if end < 0:
            mistake = incomplete_mistake(data, self.frontend.limits)
            if mistake is not None:
                self._invalid(mistake, data, now)
            else:
                self.rest = data
            return
        self.rest = b""
        try:
            request = parse_request(data[:end], limits=self.frontend.limits)
        except BadMessage as mistake:
            self._invalid(mistake, data, now)
            return
        self._take_request(request, data[end + 4 :], now)

    def _invalid(self, mistake: BadMessage, data: bytes, now: float) -> None:
        where = limit(mistake.status, self.frontend.limits) or byte(data)
        self.why = mistake.why + where
        self._refuse(mistake.status, "PR", now, mistake.why, data)

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
                self._refuse(mistake.status, "PR", now, mistake.why, rest)
                return
        about: About | None = self.about
        if about is not None:
            request.about = about
            about.request = request
            about.held = body
            self.told_at = now
            about.capture_request()
        if self.tracks is not None:
            self.tracks.request(int(now * 1000))
        if frontend.monitor_uri and request.path == frontend.monitor_uri:
            self._monitored(now)
            return
        rules = frontend.rules.http_request
        if rules.rules and not self._obeyed(rules, 0, now):
            return
        self._route(body, now)

    def _monitored(self, now: float) -> None:
        """Say whether we are well to whoever watches us; it is not logged as traffic is."""
        self._unlogged = True
        fail = self.frontend.rules.monitor_fail
        if fail is not None and fail(self.request):
            self._answer_ourselves(self._page(503, close=False) or emit.error(503, close=False), now)
        else:
            body = b"<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"
            headers = [b"cache-control: no-cache", b"content-type: text/html"]
            self._answer_ourselves(emit.answer(200, headers, body, close=False), now)

    def _obeyed(self, listed: RuleList, start: int, now: float) -> bool:
        """Apply rules to the request from `start` on; false when it does not go on now."""
        request = self.request
        about: About = self.about
        rules, runs = listed.rules, listed.runs
        if listed.looks and not start:
            request.index()
        at = start
        while at < len(rules):
            run = runs[at]
            if run is not None:
                behind = run.pass_over(request, about)
                if behind > at:
                    at = behind
                    continue
            test, act, place, _, _ = rules[at]
            at += 1
            if test is not None and not test(request):
                continue
            verdict = act(request)
            if verdict is None:
                continue
            if isinstance(verdict, Allow):
                break
            if isinstance(verdict, Kept):
                self._kept_response = verdict
                continue
            if isinstance(verdict, WaitForBody):
                if self._body_lacks(verdict.at_least):
                    self._rules, self._next_rule = listed, at
                    self._rule_waits, self._rule_least = True, verdict.at_least
                    self._await_body()
                    self.deadline = now + verdict.seconds
                    return False
                continue
            self._ruled_out(verdict, place)
            self._end_by_rule(verdict, now)
            return False
        about.settle()
        if self._kept_response is not None:
            self._give_kept(self._kept_response, now)
            return False
        return True

    def _give_kept(self, kept: Kept, now: float) -> None:
        """Answer with what a cache has."""
        raise NotImplementedError

    def _give_more(self, now: float) -> None:
        """The client has taken what it got of that: the next part."""
        raise NotImplementedError

    def send_hints(self, lines: list[bytes]) -> None:
        """Tell the client early what the answer will say (RFC 8297)."""
        self._send_own(b"\r\n".join([b"HTTP/1.1 103 Early Hints", *lines, b"", b""]))

    def _end_by_rule(self, verdict: Verdict, now: float) -> None:
        if isinstance(verdict, Answer):
            self._answer_by_rule(verdict, "PR" if verdict.refuses else "LR", now)
        elif isinstance(verdict, Tarpit):
            self._tarpitted = verdict.answer
            self.deadline = now + self.frontend.tarpit
        elif isinstance(verdict, Reject):
            self._leave()
            self.keep = False
            self._finish("PR", now)
            self._reject(verdict, now)

    def _body_lacks(self, least: int) -> bool:
        held = len(self.about.held)
        return self.reading == BODY and held < BUFFER and (not least or held < least)

    def _go_on(self, now: float) -> None:
        """The body that a rule waited for is there, or its time is over."""
        self._rule_waits = self._waits_for_body = False
        self.told_at = now
        if self.backend is None:
            if self._obeyed(self._rules, self._next_rule, now):
                self._route(self.about.held, now)
        elif self._obeyed(self._rules, self._next_rule, now):
            self._forward(self.about.held, now)

    def _route(self, body: bytes, now: float) -> None:
        """Choose a backend, and ask its rules too."""
        request, frontend = self.request, self.frontend
        if frontend.responder is not None:
            own = frontend.responder(request)
            if own is not None:
                self._answer_ourselves(own, now)
                return
        if request.method == b"TRACE":
            self._refuse(405, "PR", now, "TRACE reflects credentials", request.lines[0])
            return
        backend = frontend.route(request)
        if backend is None:
            self.why = "no rule names a backend, and there is no default_backend"
            self._fail(503, "SC", now)
            return
        self._enter(backend)
        if backend.httpclose or frontend.httpclose:
            self.keep = False
        if backend.rules.asks:
            if self.about is None:
                self.about = About(self)
                self.about.held = body
            request.about = self.about
            self.about.request = request
            rules = backend.rules.http_request
            if rules.rules and not self._obeyed(rules, 0, now):
                return
        self._forward(body, now)

    def _forward(self, body: bytes, now: float) -> None:
        """Make the head for a server, and get one."""
        request, frontend, backend = self.request, self.frontend, self.backend
        assert backend is not None
        key = backend.rules.key
        if key is not None:
            self.balance_key = key(request)
        if backend.rules.persistence:
            self._persists(request)
        if backend.rules.use_server:
            self.wanted = self._ruled_server(backend)
        if backend.persistence is not None:
            backend.persistence.read(self, request, int(now + frontend.dates.offset))
        if frontend.compresses or backend.compresses:
            self._choose_coding(request, backend)
        head = self._server_head(request, backend)
        if request.length == 0:
            self._head = head
        self.to_server = head + body if body else head
        self.may_reuse = ANY if self.requests > 1 else backend.reuse_first
        if self.reading == BODY:
            self._body_due = now + BODY_GRACE if frontend.body_rate else inf
            if (frontend.buffers or backend.buffers) and len(self.to_server) < BUFFER:
                self._await_body()
                return
        if backend.rules.sticks:
            self._stick(request, now)
        self._place(now, self.wanted)

    def _choose_coding(self, request: Request, backend: Backend | None) -> None:
        compression = self.frontend.compression(backend)
        if compression is not None:
            algo = compression.chosen(request)
            if algo is not None:
                self._compressor = compression, algo

    def _ruled_server(self, backend: Backend) -> Server | None:
        """The server of the first `use_server` whose condition holds and which may serve."""
        for test, name in backend.rules.use_server:
            if test is None or test(self.request):
                server = backend.by_name[name]
                if server.usable or self.forces_persistence or backend.config.persist:
                    return server
        return None

    def _await_body(self) -> None:
        self._waits_for_body = True
        self.deadline = self._begun_at + self.frontend.patience
        if self.request.version == 11 and self.request.header(b"expect"):
            # The server, who would say so, has not been asked yet.
            self._send_own(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _server_head(self, request: Request, backend: Backend) -> bytes:
        marks = self.frontend.marks(backend)
        if marks is not None:
            local = self.local
            marks.add(request, self.source, self.port, local.host, local.port)
        if self.frontend.id_header and self.about is not None:
            request.add(self.frontend.id_header + b": " + (self.about.unique_id or b""))
        if request.upgrade is not None:
            request.add(b"Connection: Upgrade")
            request.add(b"Upgrade: " + request.upgrade)
        elif backend.server_close or self.frontend.server_close:
            request.add(b"Connection: close")
        elif request.version == 10:
            request.add(b"Connection: keep-alive")
        return request.joined()

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
                self._refuse(mistake.status, "PD" if self._answer_begun else "PR", now, mistake.why, data)
                return
        if self._tarpitted is not None:
            return  # nobody wants it
        if self._rule_waits:
            self.about.held += data
            if not self._body_lacks(self._rule_least):
                self._go_on(now)
            return
        if data:
            self.to_server = self.to_server + data if self.to_server else data
            if self.frontend.body_rate:
                self._body_due += len(data) / self.frontend.body_rate
        if self._waits_for_body:
            if self.reading == COMPLETE or len(self.to_server) >= BUFFER:
                self._waits_for_body = False
                assert self.backend is not None
                if self.backend.rules.sticks:
                    self._stick(self.request, now)
                self._place(now, self.wanted)
        elif self.stage >= WAITING:
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

    def again(self, now: float) -> None:
        """Serve the pipelined request that waited, or end one that was answered before it was sent."""
        if self.ended:
            return
        if self.stage == RECEIVED:
            self._finish("--", now)
            return
        if self._left:
            self._give_more(now)
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

    # -- when the client ends -----------------------------------------------------------------------

    def client_eof(self, now: float) -> None:
        """The client sends no more; it may still read (a half-close)."""
        if self.ended:
            self.client_ended = True
            return
        self.client_ended = True
        if self.stage == TUNNEL:
            self._tunnel_client_eof(now)
        elif self.reading == IDLE:
            if not self.rest:
                self._left_idle(now)
        elif self.reading == HEAD:
            self._partial_request(now)
        elif self.reading == BODY:
            flags = "CR" if self._waits_for_body else "CD" if self._answer_begun else "CH"
            self._abandon(flags, 400, now)
        else:
            backend = self.backend
            if (
                backend is not None
                and backend.config.abortonclose
                and not self._answer_begun
                and not self.rest
            ):
                self._abandon({QUEUED: "CQ", CONNECTING: "CC", RETRYING: "CC"}.get(self.stage, "CH"), 0, now)

    def _left_idle(self, now: float) -> None:
        """It has what it wanted; or it never wanted anything, which is an error as in HAProxy."""
        if self.requests:
            self._close(now)
        else:
            self._refuse(400, "CR", now, "the client closed without a request")

    def _partial_request(self, now: float) -> None:
        self._refuse(400, "CR", now, "the client closed before its request was complete")

    def client_gone(self, now: float) -> None:
        """The client connection is broken: nobody is left to answer."""
        if self.ended:
            self.to_client = b""
            return
        self.client_ended = True
        if self.reading == IDLE:
            self._left_idle(now)
            self.to_client = b""
            return
        self.to_client = b""
        if self.reading == HEAD:
            flags = "CR"
        elif self.stage == TUNNEL:
            self.orders |= RESET
            flags = self._ended_as("CD")
        elif self._answer_begun:
            flags = "CD"
        else:
            flags = {QUEUED: "CQ", CONNECTING: "CC", RETRYING: "CC"}.get(self.stage, "CH")
        self._abandon(flags, 0, now)
