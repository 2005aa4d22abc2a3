"""A client that sends bytes as they are, and waiting for what must happen."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

import attrs
from conformance.oracle import Address

_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_TICK = 0.01


@attrs.frozen
class Patience:
    """Seconds."""

    idle: float = 0.45
    """Nothing happens for so long: the case is over."""
    limit: float = 3.0
    close_wait: float = 1.5
    """Longer, where only closing will do."""


class Client:
    """One connection to the proxy; keeps what comes."""

    def __init__(self, address: Address) -> None:
        self._sock = socket.create_connection(address, timeout=5)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.settimeout(None)
        self.received = bytearray()
        self.eof = False
        self.reset = False
        self.gone = False
        """Did we leave on purpose?"""
        self.last = time.monotonic()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := self._sock.recv(65536):
                self.received += data
                self.last = time.monotonic()
        except OSError:
            self.reset = True
        self.eof = True
        self.last = time.monotonic()

    def send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            self.reset = True

    def half_close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def leave(self, *, rst: bool) -> None:
        """Go away in the middle of it."""
        if rst:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.gone = True
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for `condition`, but no longer than so many seconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(_TICK)
