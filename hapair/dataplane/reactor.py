"""The batched epoll loop: everything of the data plane that waits for sockets.

Hot.  One trio task waits until the epoll descriptor is readable, then plain
method calls serve batch after batch, at most `SLICE` seconds, before trio (and
with it VRRP's timers) gets the thread again.

Trap: within a batch a closed descriptor's number can be reopened.  Therefore
sockets are closed only at the end of a turn.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Final, Protocol

from hapair.dataplane.timers import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import SocketType

BATCH: Final = 16
"""Events: an expensive one takes 0.3 ms in plain Python, and an advert must not wait for hundreds."""
SLICE: Final = 0.001
"""Seconds of work before other tasks get a turn."""

READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = select.EPOLLOUT
RDHUP: Final = select.EPOLLRDHUP
EDGE: Final = READ | WRITE | select.EPOLLET
"""Everything, told once each time that it becomes true."""
ERROR: Final = select.EPOLLERR
BROKEN: Final = select.EPOLLERR | select.EPOLLHUP


class Endpoint(Protocol):
    """Something with a descriptor."""

    def on_ready(self, mask: int, now: float) -> None: ...


class Reactor:
    """Descriptors, deadlines and one queue of calls for the end of a turn."""

    __slots__ = ("_after", "_closing", "_endpoints", "_epoll", "_on_bug", "_soon", "now", "wheel")

    def __init__(self, on_bug: Callable[[Endpoint, Exception], None]) -> None:
        self._epoll = select.epoll()
        self._endpoints: dict[int, Endpoint] = {}
        self._closing: list[SocketType] = []
        self._after: list[Callable[[float], None]] = []
        self._soon: list[Endpoint] = []
        self._on_bug = on_bug
        """Told of an exception in an endpoint: it costs that endpoint, never the process."""
        self.wheel = Wheel(on_bug)
        self.now = time.monotonic()
        """Seconds on the monotonic clock, as of the current batch."""

    def fileno(self) -> int:
        """The epoll descriptor: readable when `turn` has work."""
        return self._epoll.fileno()

    def add(self, sock: SocketType, endpoint: Endpoint, mask: int) -> None:
        """Watch a socket."""
        fd = sock.fileno()
        self._endpoints[fd] = endpoint
        self._epoll.register(fd, mask)

    def watch(self, sock: SocketType, mask: int) -> None:
        """Change what is watched for; 0 leaves errors only.  A forgotten socket stays forgotten."""
        fd = sock.fileno()
        if fd in self._endpoints:
            self._epoll.modify(fd, mask)

    def forget(self, sock: SocketType) -> None:
        """Stop watching a socket that lives on."""
        fd = sock.fileno()
        if self._endpoints.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self, sock: SocketType) -> None:
        """Forget a socket and close it when this turn ends."""
        self._endpoints.pop(sock.fileno(), None)
        self._closing.append(sock)

    def soon(self, endpoint: Endpoint) -> None:
        """Let others have a turn, then this one, whether or not something happens on it."""
        self._soon.append(endpoint)

    def after_turn(self, call: Callable[[float], None]) -> None:
        """Make a call at the end of every turn."""
        self._after.append(call)

    def turn(self) -> bool:
        """Serve batches until there is nothing to do or the slice is used up; true if work may be waiting."""
        now = self.now = time.monotonic()
        until = now + SLICE
        while True:
            if self.wheel.next_at() <= now:
                self.wheel.expire(now)
            ready = self._epoll.poll(0, BATCH)
            endpoints = self._endpoints
            if self._soon:
                waiting, self._soon = self._soon, []
                for one in waiting:
                    self._serve(one, now)
            for fd, mask in ready:
                endpoint = endpoints.get(fd)
                if endpoint is not None:
                    try:
                        endpoint.on_ready(mask, now)
                    except Exception as error:  # noqa: BLE001 - the fence around one connection
                        self._on_bug(endpoint, error)
            for call in self._after:
                call(now)
            if self._closing:
                self.end_turn()
            now = self.now = time.monotonic()
            if not self._soon:
                if not ready or now >= until:
                    return bool(ready)
            elif now >= until:
                return True

    def _serve(self, endpoint: Endpoint, now: float) -> None:
        try:
            endpoint.on_ready(0, now)
        except Exception as error:  # noqa: BLE001 - the fence around one connection
            self._on_bug(endpoint, error)

    def end_turn(self) -> None:
        """Really close what was closed; also for changes made between turns."""
        for sock in self._closing:
            sock.close()
        self._closing.clear()

    def shut(self) -> None:
        """Close what is waiting to be closed, and the epoll descriptor."""
        self.end_turn()
        self._epoll.close()
