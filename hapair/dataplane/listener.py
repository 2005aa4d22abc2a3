"""Listening sockets: bound at start, listening only while their gate is open.

A `bind` on a VIP is bound with IP_FREEBIND before the VIP is here, so that a
busy port is found at `hapair run` and not in a failover.  While the gate is
closed the socket does not listen: a connection is refused even if somebody put
the address on this node by hand.  Closing is `shutdown(SHUT_RD)`, as HAProxy
pauses its listeners: the port stays ours.
"""

from __future__ import annotations

import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hapair.dataplane.arrival import Arrival
from hapair.dataplane.endpoint import EXHAUSTED, NOWHERE, ClientEnd, here
from hapair.dataplane.outgoing import make_transparent
from hapair.dataplane.reactor import READ
from hapair.dataplane.timers import Timer
from hapair.errors import StartError
from hapair.proxy.proxy_protocol import Place
from hapair.proxy.transaction import HttpSession
from hapair.proxy.tunnel import TcpSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.config.model import Bind
    from hapair.dataplane.reactor import Reactor
    from hapair.proxy.frontend import Frontend
    from hapair.proxy.proxy_protocol import Conveyed
    from hapair.proxy.session import Session

ACCEPTS: Final = 64
"""Connections taken in one go, so that one busy listener cannot starve the others."""
_PAUSE: Final = 0.1
"""Seconds without accepting when descriptors or memory have run out."""
_IP_FREEBIND: Final = 15
_INFO: Final = 6


def bind_socket(bind: Bind, *, shared: bool = False) -> socket.socket:
    """Bind, without listening; `shared`: others of our sockets may have the same port.

    Raises:
        StartError: the address cannot be bound, with the reason.
    """
    if bind.fd is not None:
        try:
            sock = socket.socket(fileno=bind.fd)
        except OSError as error:
            raise StartError(f"cannot bind {bind.text}: {error.strerror}") from None
        sock.setblocking(False)
        return sock
    if bind.path is not None:
        return _bind_path(bind)
    assert bind.port is not None
    six = bind.host is not None and bind.host.version == 6
    sock = socket.socket(
        socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    )
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        if bind.transparent:
            make_transparent(sock)
        sock.bind((str(bind.host) if bind.host is not None else "", bind.port))
        # SO_REUSEADDR lets two of us bind one port, and only listen() would fail: find out now.
        sock.listen(1)
        stop_listening(sock)
    except OSError as error:
        sock.close()
        raise StartError(f"cannot bind {bind.text}: {error.strerror}") from None
    return sock


def listen(sock: socket.socket, backlog: int) -> None:
    """Listen; the connections that are accepted must not keep us from the port after a restart."""
    _share(sock, True)
    sock.listen(backlog)


def _share(sock: socket.socket, may: bool) -> None:
    """Whether others that set SO_REUSEADDR may bind our port.

    Not while we wait for a VIP without listening: they could listen, and we not when the VIP comes.
    """
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, may)


def stop_listening(sock: socket.socket) -> None:
    """Stop; what waits in the backlog is reset, and the port stays ours.

    Trap: only what listens may be shut.  Once more, by another process that has it, the socket keeps
    the flag, and everything that it accepts in a later life seems to have been ended by its client.
    """
    with suppress(OSError):
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.shutdown(socket.SHUT_RD)
        _share(sock, False)


def _bind_path(bind: Bind) -> socket.socket:
    assert bind.path is not None
    path = Path(bind.path)
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            with probe:
                if probe.connect_ex(bind.path) == 0:
                    raise StartError(f"cannot bind {bind.text}: another process listens there")
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.bind(bind.path)
    except OSError as error:
        sock.close()
        raise StartError(f"cannot bind {bind.text}: {error.strerror}") from None
    return sock


class Listener:
    """One bind of one frontend."""

    def __init__(self, reactor: Reactor, bind: Bind, sock: socket.socket, frontend: Frontend) -> None:
        self.reactor = reactor
        self.bind = bind
        self.sock = sock
        self._family = int(sock.family)
        self._accept: Callable[[], tuple[int, object]] = sock._accept  # type: ignore[attr-defined]
        self.frontend = frontend
        self.listening = False
        self.paused = False
        self.clients: set[ClientEnd] = set()
        self.arrivals: set[Arrival] = set()
        """Those whose PROXY header has not come yet."""
        self.timer = Timer(self)
        self._local = Place(str(bind.host), bind.port) if bind.host is not None and bind.port else None
        """Where every client of ours connects to; None when each may have come elsewhere."""
        self._watched = False

    def open(self) -> None:
        """Listen."""
        if not self.listening:
            if self._family != socket.AF_UNIX:
                # Those who are accepted inherit it.
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listen(self.sock, self.frontend.config.backlog)
            self.listening = True
            self._watch()

    def shut(self) -> None:
        """Stop listening; what waits in the backlog is reset."""
        if self.listening:
            self.listening = False
            self._watch()
            stop_listening(self.sock)

    def end_arrivals(self) -> None:
        """Close those who have not said yet who they are."""
        for arrival in list(self.arrivals):
            arrival.close()

    def close(self) -> None:
        """Give the port back."""
        self.shut()
        self.end_arrivals()
        self.reactor.close(self.sock)
        if self.bind.path is not None:
            with suppress(OSError):
                Path(self.bind.path).unlink()

    def _watch(self) -> None:
        wanted = self.listening and not self.paused
        if wanted and not self._watched:
            self.reactor.add(self.sock, self, READ)
        elif self._watched and not wanted:
            self.reactor.forget(self.sock)
        self._watched = wanted

    def on_ready(self, mask: int, now: float) -> None:
        """Somebody connects."""
        del mask
        frontend = self.frontend
        process = frontend.process
        for _ in range(ACCEPTS):
            if process.full() or frontend.full():
                # As HAProxy: nothing is refused, the kernel's backlog holds them until somebody leaves.
                self.paused = True
                process.waiting.append(self)
                self._watch()
                return
            limit = frontend.config.rate_limit_sessions
            if limit and process.tally is not None:
                limit = process.tally.part(limit)
            if limit:
                wait = frontend.rate.wait(limit, now)
                if wait:
                    self._pause_until(now + wait)
                    return
            try:
                # As `accept`, without the wrapper in Python, which takes as long as the system call.
                fd, peer = self._accept()
                sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    # Whoever leaves gives one back; the rest of the process may, too.
                    if self not in process.waiting:
                        process.waiting.append(self)
                    self._pause_until(now + _PAUSE)
                    return
                continue  # the client was gone before we looked
            if limit:
                frontend.rate.add(now)
            self._accepted(sock, peer, now)

    def _pause_until(self, moment: float) -> None:
        self.paused = True
        self._watch()
        self.reactor.wheel.arm(self.timer, moment)

    def _accepted(self, sock: socket.SocketType, peer: object, now: float) -> None:
        sock.setblocking(False)
        bind = self.bind
        if isinstance(peer, tuple):
            if self.frontend.config.clitcpka:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            source, port = peer[0], peer[1]
            local = self._local if self._local is not None else here(sock)
        else:
            source, port = "unix", 0
            local = NOWHERE
        frontend = self.frontend
        process = frontend.process
        process.total += 1
        process.current += 1
        process.highest = max(process.highest, process.current)
        frontend.total += 1
        frontend.current += 1
        frontend.highest = max(frontend.highest, frontend.current)
        if process.tally is not None:
            frontend.tell_current()
        if bind.accept_proxy is not None and bind.expects_proxy(source):
            patience = frontend.client_timeout
            if frontend.http:
                patience = min(patience, frontend.request_timeout)
            self.arrivals.add(Arrival(self, sock, Place(source, port), local, now + patience, now))
            return
        session: Session = (HttpSession if frontend.http else TcpSession)(frontend, source, port, now)
        session.local = local
        self._serve(sock, session, b"", now)

    def _serve(self, sock: socket.SocketType, session: Session, data: bytes, now: float) -> None:
        client = ClientEnd(self.reactor, self, sock, session)
        self.clients.add(client)
        session.start(now)
        if data:
            session.client_data(data, now)
        client.settle(now)

    # -- behind another balancer ------------------------------------------------------------------

    def arrived(self, arrival: Arrival, conveyed: Conveyed, data: bytes, now: float) -> None:
        """Its header is here, and with it the client behind."""
        self.arrivals.discard(arrival)
        frontend = arrival.frontend
        source, local = conveyed.source, conveyed.destination
        if source is None or local is None:
            source, local = arrival.source, arrival.local
        kind = HttpSession if frontend.http else TcpSession
        session: Session = kind(frontend, source.host, source.port, arrival.accepted_at)
        session.local = local
        session.conveyed = conveyed
        session.peer = arrival.source, arrival.local
        session.handshake = now - arrival.accepted_at
        self._serve(arrival.sock, session, data, now)

    def refused(self, arrival: Arrival, why: str, *, heard: bool) -> None:
        """No header, or not a valid one: logged as HAProxy does, and counted."""
        frontend = arrival.frontend
        frontend.refused(why.partition(":")[0])
        if frontend.log_format is None or (frontend.dontlognull and not heard):
            return
        stamp = frontend.dates.stamp(arrival.accepted_at).decode()
        line = (
            f"{arrival.source.host}:{arrival.source.port} [{stamp}] {frontend.name}/{self.bind.text}: {why}"
        )
        frontend.log(_INFO, line.encode("latin-1", "replace"), b"")

    def left(self, arrival: Arrival) -> None:
        """It was closed."""
        self.arrivals.discard(arrival)
        self._one_less(arrival.frontend)

    def closed(self, client: ClientEnd) -> None:
        """A client of ours is gone: there is room again."""
        self.clients.discard(client)
        client.session.let_go(self.reactor.now)
        self._one_less(client.session.frontend)

    @staticmethod
    def _one_less(frontend: Frontend) -> None:
        frontend.current -= 1
        process = frontend.process
        process.current -= 1
        if process.tally is not None:
            frontend.tell_current()
        if not process.current:
            process.on_empty()
        if process.waiting:
            waiting, process.waiting = process.waiting, []
            for listener in waiting:
                listener.resume()

    def resume(self) -> None:
        """Accept again, if that was only paused for want of room."""
        if self.paused:
            self.paused = False
            self._watch()

    def on_deadline(self, now: float) -> None:
        """Descriptors may be free again, or the rate low enough."""
        del now
        self.resume()
