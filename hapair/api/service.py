"""The runtime socket and the metrics listener: a few administrators, one trio task each.

An exception here costs one administrator's connection, never the node.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import h11
import trio

from hapair.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from hapair.api.commands import Commands
    from hapair.config.model import Api

logger = logging.getLogger("hapair.api")

MAX_LINE = 16384
IDLE = 60.0
"""Seconds without a whole command, or another scrape, before an administrator is sent away."""
REQUEST = 10.0
"""Seconds for the first request of a scrape: whoever can reach api.listen can hold a place so long."""
SEND = 30.0
"""Seconds for a piece of an answer to be taken."""
MAX_ADMINISTRATORS = 32
"""At a time, by each listener; whoever comes then is sent away at once."""


@contextmanager
def runtime_socket(path: str | None) -> Iterator[socket.socket | None]:
    """The listening socket, 0600 from its first moment; its file goes with it.

    Raises:
        StartError: somebody listens there, or it cannot be made.
    """
    if path is None:
        yield None
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(path) == 0:
                raise StartError(f"api.socket: another process listens on {path}")
        before = os.umask(0o177)
        try:
            with suppress(FileNotFoundError):
                if Path(path).is_socket():
                    Path(path).unlink()
            sock.bind(path)
        except OSError as error:
            raise StartError(f"api.socket: cannot bind {path}: {error.strerror}") from None
        finally:
            os.umask(before)
        sock.listen(16)
        yield sock
        with suppress(OSError):
            Path(path).unlink()


@contextmanager
def metrics_socket(listen: tuple[str, int] | None) -> Iterator[socket.socket | None]:
    """The metrics listener.

    Raises:
        StartError: the address cannot be bound.
    """
    if listen is None:
        yield None
        return
    host, port = listen
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(16)
        except OSError as error:
            raise StartError(f"api.listen: cannot bind {host}:{port}: {error.strerror}") from None
        yield sock


@attrs.frozen
class ApiSockets:
    """What the API listens on; None where it is not configured."""

    commands: socket.socket | None
    metrics: socket.socket | None


@contextmanager
def api_sockets(api: Api) -> Iterator[ApiSockets]:
    """Both sockets, bound before we become another user.

    Raises:
        StartError: one of them cannot be bound.
    """
    with runtime_socket(api.socket) as commands, metrics_socket(api.listen) as scrapes:
        yield ApiSockets(commands, scrapes)


async def serve_commands(
    sock: socket.socket,
    commands: Commands,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the runtime socket until cancelled."""

    async def serve(stream: trio.SocketStream) -> None:
        await _converse(stream, commands)

    await _serve(sock, serve, task_status)


async def serve_metrics(
    sock: socket.socket,
    metrics: Callable[[], str],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve `/metrics` until cancelled."""

    async def serve(stream: trio.SocketStream) -> None:
        await _answer_scrapes(stream, metrics)

    await _serve(sock, serve, task_status)


async def _serve(
    sock: socket.socket,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    task_status: trio.TaskStatus[None],
) -> None:
    room = trio.CapacityLimiter(MAX_ADMINISTRATORS)

    async def guarded(stream: trio.SocketStream) -> None:
        try:
            room.acquire_on_behalf_of_nowait(stream)
        except trio.WouldBlock:
            await trio.aclose_forcefully(stream)
            return
        async with stream:
            try:
                await serve(stream)
            except (
                trio.BrokenResourceError,
                trio.ClosedResourceError,
                trio.TooSlowError,
                h11.RemoteProtocolError,
            ):
                pass  # the other side's end, one way or another
            except Exception:
                logger.exception("bug while serving an administrator")
            finally:
                room.release_on_behalf_of(stream)

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    async with trio.open_nursery() as nursery:
        task_status.started()
        await trio.serve_listeners(guarded, [listener], handler_nursery=nursery)


async def _send(stream: trio.abc.SendStream, data: bytes) -> None:
    with trio.fail_after(SEND):
        await stream.send_all(data)


async def _converse(stream: trio.abc.Stream, commands: Commands) -> None:
    """HAProxy's manners: one line and out, unless `prompt` was asked for."""
    interactive = False
    buffer, ended = b"", False
    while not ended:
        with trio.fail_after(IDLE):
            while not ended and b"\n" not in buffer:
                data = await stream.receive_some(4096)
                ended = not data
                buffer += data
                if len(buffer) > MAX_LINE:
                    return
        while b"\n" in buffer or (ended and buffer):
            line, _, buffer = buffer.partition(b"\n")
            text = line.decode("utf-8", "replace").strip(" \r")
            if text == "quit":
                return
            if text == "prompt":
                interactive = not interactive
                await _send(stream, b"\n")
            else:
                held = ""  # the end of an answer is sent when what was said holds
                for part in commands.answer(text):
                    await _send(stream, held.encode())
                    await trio.lowlevel.checkpoint()  # clients are served between two parts
                    held = part
                await commands.settled()
                await _send(stream, held.encode())
            if not interactive:
                return
            await _send(stream, b"> ")


async def _answer_scrapes(stream: trio.abc.Stream, metrics: Callable[[], str]) -> None:
    connection = h11.Connection(h11.SERVER)
    patience = REQUEST
    while True:
        with trio.fail_after(patience):
            request = await _request(connection, stream)
        if request is None:
            return
        found = request.method == b"GET" and request.target.partition(b"?")[0] == b"/metrics"
        body = metrics().encode() if found else b"only GET /metrics\n"
        response = h11.Response(
            status_code=200 if found else 404,
            headers=[
                ("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),
                ("Content-Length", str(len(body))),
            ],
        )
        out = b""
        for part in (response, h11.Data(data=body), h11.EndOfMessage()):
            out += connection.send(part) or b""
        await _send(stream, out)
        if connection.our_state is not h11.DONE:
            return
        connection.start_next_cycle()
        patience = IDLE


async def _request(connection: h11.Connection, stream: trio.abc.ReceiveStream) -> h11.Request | None:
    """The next one, with all of its body thrown away; None for the end."""
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed):
            return None
