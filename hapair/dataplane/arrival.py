"""A connection whose PROXY header has not come yet: nobody's client until it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.dataplane.reactor import READ
from hapair.dataplane.timers import Timer
from hapair.proxy.proxy_protocol import LONGEST, BadProxyHeader, Place, parse

if TYPE_CHECKING:
    from socket import SocketType

    from hapair.dataplane.listener import Listener

PATIENCE: Final = 30.0
"""Seconds at most until the header is here; it is the first thing that a balancer sends."""


class Arrival:
    """Reads the header, then hands its socket and the bytes after it to the listener."""

    def __init__(
        self, listener: Listener, sock: SocketType, source: Place, local: Place, deadline: float, now: float
    ) -> None:
        self.listener = listener
        self.frontend = listener.frontend
        """As of when it came; a reload may give the listener another."""
        self.sock = sock
        self.source = source
        """Whoever really connected."""
        self.local = local
        self.accepted_at = now
        self.timer = Timer(self)
        self._data = b""
        listener.reactor.add(sock, self, READ)
        listener.reactor.wheel.arm(self.timer, min(deadline, now + PATIENCE))

    def on_ready(self, mask: int, now: float) -> None:
        """Some of it came, or the end."""
        del mask
        try:
            data = self.sock.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError as error:
            self._refuse(f"Connection error while waiting for PROXY protocol header: {error.strerror}")
            return
        if not data:
            self._refuse("Connection closed while waiting for PROXY protocol header")
            return
        self._data += data
        try:
            conveyed = parse(self._data)
        except BadProxyHeader as mistake:
            self._refuse(f"Received something which does not look like a PROXY protocol header: {mistake}")
            return
        if conveyed is not None:
            self.timer.cancel()
            self.listener.reactor.forget(self.sock)
            self.listener.arrived(self, conveyed, self._data[conveyed.size :], now)

    def on_deadline(self, now: float) -> None:
        """It did not come in time."""
        del now
        self._refuse("Timeout while waiting for PROXY protocol header")

    def _refuse(self, why: str) -> None:
        self.listener.refused(self, why, heard=bool(self._data))
        self.close()

    def close(self) -> None:
        """Nobody waits for it any more."""
        self.timer.cancel()
        self.listener.reactor.close(self.sock)
        self.listener.left(self)
