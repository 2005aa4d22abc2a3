"""The connection to the peer node that stick tables are shared over (`tables.sharing` says what is said).

One TCP connection between the two nodes' own addresses, made by the node with the lower one and accepted
only from the peer's.  Nothing waits for it: a peer that is gone, slow or silent costs a reconnection each
second, and the data plane nothing.
"""

from __future__ import annotations

import logging
import socket
import time
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from hapair.errors import StartError
from hapair.tables.sharing import BadPeer, Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import Peers
    from hapair.tables.directory import Named

logger = logging.getLogger("hapair.peers")

_LOOK_EVERY: Final = 0.05
"""Seconds that a change waits at most to be sent."""
_ALIVE_EVERY: Final = 1.0
SILENCE: Final = 5.0
"""Seconds without a word after which the peer is gone."""
RETRY_EVERY: Final = 1.0
STRANGERS_EVERY: Final = 60.0
"""Seconds between two lines about somebody who is not our peer."""
_CHUNK: Final = 4096
"""Bytes that are taken over in one go: the data plane has the same thread."""


class PeerLink:
    """Shares the node's tables while it runs."""

    def __init__(self, peers: Peers, node: str, tables: Callable[[], Mapping[str, Named]]) -> None:
        """`tables` gives those that there are now."""
        self._peers = peers
        self._node = node
        self._tables = tables
        self._listener: trio.socket.SocketType | None = None
        self._quiet_until = -inf
        self._sharing: Sharing | None = None
        self._taken = 0
        """Rows that came over connections which are over."""

    @property
    def place(self) -> str:
        """Where the peer is sought."""
        host, port = self._peers.peer
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def up(self) -> bool:
        """Is the peer there?"""
        return self._sharing is not None and bool(self._sharing.peer)

    @property
    def synced(self) -> bool:
        """Has it told everything that it knew?"""
        return self._sharing is not None and self._sharing.synced

    @property
    def taken(self) -> int:
        """Rows of it that counted here."""
        return self._taken + (self._sharing.taken if self._sharing is not None else 0)

    @property
    def _connects(self) -> bool:
        return _place(self._peers.listen) < _place(self._peers.peer)

    def open(self) -> None:
        """Bind what has to be bound.

        Raises:
            StartError: the address is in use, or not ours.
        """
        if self._connects:
            return
        host, port = self._peers.listen
        sock = socket.socket(_family(host))
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(8)
        except OSError as error:
            sock.close()
            raise StartError(f"peers.listen {host}:{port}: {error.strerror}") from None
        sock.setblocking(False)
        self._listener = trio.socket.from_stdlib_socket(sock)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Share until cancelled."""
        task_status.started()
        if self._listener is None:
            await self._seek()
        else:
            with self._listener as listener:
                await self._receive_peers(listener)

    async def _seek(self) -> None:
        host, port = self._peers.peer
        while True:
            with trio.socket.socket(_family(host)) as sock:
                try:
                    with trio.fail_after(SILENCE):
                        await sock.bind((self._peers.listen[0], 0))
                        await sock.connect((host, port))
                except (OSError, trio.TooSlowError):
                    pass  # it is down, or not there yet
                else:
                    await self._talk(sock)
            await trio.sleep(RETRY_EVERY)

    async def _receive_peers(self, listener: trio.socket.SocketType) -> None:
        talking, over = trio.CancelScope(), trio.Event()
        over.set()
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    sock, address = await listener.accept()
                except OSError as error:
                    logger.warning("peers: %s", error.strerror)
                    await trio.sleep(RETRY_EVERY)
                    continue
                if ip_address(address[0]) != ip_address(self._peers.peer[0]):
                    sock.close()
                    if trio.current_time() >= self._quiet_until:  # nobody fills our log
                        self._quiet_until = trio.current_time() + STRANGERS_EVERY
                        logger.warning("peers: %s is not our peer, and is turned away", address[0])
                    continue
                talking.cancel()  # the peer would not come again if the old one were any good
                await over.wait()  # its end stops the noting of changes, which the next needs
                talking, over = trio.CancelScope(), trio.Event()
                nursery.start_soon(self._talk_within, sock, talking, over)

    async def _talk_within(
        self, sock: trio.socket.SocketType, scope: trio.CancelScope, over: trio.Event
    ) -> None:
        try:
            with sock, scope:
                await self._talk(sock)
        finally:
            over.set()

    async def _talk(self, sock: trio.socket.SocketType) -> None:
        """Share over one connection until it ends."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sharing = self._sharing = Sharing(self._node, self._tables())
        why = "this side ended it, for a reload or a broken connection"
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, sock, sharing, nursery.cancel_scope)
                why = await self._receive(sock, sharing)
                nursery.cancel_scope.cancel()
        finally:
            sharing.close()
            self._taken += sharing.taken
            if self._sharing is sharing:
                self._sharing = None
        if sharing.peer:
            logger.warning("peer %s is gone: %s", sharing.peer, why)
        elif why:
            logger.warning("peers: %s", why)

    async def _send(self, sock: trio.socket.SocketType, sharing: Sharing, scope: trio.CancelScope) -> None:
        said_at = trio.current_time()
        try:
            while sharing.covers(self._tables()):
                data = sharing.take(int(time.monotonic() * 1000))
                if not data and trio.current_time() >= said_at + _ALIVE_EVERY:
                    data = sharing.alive()
                if data:
                    await _send_all(sock, data)
                    said_at = trio.current_time()
                else:
                    await trio.sleep(_LOOK_EVERY)
            scope.cancel()  # a reload has made other tables
        except OSError:
            scope.cancel()

    async def _receive(self, sock: trio.socket.SocketType, sharing: Sharing) -> str:
        """Take over what comes; return why that ended."""
        known = synced = False
        while True:
            try:
                with trio.fail_after(SILENCE):
                    data = await sock.recv(_CHUNK)
            except trio.TooSlowError:
                return f"nothing heard for {SILENCE:.0f} s"
            except OSError as error:
                return error.strerror or "the connection broke"
            if not data:
                return "it closed the connection" if sharing.peer else ""
            try:
                sharing.receive(data, int(time.monotonic() * 1000))
            except BadPeer as error:
                return f"not understood: {error}"
            if sharing.peer and not known:
                known = True
                logger.info("peer %s is there", sharing.peer)
                for name in sharing.different:
                    logger.error("peer %s has another stick table %s: it is not shared", sharing.peer, name)
            if sharing.synced and not synced:
                synced = True
                logger.info("peer %s has told what it knew: %d entries", sharing.peer, sharing.taken)


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[await sock.send(view) :]


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _place(address: tuple[str, int]) -> tuple[int, int]:
    return int(ip_address(address[0])), address[1]
