"""What has become of an exchange, for log lines in a format: `hapair.rules.facts.Record` over a session.

Not hot: httplog and tcplog without captures are written by `exchange` and `tunnel` themselves.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from hapair.proxy.log_line import milliseconds

if TYPE_CHECKING:
    from hapair.proxy.about import About

_LONGEST = 256
"""Bytes of a reason."""
_NOWHERE: tuple[str, int | None] = ("", None)


class Record:
    """As it stands at a moment; the last one is the end."""

    def __init__(self, session: Any, about: About, flags: str, now: float, *, over: bool = True) -> None:
        self._session = session
        self._about = about
        self._now = now
        self.flags = flags.encode()
        self.over = over

    # -- moments ------------------------------------------------------------------------

    @property
    def accepted(self) -> float:
        session = self._session
        at: float = session.accepted_at + session.frontend.dates.offset
        return at

    @property
    def begun(self) -> float:
        at: float = self._begun_at + self._session.frontend.dates.offset
        return at

    @property
    def _begun_at(self) -> float:
        """When the request began; a stream begins with its connection."""
        begun: float = getattr(self._session, "_begun_at", inf)
        accepted: float = self._session.accepted_at
        return begun if begun != inf else accepted

    # -- times, in ms -------------------------------------------------------------------

    @property
    def handshake(self) -> int:
        return int(self._session.handshake * 1000)

    @property
    def idle(self) -> int:
        session = self._session
        return milliseconds(session.accepted_at + session.handshake, self._begun_at)

    @property
    def head(self) -> int:
        return milliseconds(self._begun_at, getattr(self._session, "_head_at", inf))

    @property
    def query(self) -> int:
        """From the accepting to the whole head."""
        return milliseconds(self._session.accepted_at, getattr(self._session, "_head_at", inf))

    @property
    def queued(self) -> int:
        return milliseconds(self._session.placed_at, self._session.assigned_at)

    @property
    def connect(self) -> int:
        return milliseconds(self._session.assigned_at, self._session.connected_at)

    @property
    def response(self) -> int:
        return milliseconds(self._session.connected_at, getattr(self._session, "_answered_at", inf))

    @property
    def data(self) -> int:
        session = self._session
        return milliseconds(getattr(session, "_answered_at", session.connected_at), self._now)

    @property
    def active(self) -> int:
        return milliseconds(self._begun_at, self._now)

    @property
    def total(self) -> int:
        return milliseconds(self._session.accepted_at, self._now)

    @property
    def user(self) -> int:
        return self.total - self.idle

    @property
    def why(self) -> bytes | None:
        why: str = self._session.why
        return why.encode("ascii", "replace")[:_LONGEST] or None

    # -- what was moved -----------------------------------------------------------------

    @property
    def status(self) -> int:
        status: int = getattr(self._session, "_status", 0)
        return status

    @property
    def sent(self) -> int:
        sent: int = self._session.sent
        return sent

    @property
    def received(self) -> int:
        received: int = self._session.received
        return received

    @property
    def cookie_flags(self) -> bytes:
        session = self._session
        flags: str = getattr(session, "cookie_in", "-") + getattr(session, "cookie_out", "-")
        return flags.encode()

    # -- where it went ------------------------------------------------------------------

    @property
    def backend_name(self) -> bytes:
        session = self._session
        name: str = session.backend.name if session.backend is not None else session.frontend.name
        return name.encode()

    @property
    def server_name(self) -> bytes:
        server = self._session.server
        name: str = server.name if server is not None else "<NOSRV>"
        return name.encode()

    @property
    def target(self) -> tuple[str, int | None]:
        server = self._session.server
        if server is None or not isinstance(server.address, tuple):
            return _NOWHERE
        place = server.address[1]
        return (place[0], place[1]) if isinstance(place, tuple) else _NOWHERE

    @property
    def outgoing(self) -> tuple[str, int | None]:
        place: tuple[str, int] | None = self._session.outgoing
        return (place[0], place[1]) if place is not None and place[0] else _NOWHERE

    @property
    def load(self) -> tuple[int, int, int, int]:
        session = self._session
        frontend, backend, server = session.frontend, session.backend, session.server
        return (
            frontend.process.current,
            frontend.current,
            backend.current if backend is not None else 0,
            server.current if server is not None else 0,
        )

    @property
    def retries(self) -> bytes:
        session = self._session
        return b"%b%d" % (b"+" if session.redispatched else b"", session.attempts)

    @property
    def queues(self) -> tuple[int, int]:
        return self._session.server_queue, self._session.backend_queue

    @property
    def lines(self) -> int:
        count: int = self._session.frontend.lines
        return count

    @property
    def number(self) -> int:
        return self._about.number

    # -- the request --------------------------------------------------------------------

    @property
    def method(self) -> bytes:
        request = getattr(self._session, "request", None)
        return b"" if request is None else request.method

    @property
    def uri(self) -> bytes:
        target: bytes = self._session.request.target
        return target

    @property
    def version(self) -> bytes:
        return b"HTTP/1.%d" % (self._session.request.version - 10)

    @property
    def cookies(self) -> tuple[bytes | None, bytes | None]:
        return self._about.cookies

    @property
    def captured(self) -> tuple[list[bytes | None], list[bytes | None]]:
        return self._about.captured, self._about.captured_response
