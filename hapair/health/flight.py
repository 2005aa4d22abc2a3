"""Every probe in flight on one epoll: the sockets under the dialogues.

Hot: two thousand servers every two seconds are a thousand flights a second.  A
flight is a plain object driven by plain calls; a task for each costs more than
the probe itself.  Edge-triggered, registered once, forgotten by closing.

Trap: within a batch a closed descriptor's number can be reopened.  Therefore
`turn` only ends flights and only `launch` opens sockets: never call `launch`
from `landed`.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Generic, TypeVar

from hapair.health.plan import CheckPlan
from hapair.health.probes.dialogue import MAX_ANSWER, Dialogue, Step
from hapair.health.probes.outcome import EXCERPT, Finding, Outcome
from hapair.health.schedule import Calendar
from hapair.kernel.icmp import EchoSocket

logger = logging.getLogger("hapair.health")

BATCH = 64
"""Events that one turn serves: about a millisecond."""

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_ABORT = struct.pack("ii", 1, 0)
_TOKEN = 16
_UNREACHABLE = {
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENOENT,  # there is no such unix socket
    errno.EAGAIN,  # its queue is full
}
_BUG = Finding("SOCKERR", "internal error")

Target = TypeVar("Target")


class _Flight(Generic[Target]):
    """One probe on its way: on a socket of its own, or a ping."""

    __slots__ = (
        "began",
        "connected",
        "count",
        "dialogue",
        "read_timeout",
        "received",
        "sent",
        "sock",
        "target",
        "token",
        "unsent",
    )

    def __init__(self, target: Target, plan: CheckPlan, began: float) -> None:
        self.target = target
        self.began = began
        self.read_timeout = plan.read_timeout
        self.sock: socket.socket | None = None
        self.dialogue: Dialogue | None = None
        self.token = b""
        self.connected = False
        self.unsent = b""
        self.count = 0
        self.sent = b""
        self.received = b""


class Flights(Generic[Target]):
    """Launches probes and tells what became of them."""

    def __init__(self, landed: Callable[[Target, Outcome, float], None]) -> None:
        """`landed(target, outcome, now)` is called once for each launch, perhaps before `launch` returns."""
        self._landed = landed
        self._timeouts: Calendar[Target] = Calendar()
        self._epoll = select.epoll()
        self._flights: dict[Target, _Flight[Target]] = {}
        self._streams: dict[int, _Flight[Target]] = {}
        self._echoes: dict[bytes, _Flight[Target]] = {}
        self._echo_sockets: dict[bool, EchoSocket] = {}
        self._sequence = 0
        self._unheard = 0

    def fileno(self) -> int:
        """The epoll descriptor: readable when `turn` has work."""
        return self._epoll.fileno()

    def __len__(self) -> int:
        return len(self._flights)

    def launch(
        self,
        target: Target,
        plan: CheckPlan,
        family: int,
        address: object,
        dialogue: Dialogue | None,
        now: float,
    ) -> None:
        """Connect and hold the dialogue, or ping where there is none."""
        flight = self._flights[target] = _Flight(target, plan, now)
        self._timeouts.set(target, now + plan.connect_timeout)
        try:
            if dialogue is None:
                self._ping(flight, family, address)
            else:
                self._connect(flight, family, address, dialogue)
        except OSError as error:
            self._land(flight, _of_connect(error.errno, ping=dialogue is None), now)
        except Exception:
            logger.exception("bug in a probe")
            self._land(flight, _BUG, now)

    def abandon(self, target: Target) -> None:
        """End a flight without a word; nothing happens when there is none."""
        flight = self._flights.get(target)
        if flight is not None:
            self._end(flight)

    def next_timeout(self) -> float:
        """When `turn` has a flight to end; `inf` for never."""
        return self._timeouts.next_at()

    def turn(self, now: float) -> bool:
        """Serve one batch; true when there may be more."""
        if self._unheard <= 0:
            self._unheard = len(self._flights)
        ready = self._epoll.poll(0, BATCH)
        streams = self._streams
        for fd, mask in ready:
            flight = streams.get(fd)
            if flight is None:
                self._hear(fd, now)
                continue
            try:
                finding = self._serve(flight, mask, now)
            except Exception:
                logger.exception("bug in a probe")
                self._land(flight, _BUG, now)
            else:
                if finding is not None:
                    self._land(flight, finding, now)
        self._unheard -= BATCH
        if len(ready) == BATCH and self._unheard > 0:
            # What arrived in time counts, however long we were kept from listening: no flight
            # is late before everybody who was ready when this began has been heard.
            return True
        self._unheard = 0
        late = self._timeouts.due(now, BATCH)
        for target in late:
            late_flight = self._flights.get(target)
            if late_flight is not None:
                self._land(late_flight, _timeout(late_flight), now)
        return len(ready) == BATCH or len(late) == BATCH

    def close(self) -> None:
        """Abandon everything."""
        for flight in list(self._flights.values()):
            self._end(flight)
        for echo in self._echo_sockets.values():
            echo.close()
        self._epoll.close()

    # Streams

    def _connect(self, flight: _Flight[Target], family: int, address: object, dialogue: Dialogue) -> None:
        sock = flight.sock = socket.socket(family, _STREAM)
        flight.dialogue = dialogue
        # A reset instead of a FIN leaves no TIME_WAIT behind, here or there.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        if dialogue.silent and family != socket.AF_UNIX:
            # The last ACK of the handshake is held back and the reset takes its place, as HAProxy
            # does: the server's kernel has answered, its program is not bothered.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        code = sock.connect_ex(address)  # type: ignore[arg-type]
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        fd = sock.fileno()
        self._streams[fd] = flight
        self._epoll.register(fd, _EVENTS)

    def _serve(self, flight: _Flight[Target], mask: int, now: float) -> Finding | None:
        sock, dialogue = flight.sock, flight.dialogue
        assert sock is not None
        assert dialogue is not None
        step: Step
        if not flight.connected:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                return _of_connect(code)
            flight.connected = True
            step = dialogue.connected()
            if isinstance(step, Finding):
                return step
            if flight.read_timeout is not None:
                self._timeouts.set(flight.target, now + flight.read_timeout)
            flight.unsent = step
        try:
            if flight.unsent:
                self._send(flight, sock)
            if not mask & _READABLE:
                return None
            while True:
                data = sock.recv(MAX_ANSWER)
                if not data:
                    return dialogue.ended()
                flight.count += len(data)
                if len(flight.received) < EXCERPT:
                    flight.received = (flight.received + data)[:EXCERPT]
                step = dialogue.received(data)
                if isinstance(step, Finding):
                    return step
                if step:
                    flight.unsent += step
                    self._send(flight, sock)
                if flight.count >= MAX_ANSWER:
                    return Finding("L7RSP", "the answer is too long")
        except BlockingIOError:
            return None
        except OSError as error:
            return Finding("SOCKERR", os.strerror(error.errno or errno.EIO))

    def _send(self, flight: _Flight[Target], sock: socket.socket) -> None:
        try:
            count = sock.send(flight.unsent)
        except BlockingIOError:
            return
        if len(flight.sent) < EXCERPT:
            flight.sent = (flight.sent + flight.unsent[:count])[:EXCERPT]
        flight.unsent = flight.unsent[count:]

    # Pings

    def _ping(self, flight: _Flight[Target], family: int, address: object) -> None:
        six = family == socket.AF_INET6
        echo = self._echo_sockets.get(six)
        if echo is None:
            echo = self._echo_sockets[six] = EchoSocket(six=six)
            self._epoll.register(echo.fileno(), select.EPOLLIN)
        self._sequence = (self._sequence + 1) & 0xFFFF
        flight.token = os.urandom(_TOKEN)
        self._echoes[flight.token] = flight
        echo.send(address, self._sequence, flight.token)  # type: ignore[arg-type]

    def _hear(self, fd: int, now: float) -> None:
        """Take replies from an echo socket; an event of a stream that ended in this batch finds none."""
        for six, echo in list(self._echo_sockets.items()):
            if echo.fileno() != fd:
                continue
            try:
                for _ in range(BATCH):
                    token = echo.receive()
                    if token is None:
                        return
                    flight = self._echoes.get(token)
                    if flight is not None:
                        self._land(flight, Finding("L3OK"), now)
            except OSError as error:
                # The next ping opens another; those in flight run out of time.
                logger.warning("ICMP socket failed: %s", error.strerror)
                echo.close()
                del self._echo_sockets[six]

    # The end of every flight

    def _land(self, flight: _Flight[Target], finding: Finding, now: float) -> None:
        self._end(flight)
        self._landed(
            flight.target,
            Outcome(
                finding.ok,
                finding.status,
                now - flight.began,
                finding.info,
                finding.code,
                flight.sent,
                flight.received,
            ),
            now,
        )

    def _end(self, flight: _Flight[Target]) -> None:
        del self._flights[flight.target]
        self._timeouts.drop(flight.target)
        self._echoes.pop(flight.token, None)
        if flight.sock is not None:
            self._streams.pop(flight.sock.fileno(), None)
            flight.sock.close()


def _timeout(flight: _Flight[Target]) -> Finding:
    if flight.token:
        return Finding("L3TOUT")
    return Finding("L7TOUT" if flight.connected else "L4TOUT")


def _of_connect(code: int | None, *, ping: bool = False) -> Finding:
    """The finding on a server that could not be reached; SOCKERR when that says nothing about the server."""
    if code == errno.ETIMEDOUT:
        return Finding("L4TOUT")
    info = os.strerror(code or errno.EIO)
    if code not in _UNREACHABLE:
        return Finding("SOCKERR", info)
    return Finding("L3CON" if ping else "L4CON", info)
