"""A syslog daemon behind TCP: `tcp@host:port`, framed by octet counting (RFC 6587 section 3.4.1).

Law: as for every target, nothing blocks or raises.  Connecting takes as long as
it takes, while lines wait; a daemon that reads slowly fills our buffer, and what
finds no room there is counted.  Octet counting rather than a line end after each
message (section 3.4.2), since only then can no text be mistaken for a frame.

A line that was torn by the end of a connection is sent again, whole, on the next
one.  What the kernel had taken and the daemon never read is lost and cannot be
counted: RFC 6587 has no answers.
"""

from __future__ import annotations

import socket
from itertools import islice
from typing import TYPE_CHECKING, Final

from hapair.dataplane.syslog_header import headers

if TYPE_CHECKING:
    from collections.abc import Callable

RECONNECT: Final = 1.0
"""Seconds between attempts to connect."""
UNANSWERED: Final = 10_000
"""Milliseconds after which a daemon that acknowledges nothing is given up (TCP_USER_TIMEOUT)."""
_AT_ONCE: Final = 64
"""Lines in one send: one that is refused has cost no more than joining these."""


class TcpSyslogTarget:
    """A connection that is made and made again by `flush`."""

    def __init__(
        self,
        level: int,
        facility: int,
        family: int,
        address: object,
        clock: Callable[[], float],
        max_waiting: int,
    ) -> None:
        self.level = level
        self._max_waiting = max_waiting
        self.waiting: list[bytes] = []
        """Frames; of the first, `_taken` bytes are on their way."""
        self.dropped = 0
        self._taken = 0
        self._facility = facility
        self._family = family
        self._address = address
        self._clock = clock
        self._headers_of = -1
        """The second whose headers are in `_headers`, by severity."""
        self._headers: list[bytes] = []
        self._retry_at = 0.0
        self._socket: socket.socket | None = None
        self._connect()

    @property
    def unsent(self) -> bool:
        return bool(self.waiting)

    def take(self, severity: int, line: bytes, now: int) -> None:
        """Frame a line of this second and keep it."""
        if len(self.waiting) >= self._max_waiting:
            self.dropped += 1
            return
        if now != self._headers_of:
            self._headers_of = now
            self._headers = headers(self._facility, now)
        header = self._headers[severity]
        self.waiting.append(b"%d %s%s" % (len(header) + len(line), header, line))

    def flush(self) -> None:
        """Send as much as is taken now; without a connection begin one, at most once a second."""
        if self._socket is None:
            if self._clock() < self._retry_at:
                return
            self._connect()
        if self._socket is None:
            return
        try:
            if _ended(self._socket):
                self._disconnect()
            else:
                self._send(self._socket)
        except BlockingIOError:
            pass  # not connected yet, or full: the rest waits
        except OSError:
            self._disconnect()

    def _send(self, sock: socket.socket) -> None:
        while self.waiting:
            data = b"".join(islice(self.waiting, _AT_ONCE))
            self._forget(sock.send(data[self._taken :], socket.MSG_NOSIGNAL))

    def _forget(self, count: int) -> None:
        """Let go of the frames that end within the next `count` bytes."""
        taken = self._taken + count
        whole = 0
        for frame in self.waiting:
            if taken < len(frame):
                break
            taken -= len(frame)
            whole += 1
        del self.waiting[:whole]
        self._taken = taken

    def _connect(self) -> None:
        """Begin; until it is done `send` would block, and it tells when it failed."""
        self._retry_at = self._clock() + RECONNECT
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED)
            sock.connect(self._address)  # type: ignore[arg-type]  # what getaddrinfo gave
        except BlockingIOError:
            self._socket = sock
        except OSError:
            sock.close()
        else:
            self._socket = sock

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._taken = 0

    def close(self) -> None:
        """Give the socket back; the kernel still delivers what it has taken."""
        self._disconnect()


def _ended(sock: socket.socket) -> bool:
    """Whether the daemon has closed; otherwise the next lines would go nowhere.  It has nothing to say to us.

    Raises:
        OSError: it was reset, or connecting failed.
    """
    try:
        return not sock.recv(4096)
    except BlockingIOError:
        return False
