"""A server for `make soak`, to be killed and stopped: HTTP on one port, an echo on another.

    python bench/soak_server.py HTTP_PORT ECHO_PORT

What it answers follows from the path alone (`soak_traffic.pattern`), so that clients can tell a wrong body;
a request body that does not match its checksum is told on standard output.
"""

from __future__ import annotations

import sys
import zlib
from functools import partial

import trio
from soak_traffic import Incoming, Truncated, pattern

HANG = 3.0
"""Seconds; longer than the node's timeout.server."""


async def serve(stream: trio.SocketStream) -> None:
    """Requests of one connection, one after the other."""
    incoming = Incoming(stream)
    try:
        while True:
            start, fields = await incoming.head()
            body = await incoming.body(fields)
            method, path, _ = start.split(" ")
            checksum = fields.get("x-checksum")
            if checksum is not None and int(checksum) != zlib.crc32(body):
                print(f"WRONG request body of {len(body)} bytes: {method} {path}", flush=True)
            if not await answer(stream, path):
                break
    except (Truncated, trio.BrokenResourceError, trio.ClosedResourceError, ConnectionError):
        pass  # clients and the proxy come and go: that is the test
    finally:
        await trio.aclose_forcefully(stream)


async def answer(stream: trio.SocketStream, path: str) -> bool:
    """`/how/seed/size`; false when the connection ends here."""
    _, how, seed, size = path.split("/")
    body = pattern(int(seed), int(size))
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    match how:
        case "length":
            await stream.send_all(head + body)
        case "chunked":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 5000):
                part = body[at : at + 5000]
                await stream.send_all(b"%x\r\n%b\r\n" % (len(part), part))
            await stream.send_all(b"0\r\nX-Trailer: t\r\n\r\n")
        case "interim":
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head + body)
        case "close":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
            return False
        case "short":
            await stream.send_all(head + body[: len(body) // 2])
            return False
        case "garbage":
            await stream.send_all(b"\x16\x03\x01 garbage \r\n\r\n" + body)
            return False
        case "reset":
            await stream.send_all(head + body[: len(body) // 3])
            stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        case "silent":
            return False
        case "hang":
            await trio.sleep(HANG)
            return False
        case _:
            await stream.send_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    return True


async def echo(stream: trio.SocketStream) -> None:
    """Everything comes back, until its end."""
    try:
        async for data in stream:
            await stream.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def main(http: int, back: int) -> None:
    async with trio.open_nursery() as nursery:
        for handler, port in ((serve, http), (echo, back)):
            nursery.start_soon(partial(trio.serve_tcp, handler, port, host="127.0.0.1", backlog=512))
        await trio.sleep(0.1)
        print("ready", flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), int(sys.argv[2]))
