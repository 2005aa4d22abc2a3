"""The clients of `make soak`: honest, impatient, slow and rude ones, who know what every body must be."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import trio

_BLOCK = 4096
TIMEOUT = 15.0
"""Seconds for one exchange, whatever happens to it."""
GOOD = ("length", "chunked", "interim", "close")
BAD = ("short", "garbage", "reset", "silent", "hang", "busy")


def pattern(seed: int, size: int) -> bytes:
    """The body that belongs to a seed; no two seeds have the same."""
    block = random.Random(seed).randbytes(_BLOCK)
    return (block * (size // _BLOCK + 1))[:size]


class Truncated(Exception):  # noqa: N818 - the ordinary end of a message that was cut
    """The peer went away in the middle."""


class Incoming:
    """Messages from a stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""

    async def _more(self) -> None:
        data = await self._stream.receive_some(65536)
        if not data:
            raise Truncated
        self._data += data

    async def until(self, end: bytes) -> bytes:
        """Everything before `end`, which goes too."""
        while end not in self._data:
            await self._more()
        found, _, self._data = self._data.partition(end)
        return found

    async def exactly(self, size: int) -> bytes:
        while len(self._data) < size:
            await self._more()
        found, self._data = self._data[:size], self._data[size:]
        return found

    async def head(self) -> tuple[str, dict[str, str]]:
        """Start line, and fields by lower-case name."""
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:])
        return lines[0], {name.lower(): value.strip() for name, _, value in fields}

    async def body(self, fields: dict[str, str]) -> bytes:
        """As its fields delimit it; without, there is none."""
        if fields.get("transfer-encoding") != "chunked":
            return await self.exactly(int(fields.get("content-length", "0")))
        body = b""
        while size := int(await self.until(b"\r\n"), 16):
            body += await self.exactly(size)
            await self.exactly(2)
        while await self.until(b"\r\n"):
            pass  # trailers
        return body

    async def rest(self) -> bytes:
        """Until the end of the stream."""
        try:
            while True:
                await self._more()
        except Truncated:
            return self._data


class Traffic:
    """All clients, and what became of them."""

    def __init__(self, http: int, stream: int, seed: int) -> None:
        self.http = http
        self.stream = stream
        self.chance = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._seeds = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for kind, count in (
                (self.honest, 16),
                (self.talks, 6),
                (self.aborts, 4),
                (self.reads_slowly, 2),
                (self.sends_slowly, 2),
                (self.comes_and_goes, 1),
            ):
                for _ in range(count):
                    nursery.start_soon(self._again_and_again, kind)

    async def _again_and_again(self, client) -> None:
        while True:
            outcome = f"{client.__name__}: cut"
            with trio.move_on_after(TIMEOUT) as patience:
                try:
                    outcome = f"{client.__name__}: {await client()}"
                except (Truncated, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    pass  # what a fault does to whoever was there
            self.outcomes[f"{client.__name__}: stuck" if patience.cancelled_caught else outcome] += 1
            await trio.sleep(self.chance.uniform(0.0, 0.1))

    def _path(self, how: str, largest: int) -> tuple[str, bytes]:
        """A path nobody had before, and the body that must come."""
        self._seeds += 1
        size = self.chance.choice((0, 1, 100, 4096, 16384, self.chance.randrange(largest)))
        return f"/{how}/{self._seeds}/{size}", pattern(self._seeds, size)

    async def honest(self) -> str:
        """Several requests on one connection; each answer is what it must be, or an error, or cut."""
        async with await trio.open_tcp_stream("127.0.0.1", self.http) as stream:
            incoming = Incoming(stream)
            for _ in range(self.chance.randrange(1, 30)):
                how = self.chance.choice(BAD if self.chance.random() < 0.1 else GOOD)
                path, expected = self._path(how, 200_000)
                await stream.send_all(self._request(path))
                status, fields = await incoming.head()
                while status.startswith("HTTP/1.1 1"):
                    status, fields = await incoming.head()
                if "content-length" not in fields and "transfer-encoding" not in fields:
                    # Nobody can tell the end of such a body from the death of its server.
                    if not expected.startswith(await incoming.rest()):
                        self.wrong.append(f"{path}: not the beginning of its body")
                    return "to the close"
                body = await incoming.body(fields)
                if status.startswith("HTTP/1.1 200 "):
                    if body != expected:
                        self.wrong.append(f"{path}: {len(body)} bytes, not its {len(expected)}")
                    self.outcomes["answers 200"] += 1
                else:
                    self.outcomes[f"answers {status[9:12]}"] += 1
                if fields.get("connection") == "close":
                    return "closed"
                await trio.sleep(self.chance.uniform(0.0, 0.02))
        return "done"

    def _request(self, path: str) -> bytes:
        chance = self.chance.random()
        if chance < 0.6:
            return f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()
        body = self.chance.randbytes(self.chance.choice((1, 3000, 60_000)))
        head = f"POST {path} HTTP/1.1\r\nHost: soak\r\nX-Checksum: {zlib.crc32(body)}\r\n"
        if chance < 0.8:
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        chunks = [body[at : at + 7000] for at in range(0, len(body), 7000)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + sent + b"0\r\n\r\n"

    async def talks(self) -> str:
        """A stream that comes back; what comes is what was sent."""
        async with await trio.open_tcp_stream("127.0.0.1", self.stream) as stream:
            self._seeds += 1
            sent = pattern(self._seeds, self.chance.choice((1, 5000, 300_000)))

            async def send() -> None:
                try:
                    await stream.send_all(sent)
                    await stream.send_eof()
                except trio.BrokenResourceError:
                    pass  # the other half finds out as well

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                try:
                    got = await Incoming(stream).rest()
                except trio.BrokenResourceError:
                    nursery.cancel_scope.cancel()
                    return "reset"
            if not sent.startswith(got):
                self.wrong.append(f"a stream of {len(sent)} bytes came back as others")
            return "whole" if got == sent else "cut"

    async def aborts(self) -> str:
        """Leaves in the middle of a head, of a body, before or within the answer; with or without a word."""
        async with await trio.open_tcp_stream("127.0.0.1", self.http) as stream:
            path, _ = self._path("chunked", 200_000)
            request = f"POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Length: 50000\r\n\r\n".encode() + bytes(
                50000
            )
            await stream.send_all(request[: self.chance.choice((1, 20, 60, 30_000, len(request)))])
            await trio.sleep(self.chance.choice((0.0, 0.005, 0.1)))
            if self.chance.random() < 0.5:
                stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            else:
                await stream.receive_some(1000)
        return "left"

    async def reads_slowly(self) -> str:
        """A large answer in small bites."""
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        async with trio.SocketStream(sock) as stream:
            await sock.connect(("127.0.0.1", self.http))
            path, _ = self._path("length", 3_000_000)
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n".encode())
            for _ in range(40):
                if not await stream.receive_some(8192):
                    return "whole"
                await trio.sleep(0.05)
        return "left"

    async def sends_slowly(self) -> str:
        """A head byte by byte, sometimes more slowly than http_request allows."""
        async with await trio.open_tcp_stream("127.0.0.1", self.http) as stream:
            path, expected = self._path("length", 3000)
            pause = self.chance.choice((0.001, 0.01, 0.1))
            for byte in f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode():
                await stream.send_all(bytes([byte]))
                await trio.sleep(pause)
            incoming = Incoming(stream)
            status, fields = await incoming.head()
            body = await incoming.body(fields)
            if status.startswith("HTTP/1.1 200 ") and body != expected:
                self.wrong.append(f"{path}: {len(body)} bytes, not its {len(expected)}")
            return status[9:12]

    async def comes_and_goes(self) -> str:
        """A crowd that connects and says nothing."""
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(self._connects)
        await trio.sleep(1)
        return "gone"

    async def _connects(self) -> None:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self.http):
                await trio.sleep(self.chance.uniform(0, 0.2))
        except OSError:
            pass  # the listener may just be another one
