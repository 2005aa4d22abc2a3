"""TCP mode: one client, one server, bytes both ways, half-closes kept.

Sans-I/O; `Session` has the common part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.proxy.about import About
from hapair.proxy.session import (
    CLOSE,
    CONNECTING,
    ERR,
    INFO,
    QUEUED,
    RESET,
    RETRYING,
    SHUT_SERVER,
    SILENT,
    TUNNEL,
    Session,
)
from hapair.rules.client_hello import LONGEST, OTHER, look
from hapair.rules.verdicts import Allow, Close, Reject

if TYPE_CHECKING:
    from hapair.proxy.frontend import Frontend
    from hapair.rules.client_hello import Hello
    from hapair.rules.verdicts import Rule, Verdict

_FLUSH_TIME: Final = 30.0
"""Seconds at most that a slow client has to take the rest of a stream that is over."""


class TcpSession(Session):
    """A stream through us."""

    __slots__ = (
        "_inspects",
        "_judges",
        "_logged",
        "hello",
        "server_said",
    )

    def __init__(self, frontend: Frontend, source: str, port: int, now: float) -> None:
        super().__init__(frontend, source, port, now)
        self.hello: Hello = OTHER
        """How the client began, for the rules."""
        self.server_said = b""
        """How the server began, while rules are asked about that."""
        self._judges = False
        """They have yet to be asked."""
        self._logged = False
        """It has its line already (option logasap)."""
        self._inspects = False
        """What comes is only looked at, until the backend can be chosen by it."""

    def start(self, now: float) -> None:
        """Choose the backend: by what is known of the connection, or once it has shown how it begins."""
        if not self._admitted(now):
            return
        delay = self.frontend.inspect_delay
        if delay:
            self._inspects = True
            self.deadline = now + min(delay, self.frontend.client_timeout)
        elif self._judge(now):
            self._route(now)

    def _inspect(self, now: float) -> None:
        hello = look(self.to_server)
        if hello is not None:
            self.hello = hello
        elif len(self.to_server) < LONGEST:
            return
        if self._judge(now):
            self._route(now)

    def _judge(self, now: float) -> bool:
        """Apply the rules about what a stream brings, now that it is there; false when it was rejected."""
        content = self.frontend.rules.content
        if not content:
            return True
        for rule in content:
            if rule.test is None or rule.test(self):
                verdict = rule.act(self)
                if isinstance(verdict, Allow):
                    break
                if isinstance(verdict, Reject):
                    self._inspects = False
                    self._reject(verdict, now)
                    return False
        return True

    def _route(self, now: float) -> None:
        """Apply the rules to what there is."""
        self._inspects = False
        backend = self.frontend.route(self)
        if backend is None:
            self.why = "no rule names a backend, and there is no default_backend"
            self._fail(503, "SC", now)
            return
        self._enter(backend)
        rules = backend.rules
        if rules.asks and self.about is None:
            self.about = About(self)
        if rules.key is not None:
            self.balance_key = rules.key(self)
        if rules.persistence:
            self._persists(self)
        for test, name in rules.use_server:
            if test is None or test(self):
                server = backend.by_name[name]
                if server.usable or self.forces_persistence or backend.config.persist:
                    self.wanted = server
                    break
        if rules.sticks:
            self._stick(self, now)
        self._place(now, self.wanted)

    def connected(self, now: float, *, reused: bool) -> None:
        """Bytes flow."""
        del reused
        self.connected_at = now
        if self.server is not None:
            self.server.observed(4, True, "")
        if self.backend is not None:
            rules = self.backend.rules
            self._judges = bool(rules.tcp_response or rules.store_response)
        if self.noted is not None and not self._judges:
            self._remember(self, now)
        if self.server is not None and self.server.send_proxy is not None:
            self.to_server = self._greeting(self.server) + self.to_server
        self._open_tunnel(now)
        if self.frontend.logasap and not self._logged:
            self._logged = True
            self._log("--", now)

    def client_data(self, data: bytes, now: float) -> None:
        """On to the server, or into its buffer until it is connected."""
        self.received += len(data)
        self.frontend.bytes_in += len(data)
        if self.stage == TUNNEL:
            self._tunnel_client_data(data, now)
        elif not self.ended:
            self.to_server += data
            if self._inspects:
                self._inspect(now)

    def server_data(self, data: bytes, now: float) -> None:
        """On to the client, once the rules have seen how the server begins."""
        if self._judges and not self.ended and not self._judged(data, now):
            return
        if not self.ended:
            self.frontend.bytes_out += len(data)
            self._tunnel_server_data(data, now)

    def _judged(self, data: bytes, now: float) -> bool:
        """Ask the rules about the first bytes of the server; false when the client gets none of them."""
        self._judges = False
        self.server_said = data
        self.told_at = now
        assert self.backend is not None
        verdict = self._first_verdict(self.backend.rules.tcp_response)
        if isinstance(verdict, Reject):
            if verdict.silent:
                self.orders |= SILENT
            self._end("PD", now)
            return False
        if self.noted is not None:
            self._remember(self, now)
        self.server_said = b""
        if isinstance(verdict, Close):
            self.frontend.bytes_out += len(data)
            self._tunnel_server_data(data, now)
            self._end("--", now)
            return False
        return True

    def _first_verdict(self, rules: list[Rule]) -> Verdict | None:
        for rule in rules:
            if rule.test is None or rule.test(self):
                verdict = rule.act(self)
                if verdict is not None:
                    return verdict
        return None

    def client_eof(self, now: float) -> None:
        """Half-close; or the end of a client that gave up before it had a server."""
        if self.ended:
            return
        self.client_ended = True
        if self.stage == TUNNEL:
            self._tunnel_client_eof(now)
        elif self._inspects and self.to_server:
            if self._judge(now):
                self.orders |= SHUT_SERVER
                self._route(now)
        elif self.to_server and self.backend is not None and not self.backend.config.abortonclose:
            self.orders |= SHUT_SERVER
        else:
            self._end(self._given_up(), now)

    def client_gone(self, now: float) -> None:
        """The client reset the connection: so do we, towards the server."""
        if not self.ended:
            self.orders |= RESET
            self._end(self._ended_as("CD") if self.stage == TUNNEL else self._given_up(), now)

    def _given_up(self) -> str:
        """The flags of a client that leaves before it has a server."""
        return "CR" if self._inspects else "CQ" if self.stage == QUEUED else "CC"

    def server_eof(self, now: float, *, broken: bool) -> None:
        """Half-close, or a reset that the client must notice."""
        if self.ended:
            return
        if broken:
            self.orders |= RESET
            self._end(self._ended_as("SD"), now)
            return
        self._tunnel_server_eof(now)

    def flushed(self, now: float) -> None:
        """A slow receiver that takes some is not idle."""
        if self.stage == TUNNEL:
            self._tunnel_client_took(now)

    def timeout(self, now: float) -> None:
        """Nothing happened for too long."""
        if self.ended:
            self.to_client = b""
            self.orders |= CLOSE | RESET
        elif self._inspects:
            if self._judge(now):
                self._route(now)
        elif self.stage == QUEUED:
            self._queued_too_long(now)
        elif self.stage == CONNECTING:
            self.connect_failed(now, timed_out=True)
        elif self.stage == RETRYING:
            self._retry(now)
        else:
            self._tunnel_timeout(now)

    def again(self, now: float) -> None:
        """Never ordered in this mode."""
        raise AssertionError(now)

    def shut_down(self, now: float, *, at_once: bool, flag: str = "K") -> None:
        """A stream has no natural end: it goes on until its deadline, or ends at once."""
        if at_once and not self.ended:
            self.orders |= RESET
            self._end(f"{flag}-", now)

    def _end_tunnel(self, flags: str, now: float) -> None:
        self._end(flags, now)

    def _fail(self, status: int, flags: str, now: float) -> None:
        del status  # a TCP client can only be told by closing
        self.frontend.request_errors += 1
        self._end(flags, now)

    def _end(self, flags: str, now: float) -> None:
        self._leave()
        self.ended = True
        if self.backend is not None:
            self.backend.leave()
        if self.orders & RESET:
            self.to_client = b""
        self.orders |= CLOSE
        self.deadline = now + _FLUSH_TIME
        if not self._logged:
            self._log(flags, now)

    def _log(self, flags: str, now: float) -> None:
        frontend = self.frontend
        if frontend.log_format is None or (frontend.dontlognull and not self.received):
            return
        level = INFO
        if frontend.judges_ends and self._went_wrong(flags, 0):
            if frontend.separates_errors:
                level = ERR
        elif frontend.dontlog_normal:
            return
        if frontend.line is not None and self.about is not None:
            self._templated(level, flags, now)
        else:
            frontend.log_clean(level, self._tcplog(self.accepted_at, flags, now), b"")
