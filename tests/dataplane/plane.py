"""A data plane on loopback, with little servers that the test scripts, all under one trio."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import Any, Self

import attrs
import trio
from ports import free_port

from hapair.config import model
from hapair.dataplane.service import DataPlane

TIMEOUTS = model.Timeouts(
    http_request=5.0, connect=2.0, client=5.0, server=5.0, http_keep_alive=5.0, queue=2.0
)
ABORT = struct.pack("ii", 1, 0)


class Lines:
    """A log sink that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.more = trio.Event()

    def write(self, severity: int, line: bytes, data: bytes = b"") -> None:
        del severity, data
        self.lines.append(line.decode().partition("] ")[2])
        self.more.set()

    write_clean = write

    def flush(self) -> None:
        """Nothing waits here."""


def bind(port: int, host: str = "127.0.0.1") -> model.Bind:
    return model.Bind(text=f"{host}:{port}", host=ip_address(host), port=port)


def config(
    *servers: model.Server,
    binds: tuple[model.Bind, ...] = (),
    mode: model.Mode = model.Mode.HTTP,
    timeout: model.Timeouts = TIMEOUTS,
    maxconn: int = 5000,
    frontend: dict[str, Any] | None = None,
    **backend: Any,
) -> model.NodeConfig:
    """One frontend `fe` and one backend `be`."""
    log_format = model.LogFormat.HTTPLOG if mode is model.Mode.HTTP else model.LogFormat.TCPLOG
    options: dict[str, Any] = {"maxconn": 5000, "log_format": log_format, "default_backend": "be"}
    return model.NodeConfig(
        node=model.Node(name="n", maxconn=maxconn),
        frontends={
            "fe": model.Frontend(
                name="fe",
                bind=binds or (bind(free_port()),),
                mode=mode,
                timeout=timeout,
                **{**options, **(frontend or {})},
            )
        },
        backends={"be": model.Backend(name="be", servers=servers, mode=mode, timeout=timeout, **backend)},
    )


@attrs.frozen
class Running:
    """A plane that serves, and where."""

    plane: DataPlane
    port: int
    sink: Lines

    async def logged(self, count: int = 1) -> list[str]:
        """The log once it has `count` lines."""
        with trio.fail_after(5):
            while len(self.sink.lines) < count:
                self.sink.more = trio.Event()
                await self.sink.more.wait()
        return self.sink.lines

    async def idle(self) -> None:
        """Until no client is left."""
        with trio.fail_after(5):
            await self.plane.drained()


@contextlib.asynccontextmanager
async def running(
    node: model.NodeConfig, gated: tuple[Any, ...] = (), responder: Any = lambda _: None
) -> AsyncIterator[Running]:
    """Serve `node` for the length of the block; no exception in a connection is forgiven."""
    sink = Lines()
    plane = DataPlane(node.node.maxconn, sink, lambda _: responder)  # type: ignore[arg-type]
    plane.commit(plane.prepare(node), gated)
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        yield Running(plane, node.frontends["fe"].bind[0].port or 0, sink)
        assert plane.bugs == 0
        nursery.cancel_scope.cancel()


class Peer:
    """One end of a TCP connection in a test."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        with trio.fail_after(20):
            while len(self.buffer) < count:
                data = await self.stream.receive_some(65536)
                if not data:
                    break
                self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`; what there is when the other side ends before."""
        with trio.fail_after(20):
            while mark not in self.buffer:
                data = await self.stream.receive_some(65536)
                if not data:
                    break
                self.buffer += data
        at = self.buffer.find(mark)
        end = len(self.buffer) if at < 0 else at + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    async def rest(self) -> bytes:
        """Everything until the end."""
        with trio.fail_after(20):
            async for data in self.stream:
                self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; the status and body of its answer, which has a Content-Length."""
        await self.send(request)
        head = await self.until(b"\r\n\r\n")
        return int(head[9:12] or b"0"), await self.read(length_of(head))

    async def end(self) -> None:
        """Half-close."""
        await self.stream.send_eof()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.stream.socket
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        sock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stream.aclose()


async def connect(port: int, host: str = "127.0.0.1") -> Peer:
    return Peer(await trio.open_tcp_stream(host, port))


Handler = Callable[[Peer], Awaitable[None]]


class Origin:
    """A server that the test scripts; counts its connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.active = 0
        self.highest = 0
        self.requests = 0
        self.asked = trio.Event()
        """Set when the first request is here."""

    def server(self, **options: Any) -> model.Server:
        values = {"name": "s1", "id": 1, "host": "127.0.0.1", "port": self.port, **options}
        return model.Server(**values)


@contextlib.asynccontextmanager
async def origin(handler: Callable[[Origin, Peer], Awaitable[None]]) -> AsyncIterator[Origin]:
    """Run a server for the length of the block."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1000)
    server = Origin(listeners[0].socket.getsockname()[1])

    async def serve(stream: trio.SocketStream) -> None:
        server.connections += 1
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with Peer(stream) as peer:
                await handler(server, peer)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


def length_of(head: bytes) -> int:
    lines = [n for n in head.split(b"\r\n") if n.lower().startswith(b"content-length:")]
    return int(lines[0].partition(b":")[2]) if lines else 0


def answering(body: bytes = b"ok", *, delay: float = 0.0, headers: bytes = b"") -> Any:
    """Answers every request with `body`, after `delay`; keeps connections."""

    async def handle(server: Origin, peer: Peer) -> None:
        while head := await peer.until(b"\r\n\r\n"):
            await peer.read(length_of(head))
            server.requests += 1
            server.asked.set()
            server.active += 1
            server.highest = max(server.highest, server.active)
            try:
                if delay:
                    await trio.sleep(delay)
            finally:
                server.active -= 1
            await peer.send(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (headers, len(body)) + body)

    return handle


async def echo(server: Origin, peer: Peer) -> None:
    """Sends back what it gets, until the end."""
    del server
    async for data in peer.stream:
        await peer.send(data)


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
