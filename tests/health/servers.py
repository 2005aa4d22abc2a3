"""Servers that behave in one way each, for checks to judge."""

from __future__ import annotations

import socket
import struct
from functools import partial

import trio

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BAD = b"HTTP/1.1 503 No\r\n\r\n"


async def answer(stream: trio.SocketStream, data: bytes) -> None:
    """Say the same to everybody."""
    try:
        await stream.receive_some(4096)
        await stream.send_all(data)
        # An orderly end: the reader finds everything, and no reset, whatever it leaves unread.
        await stream.send_eof()
        while await stream.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        pass


async def bytewise(stream: trio.SocketStream, data: bytes) -> None:
    """The same, each byte in a segment of its own."""
    try:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await stream.receive_some(4096)
        for byte in data:
            await stream.send_all(bytes((byte,)))
        await stream.send_eof()
        while await stream.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        pass


async def drip(stream: trio.SocketStream) -> None:
    """A head without end."""
    try:
        await stream.receive_some(4096)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"X-A: b\r\n")
            await trio.sleep(0.05)
    except trio.BrokenResourceError:
        pass


async def reset(stream: trio.SocketStream) -> None:
    await stream.receive_some(4096)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def hang(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def listen(nursery: trio.Nursery, behave) -> int:
    """The port at which this is served from now on."""
    listeners = await nursery.start(partial(trio.serve_tcp, behave, 0, host="127.0.0.1"))
    return listeners[0].socket.getsockname()[1]


class Crashing:
    """A server that ends and comes back, at the same port."""

    def __init__(self, behave) -> None:
        self._behave = behave
        self._scope: trio.CancelScope | None = None
        self.port = 0

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._serve)

    async def _serve(self, *, task_status=trio.TASK_STATUS_IGNORED) -> None:
        with trio.CancelScope() as self._scope:
            listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
            self.port = listeners[0].socket.getsockname()[1]
            await trio.serve_listeners(self._behave, listeners, task_status=task_status)

    def crash(self) -> None:
        """All its sockets are closed when this task waits next."""
        assert self._scope is not None
        self._scope.cancel()


ILLS = {
    "refused": None,
    "hang": hang,
    "wrong answer": partial(answer, data=BAD),
    "garbage": partial(answer, data=b"\x16\x03\x01garbage\r\n\r\n"),
    "nothing": partial(answer, data=b""),
    "slow": drip,
    "reset": reset,
}
"""How a server behaves when it is not well; None: it has crashed."""


class Patient:
    """A server that falls ill and gets well again."""

    def __init__(self, name: str, ill) -> None:
        """`ill` is one of ILLS."""
        self.name = name
        self._ill = ill
        self._well = True
        self._server = Crashing(self._behave)

    @property
    def port(self) -> int:
        return self._server.port

    async def start(self, nursery: trio.Nursery) -> None:
        await self._server.start(nursery)

    async def _behave(self, stream: trio.SocketStream) -> None:
        if self._well or self._ill is None:
            await answer(stream, GOOD)
        else:
            await self._ill(stream)

    async def become(self, nursery: trio.Nursery, *, well: bool) -> None:
        self._well = well
        if self._ill is None:
            if well:
                await self._server.start(nursery)
            else:
                self._server.crash()
