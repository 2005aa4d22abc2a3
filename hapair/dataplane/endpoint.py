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
from typing import TYPE_CHECKING, Final, Protocol

from hapair.dataplane.outgoing import bind_near_end
from hapair.dataplane.reactor import BROKEN, EDGE, ERROR, RDHUP, READ, WRITE
from hapair.dataplane.timers import Timer
from hapair.proxy.backend import ANY
from hapair.proxy.proxy_protocol import Place
from hapair.proxy.session import (
    AGAIN,
    CLOSE,
    CONNECT,
    DROP,
    LINGER,
    PARK,
    RECEIVE,
    RELEASE,
    RESET,
    SHUT_CLIENT,
    SHUT_SERVER,
    SILENT,
    Session,
)
from hapair.proxy.silence import HIGH_WATER

if TYPE_CHECKING:
    from hapair.dataplane.reactor import Reactor
    from hapair.proxy.origin import Origin
    from hapair.proxy.server import Server

AGAINS: Final = 16
"""Pipelined requests that one connection is answered in a row, before the others have their turn."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say that we, not the peer, lack something."""
NOWHERE: Final = Place("", 0)
_MORE: Final = ~(READ | WRITE) | RDHUP
"""What an event may say beyond one receive's worth."""
_SERVER_CHANGES: Final = CONNECT | RELEASE | PARK | DROP

TCP_INFO_SIZE: Final = 104
"""Bytes of struct tcp_info that have been there since Linux 2.6."""
_TCP_REPAIR: Final = 19  # linux/tcp.h; not in `socket`
_ABORT: Final = struct.pack("ii", 1, 0)


def abort(sock: socket.SocketType) -> None:
    """Make the coming close a reset: the peer must not take this for an orderly end."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    except OSError:
        pass  # already gone: nothing is left to tell


def hush(sock: socket.SocketType) -> None:
    """Make the coming close send nothing; without the right to that, a reset that goes one hop."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except OSError:
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        except OSError:
            pass  # a unix socket: it has no hops
        abort(sock)


class Host(Protocol):
    """Whoever accepted a client."""

    def closed(self, client: ClientEnd) -> None: ...


def here(sock: socket.SocketType) -> Place:
    """Our own end of a connection."""
    try:
        name = sock.getsockname()
    except OSError:
        return NOWHERE
    return Place(name[0], name[1]) if isinstance(name, tuple) else NOWHERE


class ServerEnd:
    """A connection to a server.

    Most of them need one word with epoll, when they begin: edge-triggered, it tells of the
    connection and then of each thing that comes.  It tells once, so whoever leaves something
    unread goes over to level-triggered.
    """

    __slots__ = (
        "client",
        "connected",
        "edge",
        "keeper",
        "mask",
        "port",
        "reactor",
        "server",
        "sock",
        "standing",
        "timer",
        "uses",
    )

    def __init__(self, reactor: Reactor, server: Server, client: ClientEnd) -> None:
        self.reactor = reactor
        self.server = server
        self.client: ClientEnd | None = client
        self.keeper: ClientEnd | None = None
        """The client end that parked us."""
        self.connected = False
        self.uses = 1
        self.timer = Timer(self)
        address = server.address
        assert isinstance(address, tuple)
        family, target = address
        sock = socket.SocketType(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock = sock
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.keep_alive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.standing: tuple[str, int] | None = None
        """For whom it stands there, when not for the node itself."""
        self.port = 0
        """Of its server's range of ports."""
        origin = server.origin
        if origin is not None:
            self._bind(origin, client)
        code = sock.connect_ex(target)
        if code and code != errno.EINPROGRESS:
            sock.close()
            self._return_port()
            raise OSError(code, "connect")
        self.mask = WRITE
        """What we wait for."""
        self.edge = True
        reactor.add(sock, self, EDGE)

    def _bind(self, origin: Origin, client: ClientEnd) -> None:
        self.standing = origin.of(client.session)
        try:
            self.port = bind_near_end(self.sock, origin, self.standing)
        except OSError:
            self.sock.close()
            raise

    def _return_port(self) -> None:
        if self.port:
            origin = self.server.origin
            if origin is not None and origin.free is not None:
                origin.free.append(self.port)
            self.port = 0

    def on_ready(self, mask: int, now: float) -> None:
        """The connection stands or failed, data came, or there is room again."""
        client = self.client
        if client is None:
            # Idle: whatever comes (data nobody asked for, an end), it cannot be used any more.
            if mask != WRITE:
                self._leave_rest()
            return
        session = client.session
        if not self.connected:
            # Only when the mask says that there is an error is it worth a call to learn which.
            code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if mask & BROKEN else 0
            if code:
                session.connect_failed(now, timed_out=False, error=code)
            else:
                self.connected = True
                if session.frontend.tells_outgoing or self.server.tells_outgoing:
                    session.outgoing = here(self.sock)
                session.connected(now, reused=False)
                self.mask = READ
                if mask != WRITE:
                    self._watch_level()
            client.settle(now)
            return
        if mask & self.mask & WRITE:
            self.flush(session, now)
            session.server_took(now)
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
        if self.edge and mask & _MORE:
            self._watch_level()

    def _receive(self, session: Session, now: float) -> None:
        portion = session.portion
        try:
            data = self.sock.recv(portion)
        except BlockingIOError:
            return
        except OSError:
            self._ended(session, now, broken=True)
            return
        if data:
            session.server_data(data, now)
            if len(data) == portion and self.edge:
                self._watch_level()
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
                session.server_took(now)
                if not self.mask & WRITE:
                    self._watch(self.mask | WRITE)
                return
        if self.mask & WRITE:
            self._watch(self.mask & ~WRITE)

    def resume(self) -> None:
        """The client took enough: read again."""
        if not self.mask & READ:
            self._watch(self.mask | READ)

    def turn_away(self) -> None:
        """Read nothing more."""
        self._watch(self.mask & ~READ)

    def _watch(self, mask: int) -> None:
        if mask != self.mask:
            self.mask = mask
            self._watch_level()

    def _watch_level(self) -> None:
        self.edge = False
        self.reactor.watch(self.sock, self.mask)

    def rest(self, now: float, keeper: ClientEnd | None) -> None:
        """Go to the pool, or wait for the next request of `keeper`."""
        self.client = None
        server = self.server
        idle = server.idle
        if (
            len(idle) >= server.pool_max_conn
            or server.retired
            or not server.usable
            or self.uses > server.max_reuse
        ):
            self.close()
            return
        if self.mask != READ:
            self._watch(READ)
        if keeper is None:
            idle.append(self)
        else:
            keeper.parked = self
            self.keeper = keeper
        self.reactor.wheel.arm(self.timer, now + server.pool_purge_delay)

    def work_for(self, client: ClientEnd) -> None:
        """Serve another request."""
        self.client = client
        self.keeper = None
        self.uses += 1

    def on_deadline(self, now: float) -> None:
        """Idle for too long."""
        del now
        if self.client is None:
            self._leave_rest()

    def _leave_rest(self) -> None:
        if self.keeper is not None:
            self.keeper.parked = None
        elif self in self.server.idle:
            self.server.idle.remove(self)
        self.close()

    def close(self) -> None:
        """Close, whatever happens on it."""
        self.client = self.keeper = None
        self.timer.cancel()
        self._return_port()
        self.reactor.close(self.sock)


class ClientEnd:
    """A client's connection, and the session that lives on it."""

    __slots__ = (
        "closed",
        "listener",
        "mask",
        "parked",
        "reactor",
        "server_end",
        "session",
        "shut",
        "sock",
        "timer",
    )

    def __init__(self, reactor: Reactor, listener: Host, sock: socket.SocketType, session: Session) -> None:
        self.reactor = reactor
        self.listener = listener
        self.sock = sock
        self.session = session
        session.endpoint = self
        session.tcp_info = self.tcp_info
        self.server_end: ServerEnd | None = None
        self.parked: ServerEnd | None = None
        """A connection that waits for the next request of this client."""
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
        agains = 0
        while True:
            orders = session.orders
            if orders & _SERVER_CHANGES:
                session.orders = orders & ~_SERVER_CHANGES
                if orders & (RELEASE | PARK | DROP):
                    self._let_go(now, orders)
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
            if orders & _SERVER_CHANGES:
                continue
            if orders and not session.to_client:
                if orders & AGAIN:
                    if not session.to_server:
                        if agains == AGAINS:
                            self.reactor.soon(self)
                            break
                        agains += 1
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
        if session.orders & SILENT:
            hush(self.sock)
        elif session.orders & RESET:
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
            if self.parked is not None:
                self.parked.close()
                self.parked = None
            self.timer.cancel()
            self.session.endpoint = self.session.tcp_info = None
            self.reactor.close(self.sock)
            self.listener.closed(self)

    def tcp_info(self) -> bytes:
        """What the kernel knows of the connection (struct tcp_info); empty where it is not TCP."""
        try:
            return self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
        except OSError:
            return b""  # a unix socket, which knows nothing of the kind

    @staticmethod
    def _shut(sock: socket.SocketType) -> None:
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # not connected any more: the next event says so

    def _connect(self, session: Session, now: float) -> None:
        server = session.server
        assert server is not None
        session.server_ended = False
        end = self._resting(session, server)
        if end is not None:
            end.work_for(self)
            self.server_end = end
            if session.frontend.tells_outgoing or server.tells_outgoing:
                session.outgoing = here(end.sock)
            session.connected(now, reused=True)
            return
        try:
            self.server_end = ServerEnd(self.reactor, server, self)
        except OSError as error:
            if error.errno in EXHAUSTED:
                session.connect_later(now)
            else:
                session.connect_failed(now, timed_out=False, error=error.errno or 0)

    def _resting(self, session: Session, server: Server) -> ServerEnd | None:
        """A connection to `server` that this session may use."""
        end: ServerEnd | None = self.parked
        if end is not None:
            self.parked = None
            if end.server is server and (server.origin is None or end.standing == server.origin.of(session)):
                return end
            end.close()
        if not session.may_reuse or not server.idle:
            return None
        idle: list[ServerEnd] = server.idle
        if session.may_reuse == ANY:
            return idle.pop()
        for place in range(len(idle) - 1, -1, -1):
            if idle[place].uses > 1:
                return idle.pop(place)
        return None

    def _let_go(self, now: float, orders: int) -> None:
        end = self.server_end
        if end is None:
            return
        self.server_end = None
        if not orders & DROP:
            end.rest(now, self if orders & PARK else None)
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
            session = self.session
            session.timeout(now)
            # A side that was silent for too long is not listened to any more.
            if session.client_ended and self.mask & READ:
                self._watch(self.mask & ~READ)
            end = self.server_end
            if end is not None and session.server_ended:
                end.turn_away()
            self.settle(now)
