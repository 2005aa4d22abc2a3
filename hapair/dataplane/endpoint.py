"""The two sockets of a session: they carry out what the pure machine wants.

Hot.  A client end owns the session; a server end serves one client end after
the other and rests in its server's pool in between.  Interest in epoll changes
only when a side is slow: reading stops lazily, at the first event that finds
the other side's buffer full.

Longer than most files: the two ends call each other, and each call is measured.
"""

from __future__ import annotations

import errno
import socket
import struct
from math import inf
from typing import TYPE_CHECKING

from hapair.dataplane.reactor import BROKEN, ERROR, READ, WRITE
from hapair.dataplane.timers import Timer
from hapair.proxy.session import (
    AGAIN,
    CLOSE,
    CONNECT,
    DROP,
    LINGER,
    RELEASE,
    RESET,
    SHUT_CLIENT,
    SHUT_SERVER,
    Session,
)

if TYPE_CHECKING:
    from hapair.dataplane.listener import Listener
    from hapair.dataplane.reactor import Reactor
    from hapair.proxy.backend import Server

RECEIVE = 65536
HIGH_WATER = 16384
"""Bytes that may wait for one side before reading from the other stops."""
MAX_IDLE = 64
"""Idle connections kept for each server."""
IDLE_TIME = 10.0
"""Seconds that an idle server connection is kept."""

_ABORT = struct.pack("ii", 1, 0)


def abort(sock: socket.socket) -> None:
    """Make the coming close a reset: the peer must not take this for an orderly end."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    except OSError:
        pass  # already gone: nothing is left to tell


class ServerEnd:
    """A connection to a server."""

    __slots__ = ("client", "connected", "mask", "reactor", "server", "sock", "timer")

    def __init__(self, reactor: Reactor, server: Server, client: ClientEnd) -> None:
        self.reactor = reactor
        self.server = server
        self.client: ClientEnd | None = client
        self.connected = False
        self.timer = Timer(self)
        address = server.address
        assert isinstance(address, tuple)
        family, target = address
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock = sock
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(target)
        if code and code != errno.EINPROGRESS:
            sock.close()
            raise OSError(code, "connect")
        self.mask = WRITE
        reactor.add(sock, self, WRITE)

    def on_ready(self, mask: int, now: float) -> None:
        """The connection stands or failed, data came, or there is room again."""
        client = self.client
        if client is None:
            # Idle: whatever it is (data nobody asked for, an end), it cannot be used any more.
            self.server.idle.remove(self)
            self.close()
            return
        session = client.session
        if not self.connected:
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                session.connect_failed(now, timed_out=False)
            else:
                self.connected = True
                session.connected(now, reused=False)
                self._watch(READ)
            client.settle(now)
            return
        if mask & WRITE:
            self.flush(session, now)
            session.flushed(now)
        if mask & ~WRITE and client.server_end is self:
            if session.server_ended and mask & ERROR:
                session.server_eof(now, broken=True)
            elif session.server_ended:
                # Both directions are shut: nothing more can come, and epoll would not stop saying so.
                self.reactor.forget(self.sock)
            elif len(session.to_client) >= HIGH_WATER and not mask & BROKEN:
                self._watch(self.mask & ~READ)
            else:
                self._receive(session, now)
        client.settle(now)

    def _receive(self, session: Session, now: float) -> None:
        try:
            data = self.sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            self._ended(session, now, broken=True)
            return
        if data:
            session.server_data(data, now)
        else:
            self._ended(session, now, broken=False)

    def _ended(self, session: Session, now: float, *, broken: bool) -> None:
        self._watch(self.mask & ~READ)
        session.server_ended = True
        session.server_eof(now, broken=broken)

    def flush(self, session: Session, now: float) -> None:
        """Send what the session has for the server."""
        data = session.to_server
        if data:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The server is gone; what it said before that may still be read.
                session.to_server = b""
                if session.server_ended:
                    session.server_eof(now, broken=True)
                return
            self.server.bytes_in += sent
            if sent == len(data):
                session.to_server = b""
            else:
                session.to_server = data[sent:]
                session.flushed(now)
                if not self.mask & WRITE:
                    self._watch(self.mask | WRITE)
                return
        if self.mask & WRITE:
            self._watch(self.mask & ~WRITE)

    def resume(self) -> None:
        """The client took enough: read again."""
        if not self.mask & READ:
            self._watch(self.mask | READ)

    def _watch(self, mask: int) -> None:
        if mask != self.mask:
            self.mask = mask
            self.reactor.watch(self.sock, mask)

    def rest(self, now: float) -> None:
        """Go to the pool."""
        self.client = None
        idle = self.server.idle
        if len(idle) >= MAX_IDLE or self.server.retired or not self.server.usable:
            self.close()
            return
        if self.mask != READ:
            self._watch(READ)
        idle.append(self)
        self.reactor.wheel.arm(self.timer, now + IDLE_TIME)

    def on_deadline(self, now: float) -> None:
        """Idle for too long."""
        del now
        if self.client is None and self in self.server.idle:
            self.server.idle.remove(self)
            self.close()

    def close(self) -> None:
        """Close, whatever happens on it."""
        self.client = None
        self.timer.cancel()
        self.reactor.close(self.sock)


class ClientEnd:
    """A client's connection, and the session that lives on it."""

    __slots__ = (
        "closed",
        "listener",
        "mask",
        "reactor",
        "server_end",
        "session",
        "shut",
        "sock",
        "timer",
    )

    def __init__(self, reactor: Reactor, listener: Listener, sock: socket.socket, session: Session) -> None:
        self.reactor = reactor
        self.listener = listener
        self.sock = sock
        self.session = session
        session.endpoint = self
        self.server_end: ServerEnd | None = None
        self.closed = False
        self.shut = False
        """We have told the client that nothing more comes."""
        self.timer = Timer(self)
        self.mask = READ
        reactor.add(sock, self, READ)

    def on_ready(self, mask: int, now: float) -> None:
        """The client sent something, went away, or has room again."""
        session = self.session
        if mask & WRITE:
            self._flush(session, now)
            session.flushed(now)
        if mask & ~WRITE and not self.closed:
            full = len(session.to_server) >= HIGH_WATER or session.buffered() >= HIGH_WATER
            if full and not mask & BROKEN:
                self._watch(self.mask & ~READ)
            elif self.mask & READ:
                self._receive(session, now)
            elif mask & BROKEN:
                if session.client_ended and self.shut:
                    self.reactor.forget(self.sock)
                else:
                    self._gone(session, now)
        self.settle(now)

    def _receive(self, session: Session, now: float) -> None:
        try:
            data = self.sock.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            self._gone(session, now)
            return
        if data:
            session.client_data(data, now)
            return
        self._watch(self.mask & ~READ)
        if session.ended:
            # It needs no lingering any more, but it gets the rest of what it asked for.
            session.client_ended = True
        else:
            session.client_eof(now)

    def _gone(self, session: Session, now: float) -> None:
        session.client_gone(now)
        session.to_client = b""
        session.orders = (session.orders & ~LINGER) | CLOSE

    def settle(self, now: float) -> None:
        """Carry out the session's orders and send what it has, until nothing is left to do at once."""
        session = self.session
        if self.closed:
            return
        while True:
            orders = session.orders
            if orders & (CONNECT | RELEASE | DROP):
                session.orders = orders & ~(CONNECT | RELEASE | DROP)
                if orders & (RELEASE | DROP):
                    self._let_go(now, keep=not orders & DROP)
                if orders & CONNECT:
                    self._connect(session, now)
                continue
            end = self.server_end
            if end is not None and end.connected:
                if session.to_server and not end.mask & WRITE:
                    end.flush(session, now)
                if session.orders & SHUT_SERVER and not session.to_server:
                    session.orders &= ~SHUT_SERVER
                    self._shut(end.sock)
                if not end.mask & READ and not session.server_ended and len(session.to_client) < HIGH_WATER:
                    end.resume()
            if session.to_client and not self.mask & WRITE:
                self._flush(session, now)
            orders = session.orders
            if orders & (CONNECT | RELEASE | DROP):
                continue
            if orders and not session.to_client:
                if orders & AGAIN:
                    if not session.to_server:
                        session.orders &= ~AGAIN
                        session.again(now)
                        continue
                elif orders & CLOSE:
                    if self._finish(session):
                        return
                elif orders & SHUT_CLIENT:
                    session.orders &= ~SHUT_CLIENT
                    self.shut = True
                    self._shut(self.sock)
            break
        if (
            not self.mask & READ
            and not session.client_ended
            and len(session.to_server) < HIGH_WATER
            and session.buffered() < HIGH_WATER
        ):
            self._watch(self.mask | READ)
        if session.deadline != self.timer.deadline:
            self.reactor.wheel.arm(self.timer, session.deadline)

    def _finish(self, session: Session) -> bool:
        """Close; false while a lingering client still has to read our answer."""
        if session.orders & LINGER and not session.orders & RESET and not session.client_ended:
            if not self.shut:
                self.shut = True
                self._shut(self.sock)
                if not self.mask & READ:
                    self._watch(READ)
            return False
        if session.orders & RESET:
            abort(self.sock)
        self.close()
        return True

    def close(self) -> None:
        """Close now, whatever the session thinks."""
        if not self.closed:
            self.closed = True
            if self.server_end is not None:
                self.server_end.close()
                self.server_end = None
            self.timer.cancel()
            self.session.endpoint = None
            self.reactor.close(self.sock)
            self.listener.closed(self)

    @staticmethod
    def _shut(sock: socket.socket) -> None:
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # not connected any more: the next event says so

    def _connect(self, session: Session, now: float) -> None:
        server = session.server
        assert server is not None
        session.server_ended = False
        if session.may_reuse and server.idle:
            end = server.idle.pop()
            end.client = self
            self.server_end = end
            session.connected(now, reused=True)
            return
        try:
            self.server_end = ServerEnd(self.reactor, server, self)
        except OSError:
            session.connect_failed(now, timed_out=False)

    def _let_go(self, now: float, *, keep: bool) -> None:
        end = self.server_end
        if end is None:
            return
        self.server_end = None
        if keep:
            end.rest(now)
        else:
            if self.session.orders & RESET:
                abort(end.sock)
            end.close()

    def _flush(self, session: Session, now: float) -> None:
        data = session.to_client
        if data:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._gone(session, now)
                return
            if sent == len(data):
                session.to_client = b""
            else:
                session.to_client = data[sent:]
                session.flushed(now)
                if not self.mask & WRITE:
                    self._watch(self.mask | WRITE)
                return
        if self.mask & WRITE:
            self._watch(self.mask & ~WRITE)

    def _watch(self, mask: int) -> None:
        if mask != self.mask:
            self.mask = mask
            self.reactor.watch(self.sock, mask)

    def on_deadline(self, now: float) -> None:
        """The session's deadline has passed."""
        if not self.closed:
            self.session.deadline = inf
            self.session.timeout(now)
            self.settle(now)
