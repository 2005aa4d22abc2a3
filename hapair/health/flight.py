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

from hapair.config.asks import IcmpCheck
from hapair.config.model import ProxyVersion
from hapair.health.connecting import UNREACHABLE, come_from, greeting, of_connect, usable
from hapair.health.plan import CheckPlan
from hapair.health.probes.dialogue import MAX_ANSWER, Dialogue, Parting, Reconnect, StartTls, Step
from hapair.health.probes.kinds import DATAGRAMS
from hapair.health.probes.outcome import EXCERPT, Finding, Outcome
from hapair.health.schedule import Calendar
from hapair.kernel.icmp import EchoSocket

logger = logging.getLogger("hapair.health")

BATCH = 64
"""Events that one turn serves: about a millisecond."""

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_DATAGRAM = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
_ABORT, _ORDERLY = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
_TOKEN = 16
_BUG = Finding("SOCKERR", "internal error")

Target = TypeVar("Target")


class _Flight(Generic[Target]):
    """One probe on its way: on a socket of its own, or a ping."""

    __slots__ = (
        "address",
        "answers",
        "began",
        "connect_timeout",
        "connected",
        "count",
        "datagrams",
        "dialogue",
        "family",
        "farewell",
        "greeting",
        "moving",
        "pings",
        "read_timeout",
        "received",
        "sent",
        "sock",
        "source",
        "target",
        "tokens",
        "unsent",
    )

    def __init__(self, target: Target, plan: CheckPlan, family: int, address: object, began: float) -> None:
        self.target = target
        self.began = began
        self.family = family
        self.address = address
        self.connect_timeout = plan.connect_timeout
        self.read_timeout = plan.read_timeout
        self.datagrams = plan.kind in DATAGRAMS
        self.pings = plan.ask if isinstance(plan.ask, IcmpCheck) else IcmpCheck()
        self.greeting = plan.send_proxy
        self.source = plan.source
        self.sock: socket.socket | None = None
        self.dialogue: Dialogue | None = None
        self.tokens: list[bytes] = []
        self.answers = 0
        self.connected = False
        self.moving = False
        """The next words will be said on another connection."""
        self.unsent = b""
        self.farewell: Finding | None = None
        """What was found, once the last words are sent."""
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
        self._echo_sockets: dict[tuple[bool, str], EchoSocket] = {}  # is it IPv6, and its source
        self._sequence = 0
        self._reconnecting: list[tuple[_Flight[Target], Reconnect]] = []
        """Flights that go on with another socket, opened when the batch is over."""
        self._unheard = 0

    def fileno(self) -> int:
        """The epoll descriptor: readable when `turn` has work."""
        return self._epoll.fileno()

    def __contains__(self, target: object) -> bool:
        return target in self._flights

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
        flight = self._flights[target] = _Flight(target, plan, family, address, now)
        self._timeouts.set(target, now + plan.connect_timeout)
        flight.dialogue = dialogue
        try:
            if dialogue is None:
                self._ping(flight)
            else:
                self._connect(flight, dialogue)
        except OSError as error:
            self._land(flight, of_connect(error.errno, ping=dialogue is None), now)
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
        while self._reconnecting:
            self._reconnect(*self._reconnecting.pop(), now)
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

    def _connect(self, flight: _Flight[Target], dialogue: Dialogue) -> None:
        family = flight.family
        sock = flight.sock = socket.socket(family, _DATAGRAM if flight.datagrams else _STREAM)
        # A reset instead of a FIN leaves no TIME_WAIT behind, here or there.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        if not flight.datagrams and dialogue.silent and flight.greeting is None and family != socket.AF_UNIX:
            # The last ACK of the handshake is held back and the reset takes its place, as HAProxy
            # does: the server's kernel has answered, its program is not bothered.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        come_from(sock, flight.source)
        code = sock.connect_ex(flight.address)  # type: ignore[arg-type]
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        fd = sock.fileno()
        self._streams[fd] = flight
        self._epoll.register(fd, _EVENTS)

    def _reconnect(self, flight: _Flight[Target], step: Reconnect, now: float) -> None:
        if self._flights.get(flight.target) is not flight:
            return  # abandoned meanwhile
        self._close(flight)
        flight.connected = flight.moving = False
        flight.unsent = flight.sent = flight.received = b""
        flight.greeting = ProxyVersion.V1 if step.send_proxy else None
        if step.port is not None and isinstance(flight.address, tuple):
            flight.address = (flight.address[0], step.port, *flight.address[2:])
        self._timeouts.set(flight.target, now + flight.connect_timeout)
        assert flight.dialogue is not None
        try:
            self._connect(flight, flight.dialogue)
        except OSError as error:
            self._land(flight, of_connect(error.errno), now)

    def _serve(self, flight: _Flight[Target], mask: int, now: float) -> Finding | None:
        sock, dialogue = flight.sock, flight.dialogue
        assert sock is not None
        assert dialogue is not None
        try:
            if not flight.connected:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    return of_connect(code)
                flight.connected = True
                step = dialogue.connected()
                if flight.greeting is not None:
                    flight.unsent = greeting(flight.greeting, sock)
                if flight.read_timeout is not None and not isinstance(step, Finding):
                    self._timeouts.set(flight.target, now + flight.read_timeout)
                finding = self._say(flight, sock, step)
            else:
                finding = self._say(flight, sock, b"") if flight.unsent else None
            if finding is not None or not mask & _READABLE:
                return finding
            while flight.farewell is None and not flight.moving:
                data = sock.recv(MAX_ANSWER)
                if not data and not flight.datagrams:
                    return self._say(flight, sock, dialogue.ended(), more=False)
                flight.count += len(data)
                if len(flight.received) < EXCERPT:
                    flight.received = (flight.received + data)[:EXCERPT]
                finding = self._say(flight, sock, dialogue.received(data))
                if finding is not None:
                    return finding
                if flight.count >= dialogue.limit:
                    return Finding("L7RSP", "the answer is too long")
        except BlockingIOError:
            pass
        except OSError as error:
            if flight.datagrams and error.errno in UNREACHABLE:
                return of_connect(error.errno)
            return flight.farewell or Finding("SOCKERR", os.strerror(error.errno or errno.EIO))
        return None

    def _say(
        self, flight: _Flight[Target], sock: socket.socket, step: Step, *, more: bool = True
    ) -> Finding | None:
        """Carry out a step; a finding when that was the last.  Without `more` the server will say nothing."""
        match step:
            case bytes():
                flight.unsent += step
            case Parting(data=data, finding=finding):
                flight.unsent += data
                flight.farewell = finding
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
            case Reconnect(data=data):
                flight.unsent += data
                flight.moving = True
                self._reconnecting.append((flight, step))
            case StartTls():
                raise AssertionError("health.tls did not take this")
            case _:
                if flight.unsent:  # a PROXY header alone
                    self._send(flight, sock)
                return step
        if flight.unsent:
            self._send(flight, sock)
        if flight.farewell is not None and not flight.unsent:
            return flight.farewell
        if not more and not flight.moving:
            return flight.farewell or Finding("L7RSP", "the connection ended early")
        return None

    def _send(self, flight: _Flight[Target], sock: socket.socket) -> None:
        try:
            count = sock.send(flight.unsent)
        except BlockingIOError:
            return
        if len(flight.sent) < EXCERPT:
            flight.sent = (flight.sent + flight.unsent[:count])[:EXCERPT]
        flight.unsent = flight.unsent[count:]

    # Pings

    def _ping(self, flight: _Flight[Target]) -> None:
        six = flight.family == socket.AF_INET6
        source = usable(flight.source, flight.family)
        echo = self._echo_sockets.get((six, source))
        if echo is None:
            echo = self._echo_sockets[six, source] = EchoSocket(six=six, source=source)
            self._epoll.register(echo.fileno(), select.EPOLLIN)
        for _ in range(flight.pings.count):
            self._sequence = (self._sequence + 1) & 0xFFFF
            token = os.urandom(_TOKEN)
            flight.tokens.append(token)
            self._echoes[token] = flight
            echo.send(flight.address, self._sequence, token)  # type: ignore[arg-type]

    def _hear(self, fd: int, now: float) -> None:
        """Take replies from an echo socket; an event of a stream that ended in this batch finds none."""
        for key, echo in list(self._echo_sockets.items()):
            if echo.fileno() != fd:
                continue
            try:
                for _ in range(BATCH):
                    token = echo.receive()
                    if token is None:
                        return
                    flight = self._echoes.pop(token, None)
                    if flight is None:
                        continue
                    flight.answers += 1
                    pings = flight.pings
                    if (pings.count - flight.answers) * 100 <= pings.loss * pings.count:
                        self._land(flight, Finding("L3OK"), now)
            except OSError as error:
                # The next ping opens another; those in flight run out of time.
                logger.warning("ICMP socket failed: %s", error.strerror)
                echo.close()
                del self._echo_sockets[key]

    # The end of every flight

    def _land(self, flight: _Flight[Target], finding: Finding, now: float) -> None:
        self._end(flight)
        sent, received = flight.sent, flight.received
        if flight.dialogue is not None:
            sent, received = flight.dialogue.excerpt(sent, received)
        self._landed(
            flight.target,
            Outcome(
                finding.ok,
                finding.status,
                now - flight.began,
                finding.info,
                finding.code,
                sent,
                received,
                finding.expected,
                says=finding.says,
            ),
            now,
        )

    def _end(self, flight: _Flight[Target]) -> None:
        del self._flights[flight.target]
        self._timeouts.drop(flight.target)
        for token in flight.tokens:
            self._echoes.pop(token, None)
        self._close(flight)

    def _close(self, flight: _Flight[Target]) -> None:
        if flight.sock is not None:
            self._streams.pop(flight.sock.fileno(), None)
            flight.sock.close()
            flight.sock = None


def _timeout(flight: _Flight[Target]) -> Finding:
    if flight.dialogue is None:
        pings = flight.pings
        return Finding("L3TOUT", f"{flight.answers} of {pings.count} answers" if pings.count > 1 else "")
    if flight.farewell is not None:
        return flight.farewell
    return flight.dialogue.late() if flight.connected else Finding("L4TOUT")
