"""Listening sockets: bound at start, listening only while their gate is open.

A `bind` on a VIP is bound with IP_FREEBIND before the VIP is here, so that a
busy port is found at `hapair run` and not in a failover.  While the gate is
closed the socket does not listen: a connection is refused even if somebody put
the address on this node by hand.  Closing is `shutdown(SHUT_RD)`, as HAProxy
pauses its listeners: the port stays ours.
"""

from __future__ import annotations

import errno
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hapair.dataplane.endpoint import ClientEnd
from hapair.dataplane.reactor import READ
from hapair.dataplane.timers import Timer
from hapair.errors import StartError
from hapair.proxy.transaction import HttpSession
from hapair.proxy.tunnel import TcpSession

if TYPE_CHECKING:
    from hapair.config.model import Bind
    from hapair.dataplane.reactor import Reactor
    from hapair.proxy.frontend import Frontend

BACKLOG = 4096
ACCEPTS = 64
"""Connections taken in one go, so that one busy listener cannot starve the others."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.1
"""Seconds without accepting when descriptors or memory have run out."""
_IP_FREEBIND = 15


def bind_socket(bind: Bind) -> socket.socket:
    """Bind, without listening.

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
        if six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((str(bind.host) if bind.host is not None else "", bind.port))
        # SO_REUSEADDR lets two of us bind one port, and only listen() would fail: find out now.
        sock.listen(1)
        sock.shutdown(socket.SHUT_RD)
    except OSError as error:
        sock.close()
        raise StartError(f"cannot bind {bind.text}: {error.strerror}") from None
    return sock


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
        self.frontend = frontend
        self.listening = False
        self.paused = False
        self.clients: set[ClientEnd] = set()
        self.timer = Timer(self)
        self._watched = False

    def open(self) -> None:
        """Listen."""
        if not self.listening:
            self.sock.listen(BACKLOG)
            self.listening = True
            self._watch()

    def shut(self) -> None:
        """Stop listening; what waits in the backlog is reset."""
        if self.listening:
            self.listening = False
            self._watch()
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Give the port back."""
        self.shut()
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
            if process.current >= process.maxconn or frontend.current >= frontend.config.maxconn:
                # As HAProxy: nothing is refused, the kernel's backlog holds them until somebody leaves.
                self.paused = True
                process.waiting.append(self)
                self._watch()
                return
            try:
                sock, peer = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self.paused = True
                    self._watch()
                    self.reactor.wheel.arm(self.timer, now + _PAUSE)
                    return
                continue  # the client was gone before we looked
            self._accepted(sock, peer, now)

    def _accepted(self, sock: socket.socket, peer: object, now: float) -> None:
        sock.setblocking(False)
        if isinstance(peer, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source, port = peer[0], peer[1]
        else:
            source, port = "unix", 0
        frontend = self.frontend
        process = frontend.process
        process.total += 1
        process.current += 1
        process.highest = max(process.highest, process.current)
        frontend.total += 1
        frontend.current += 1
        frontend.highest = max(frontend.highest, frontend.current)
        session = (HttpSession if frontend.http else TcpSession)(frontend, source, port, now)
        client = ClientEnd(self.reactor, self, sock, session)
        self.clients.add(client)
        session.start(now)
        client.settle(now)

    def closed(self, client: ClientEnd) -> None:
        """A client of ours is gone: there is room again."""
        self.clients.discard(client)
        frontend = client.session.frontend
        frontend.current -= 1
        process = frontend.process
        process.current -= 1
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
        """Descriptors may be free again."""
        del now
        self.resume()
