"""One request and its response: what both sides know of it, and how it ends.

Sans-I/O; `Session` says how it is driven.  `request_side` and `response_side` move it on.

Longer than most files: what both sides know must be in one place.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from hapair.http1 import emit
from hapair.http1.framing import UNTIL_CLOSE
from hapair.http1.head import Request
from hapair.http1.printable import request_line
from hapair.proxy.about import NO_REQUEST, About
from hapair.proxy.backend import NO_REUSE
from hapair.proxy.reasons import named
from hapair.proxy.session import (
    AGAIN,
    CLOSE,
    DROP,
    ERR,
    INFO,
    LINGER,
    NONE,
    PARK,
    RECEIVE,
    RELEASE,
    RESET,
    Session,
)
from hapair.proxy.steady import NO_RULES
from hapair.rules.verdicts import Answer, Reject, Tarpit

if TYPE_CHECKING:
    from hapair.cache.store import Draft
    from hapair.config.model import Algo
    from hapair.http1.body import ChunkedBody
    from hapair.http1.codings import Encoder
    from hapair.proxy.compression import Compression
    from hapair.proxy.frontend import Frontend
    from hapair.proxy.steady import RuleList
    from hapair.rules.facts import Facts
    from hapair.rules.verdicts import Kept as KeptResponse
    from hapair.rules.verdicts import Rule, Verdict

# Where we are with what the client sends.
IDLE: Final = 0
HEAD: Final = 1
BODY: Final = 2
COMPLETE: Final = 3

_LINGER_TIME: Final = 2.0
"""Seconds that a client which still sends has to read our last answer."""
BODY_GRACE: Final = 20.0
"""Seconds that a request body may take to begin, before its rate counts."""
NOTHING: Final = memoryview(b"")


class Exchange(Session):
    """State of a client connection in HTTP mode, and of the exchange that is under way on it."""

    __slots__ = (
        "_answer_begun",
        "_answered_at",
        "_begun_at",
        "_body_chunks",
        "_body_due",
        "_body_left",
        "_compressor",
        "_copy",
        "_dechunk",
        "_encoder",
        "_head",
        "_head_at",
        "_kept",
        "_kept_response",
        "_left",
        "_next_rule",
        "_response_chunks",
        "_response_left",
        "_reused",
        "_rule_least",
        "_rule_waits",
        "_rules",
        "_server_keeps",
        "_server_rest",
        "_status",
        "_tarpitted",
        "_unlogged",
        "_waits_for_body",
        "cookie_first",
        "cookie_in",
        "cookie_last",
        "cookie_out",
        "keep",
        "may_retry",
        "private",
        "reading",
        "request",
        "requests",
        "rest",
    )

    def __init__(self, frontend: Frontend, source: str, port: int, now: float) -> None:
        super().__init__(frontend, source, port, now)
        self.reading = IDLE
        self.rest = b""
        """Received from the client and not yet understood."""
        self.request: Request = NO_REQUEST
        self.requests = 0
        self.keep = True
        """The client connection outlives this response."""
        self._answer_begun = False
        self._waits_for_body = False
        """The whole body is wanted before a server is (http_buffer_request)."""
        self._rule_waits = False
        """The body is wanted by a rule (wait-for-body), before a backend is chosen."""
        self._rule_least = 0
        self._rules: RuleList = NO_RULES
        self._next_rule = 0
        """Where to go on in them."""
        self._tarpitted: Answer | None = None
        self._unlogged = False
        """A monitor's request, which comes each second; or it has its line already."""
        self._body_due = inf
        """When the next of a slow body must have come."""
        self._body_left = 0
        self._body_chunks: ChunkedBody | None = None
        self._head = b""
        """What was sent to the server, while it may have to be sent again."""
        self._kept = b""
        """The whole request, while `retry_on` may want it again."""
        self.may_retry = True
        """No rule has forbidden that."""
        self.private = False
        """A server connection of this client has its name on it (NTLM): nobody else may use one."""
        self._reused = False
        self._server_rest = b""
        self._server_keeps = False
        self._response_left = 0
        self._response_chunks: ChunkedBody | None = None
        self._dechunk = False
        self._compressor: tuple[Compression, Algo] | None = None
        """What compresses the response, if that suits it."""
        self._encoder: Encoder | None = None
        """What does."""
        self._copy: Draft | None = None
        """A cache's copy of the response, as it comes."""
        self._kept_response: KeptResponse | None = None
        """What a cache has for the client."""
        self._left = NOTHING
        """What the client has yet to get of that."""
        self._status = -1
        self.cookie_in = "-"
        self.cookie_out = "-"
        self.cookie_first = self.cookie_last = 0
        """Unix time of the client's first visit and of its last, as its cookie says; 0 for unknown."""
        self._begun_at = inf
        self._head_at = inf
        self._answered_at = inf

    def _reset(self, now: float) -> None:
        """Ready for the next request of this client."""
        self.reading = IDLE
        self.request = NO_REQUEST
        self.backend = None
        self.server = None
        self.attempts = 0
        self.redispatched = False
        self.server_queue = self.backend_queue = 0
        self.priority_class = 0
        self.priority_offset = 0.0
        self.placed_at = self.assigned_at = self.connected_at = inf
        self._begun_at = self._head_at = self._answered_at = inf
        self.accepted_at = now
        self.handshake = 0.0
        self.outgoing = None
        self._answer_begun = self._dechunk = self._waits_for_body = self._rule_waits = False
        self._compressor = self._encoder = self._copy = self._kept_response = None
        self._left = NOTHING
        self.portion = RECEIVE
        self._status = -1
        self.sent = 0
        self.received = 0
        self._head = self._server_rest = self._kept = b""
        self.may_retry = True
        self.wanted = None
        self.forces_persistence = self.ignores_persistence = False
        self.noted = None
        self.cookie_first = self.cookie_last = 0
        self.cookie_in = self.cookie_out = "-"
        self._tarpitted = None
        self._unlogged = False
        self.why = ""
        about: About | None = self.about
        if about is not None:
            about.renew()
        self._expect_request(now)

    def _expect_request(self, now: float) -> None:
        """One more, or the client has had enough."""
        self.deadline = now + self.frontend.idle_timeout

    def _expect_progress(self, now: float) -> None:
        """The next sign of life must come in time from whomever we wait for.

        What a client sent counts as passed on: if the server does not take it, `flushed` says so.
        """
        if self.reading == COMPLETE:
            self.deadline = now + self.server_timeout
        else:
            self.deadline = min(now + self.frontend.client_timeout, self._body_due)

    def _allow_body_time(self, now: float) -> None:
        """While we did not read, a body could not come."""
        if self.reading == BODY and self._body_due != inf:
            self._body_due = max(self._body_due, now + BODY_GRACE)

    def _expect_response(self, now: float) -> None:
        if self._kept_response is not None:
            self.deadline = now + self.frontend.client_timeout
            return
        self.deadline = now + self.server_timeout

    def _finish(self, flags: str, now: float) -> None:
        """The request is over and the client has, or will have, all of the answer."""
        backend = self.backend
        if self._copy is not None:
            self._copy.drop()  # unless it is complete
            self._copy = None
        if self.stage != NONE and self._kept_response is None:
            assert backend is not None
            assert self.server is not None
            if not self._server_keeps or self.frontend.server_close or backend.server_close:
                self.orders |= DROP
            else:
                self.orders |= PARK if self.private or self.server.private else RELEASE
        self.stage = NONE
        self._release()
        if backend is not None:
            backend.leave()
        try:
            self._log(flags, now)
        except Exception:
            self.backend = None  # `client_gone` comes next, and would leave it a second time
            raise
        if not self.keep:
            self._close(now)
            return
        self._reset(now)
        if self.rest:
            self.orders |= AGAIN
        elif self.client_ended:
            self._close(now)

    def _retried(self, event: str, now: float) -> bool:
        """Try once more, at once, if `retry_on` says so after `event` and there is a try left."""
        backend, server = self.backend, self.server
        if not self._kept or backend is None or server is None:
            return False
        if event not in backend.retry_on or self.attempts >= backend.config.retries or self._answer_begun:
            return False
        self.attempts += 1
        server.retries += 1
        self.why = ""  # if it goes well now there is nothing to tell
        self.to_server = self._kept
        self.may_reuse = NO_REUSE
        self.orders = (self.orders & ~(RELEASE | PARK)) | DROP
        if self._leaves(server):
            self._redispatch(now)
        else:
            self._connect(now)
        return True

    # -- ends ---------------------------------------------------------------------------------

    def _answer_by_rule(self, verdict: Answer, flags: str, now: float) -> None:
        """What a rule says to the client; the connection stays, if its request is complete."""
        self._tarpitted = None
        self._leave()
        if verdict.refuses:
            self.frontend.refused("denied by a rule")
        if verdict.raw:
            answer = verdict.raw
        elif verdict.body is None:
            answer = self._page(verdict.status, close=False)
            if not answer:
                self.keep = False
                self._status = verdict.status
                self.orders |= LINGER
                self._finish(flags, now)
                return
            if verdict.headers:
                answer = (
                    b"\r\n".join([answer.partition(b"\r\n")[0], *verdict.headers])
                    + answer[answer.index(b"\r\n") :]
                )
        else:
            headers = list(verdict.headers)
            answer = emit.answer(verdict.status, headers, verdict.body, close=False)
        self._answer_ourselves(answer, now, flags)

    def _page(self, status: int, *, close: bool) -> bytes:
        """The error page for `status`: the backend's, the frontend's or our own; empty for no answer."""
        pages = self.frontend.rules.pages
        if self.backend is not None and status in self.backend.rules.pages:
            pages = self.backend.rules.pages
        if status not in pages:
            return emit.error(status, close=close)
        make = pages[status]
        if make is None:
            return b""
        facts: Facts = self.request if self.request.about is not None else self
        made = make(facts)
        page = made.raw or emit.answer(made.status, list(made.headers), made.body or b"", close=False)
        return page.replace(b"\r\n", b"\r\nconnection: close\r\n", 1) if close else page

    def _after(self, answer: bytes) -> bytes:
        """Apply the rules about every response to one of ours."""
        rules = self.frontend.rules.after_response
        if not rules or self.about is None:
            return answer
        head, _, body = answer.partition(b"\r\n\r\n")
        self.about.own = lines = head.split(b"\r\n")
        self._apply(rules)
        self.about.own = None
        return b"\r\n".join([*lines, b"", body])

    def _apply(self, rules: list[Rule]) -> Verdict | None:
        """Rules about a response, of which the first verdict counts."""
        facts: Facts = self.request if self.request.about is not None else self
        for rule in rules:
            if rule.test is None or rule.test(facts):
                verdict = rule.act(facts)
                if verdict is not None:
                    self._ruled_out(verdict, rule.place)
                    return verdict
        return None

    def _ruled_out(self, verdict: Verdict, place: str) -> None:
        """Keep in mind which rule has refused something."""
        answer = verdict.answer if isinstance(verdict, Tarpit) else verdict
        if isinstance(answer, Reject) or (isinstance(answer, Answer) and answer.refuses):
            self.why = f"{'tarpitted' if answer is not verdict else 'denied'} by {place}"

    def _of_server(self, what: str) -> str:
        return f": server {named(self.server)} {what}" if self.server is not None else ""

    def _answer_ourselves(self, answer: bytes, now: float, flags: str = "LR") -> None:
        self._status = int(answer[9:12])
        self.frontend.responses[self._status // 100] += 1
        if self.request.method == b"HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        if self.reading != COMPLETE:
            self.keep = False
            self.orders |= LINGER
        if not self.keep:
            answer = answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        self._send_own(self._after(answer))
        self._finish(flags, now)

    def _refuse(self, status: int, flags: str, now: float, why: str, what: bytes | None = None) -> None:
        """The client's fault: answer and never read another byte of this connection as a request.

        `what` it sent, if that is why.
        """
        self.frontend.refused(why)
        self.why = f"{why}: {self.why}" if self.why and not self.why.startswith(why) else self.why or why
        if what is not None:
            self.frontend.process.faults.request(self, self.why, what, now)
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
        page = self._page(status, close=not self.keep)
        if page:
            if self.request.method == b"HEAD":
                page = page[: page.index(b"\r\n\r\n") + 4]
            self._send_own(self._after(page))
        else:
            self.keep = False
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

    def _cut_response(self, flags: str, now: float) -> None:
        """The answer is incomplete and partly sent: the client must be able to notice."""
        if self._response_left == UNTIL_CLOSE and (self._response_chunks is None or self._dechunk):
            self.orders |= RESET
        self._abandon(flags, 0, now)

    def _tunnel_server_eof(self, now: float) -> None:
        """After an upgrade the client gets what there is, and that is the end, as in HAProxy."""
        if self.request.method == b"CONNECT":
            super()._tunnel_server_eof(now)
            return
        if not self.client_ended and not self._ended_as(""):
            self.orders |= LINGER
        self._end_tunnel(self._ended_as("--"), now)

    def _end_tunnel(self, flags: str, now: float) -> None:
        self._abandon(flags, 0, now)

    def _close(self, now: float) -> None:
        self.ended = True
        self.rest = b""
        self.about = self.request.about = None  # else it and we would keep each other
        self.orders = (self.orders | CLOSE) & ~AGAIN
        self.deadline = now + _LINGER_TIME  # `flushed` gives it more while it takes what is left

    # -- the log ------------------------------------------------------------------------------

    def _log(self, flags: str, now: float) -> None:
        frontend = self.frontend
        frontend.bytes_out += self.sent
        if self.tracks is not None:
            self.tracks.request_over(self._status, self.received, self.sent, int(now * 1000))
        if not self._unlogged:
            self._write_line(flags, now)

    def _write_line(self, flags: str, now: float) -> None:
        frontend = self.frontend
        level = self.about.log_level if self.about is not None else None
        if (
            frontend.log_format is None
            or level == -1
            or (frontend.dontlognull and not self.requests and not self.received)
        ):
            return
        if frontend.judges_ends and self._went_wrong(flags, self._status):
            if level is None and frontend.separates_errors:
                level = ERR
        elif frontend.dontlog_normal:
            return
        if level is None:
            level = INFO
        if frontend.line is not None and self.about is not None:
            self._templated(level, flags, now)
            return
        begun = self._begun_at if self._begun_at != inf else self.accepted_at
        line = self._tcplog(begun, flags, now) if frontend.tcplog else self._httplog(begun, flags, now)
        frontend.log_clean(level, line, b"")

    def _httplog(self, begun: float, flags: str, now: float) -> bytes:
        """One format of bytes: for a line of twenty fields it takes a third of an f-string's time."""
        frontend, backend, server, request = self.frontend, self.backend, self.server, self.request
        if request is NO_REQUEST:
            text = b"<BADREQ>"
        else:
            text = request.text or b"%b %b HTTP/1.%d" % (
                request.method,
                request_line(request.target),
                request.version - 10,
            )
        head, answered = self._head_at, self._answered_at
        placed, assigned, connected = self.placed_at, self.assigned_at, self.connected_at
        return b'%b [%b] %b %b %d/%d/%d/%d/%d %d %d - - %b%b%b %d/%d/%d/%d/%b%d %d/%d "%b"' % (
            self._named(),
            frontend.dates.stamp(begun),
            frontend.label,
            server.label if server is not None else self._no_server(),
            int((head - begun) * 1000) if head != inf else -1,
            int((assigned - placed) * 1000) if placed != inf and assigned != inf else -1,
            int((connected - assigned) * 1000) if assigned != inf and connected != inf else -1,
            int((answered - connected) * 1000) if connected != inf and answered != inf else -1,
            int((now - begun) * 1000),
            self._status,
            self.sent,
            flags.encode(),
            self.cookie_in.encode(),
            self.cookie_out.encode(),
            frontend.process.current,
            frontend.current,
            backend.current if backend is not None else 0,
            server.current if server is not None else 0,
            b"+" if self.redispatched else b"",
            self.attempts,
            self.server_queue,
            self.backend_queue,
            text,
        )
