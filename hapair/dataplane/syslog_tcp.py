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

from hapair.dataplane.log_lines import Lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.dataplane.syslog_header import Header

RECONNECT: Final = 1.0
"""Seconds between attempts to connect."""
UNANSWERED: Final = 10_000
"""Milliseconds after which a daemon that acknowledges nothing is given up (TCP_USER_TIMEOUT)."""
_AT_ONCE: Final = 64
"""Lines in one send: one that is refused has cost no more than joining these."""


class TcpSyslogTarget(Lines):
    """A connection that is made and made again by `flush`."""

    def __init__(
        self,
        level: int,
        least: int,
        header: Header,
        longest: int,
        max_waiting: int,
        family: int,
        address: object,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(level, least, header, longest, max_waiting)
        self._taken = 0
        """Bytes of the first frame that are on their way."""
        self._family = family
        self._address = address
        self._clock = clock
        self._retry_at = 0.0
        self._socket: socket.socket | None = None
        self._connect()

    def framed(self, line: bytes) -> bytes:
        """Its length stands before it."""
        return b"%d %b" % (len(line), line)

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
