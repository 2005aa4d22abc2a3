"""HTTP mode: requests and responses through one client connection, one after the other.

Sans-I/O and hot: `Session` says how it is driven.  The law of RFC 9112 holds in both
directions: what cannot be delimited with certainty is answered with an error (400, 502)
and the connection that brought it is not used again.
"""

from __future__ import annotations

from hapair.proxy.exchange import BODY, HEAD, IDLE
from hapair.proxy.reasons import timeout
from hapair.proxy.response_side import ResponseSide
from hapair.proxy.session import (
    CONNECTING,
    LINGER,
    NONE,
    QUEUED,
    RECEIVED,
    RECEIVING,
    RESET,
    RETRYING,
    TUNNEL,
    WAITING,
)


class HttpSession(ResponseSide):
    """One client connection in HTTP mode: its time."""

    __slots__ = ()

    def start(self, now: float) -> None:
        """Wait for the first request, not for ever."""
        if not self._admitted(now):
            return
        self.deadline = now + self.frontend.patience

    def flushed(self, now: float) -> None:
        """A slow receiver took some."""
        if self.stage == TUNNEL:
            self._tunnel_client_took(now)
        elif self.to_client:
            self.deadline = now + self.frontend.client_timeout
        elif self.ended:
            self._close(now)
        elif self.reading == IDLE:
            self._expect_request(now)
        elif self.stage in (WAITING, RECEIVING):
            if self.to_server:
                self._expect_response(now)
            else:
                self._allow_body_time(now)
                self._expect_progress(now)

    def timeout(self, now: float) -> None:
        """Whoever was expected to act did not."""
        if self.ended or (self.reading == IDLE and self.to_client):
            # A client that takes nothing of its answers, or one that still sends and has read them all.
            if self.to_client:
                self.to_client = b""
                self.orders |= RESET
            self._close(now)
            self.orders &= ~LINGER
        elif self._tarpitted is not None:
            self._answer_by_rule(self._tarpitted, "PT", now)
        elif self.stage == NONE or self.stage == RECEIVED:
            self._client_too_slow(now)
        elif self.stage == QUEUED:
            self._queued_too_long(now)
        elif self.stage == CONNECTING:
            self.connect_failed(now, timed_out=True)
        elif self.stage == RETRYING:
            self._retry(now)
        elif self.stage == TUNNEL:
            self._tunnel_timeout(now)
        elif self.stage == WAITING:
            if self.reading == BODY and not self.to_server:
                slow = self._body_due <= now
                self.why = (
                    f"slower than http_body_min_rate ({self.frontend.body_rate:g} bytes/s)"
                    if slow
                    else timeout("client", self.frontend.client_timeout)
                )
                self._refuse(408, "cH", now, "the request body stalled")
            elif not self._retried("response-timeout", now):
                if self.server is not None:
                    self.server.observed(7, False, "Read timeout (http)")
                self.why = timeout("server", self.server_timeout) + self._of_server("has not answered")
                self._fail(504, "sH", now)
        elif self.to_client:
            self.to_client = b""
            self.why = timeout("client", self.frontend.client_timeout) + ": it takes nothing of its answer"
            self._abandon("cD", 0, now)
        else:
            self.why = timeout("server", self.server_timeout) + self._of_server("stopped in its answer")
            self._cut_response("sD", now)

    def _request_timeout(self) -> str:
        frontend = self.frontend
        if frontend.request_timeout <= frontend.client_timeout:
            return timeout("http_request", frontend.request_timeout)
        return timeout("client", frontend.client_timeout)

    def _client_too_slow(self, now: float) -> None:
        if self.reading == IDLE and self.requests:
            self._close(now)
        elif self.reading <= HEAD:
            self.why = self._request_timeout()
            self._refuse(408, "cR", now, "no complete request in time")
        elif self._rule_waits:
            self._go_on(now)
        elif self._waits_for_body:
            self.why = self._request_timeout()
            self._refuse(408, "cR", now, "no complete request body in time")
        else:
            self._abandon("cD", 0, now)

    def shut_down(self, now: float, *, at_once: bool, flag: str = "K") -> None:
        """Finish the request in flight, or end it now so that the client can go elsewhere."""
        if self.ended:
            return
        self.keep = False
        if self.reading == IDLE:
            self._close(now)
        elif at_once:
            self.orders |= RESET
            self.to_client = b""
            self._abandon(flag + ("D" if self._answer_begun else "H"), 0, now)
