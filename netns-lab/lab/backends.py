"""A small real HTTP/1.1 server that says who it is.  Run as a program.

    python -m lab.backends NAME ADDRESS PORT [LATE]     (port 0: any; it says which)

    GET /                 200, NAME and a newline; after LATE seconds
    GET /health           200, ok
    GET /slow?ms=500      200 after that time
    GET /bytes?n=1000     200, the body of lab.bodies of that length, CRC-32 in X-Body-Crc32
    GET /chunked?n=1000   the same, chunked
    GET /paced?n=9&from=5 as much of that body from a byte on, 200 kB/s
    POST anything         200, length and CRC-32 of what arrived in X-Body-Length, X-Body-Crc32
Every answer carries X-Backend (NAME) and X-Peer (who connected: the load balancer's own address).

One epoll loop, no framework: it must never be what a bench measures.
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import sys
import time
import zlib
from collections.abc import Iterator
from itertools import count

from lab import bodies

_RECEIVE = 1 << 18
_LONGEST_HEAD = 1 << 16
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^ ?]*)(?:\?([^ ]*))? HTTP/1\.([01])\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_SPAN = re.compile(rb"n=([0-9]{1,15})&from=([0-9]{1,15})\Z")
PIECE, PAUSE = 4096, 0.02
"""Bytes and seconds of what is paced."""
_NUMBER = re.compile(rb"(?:n|ms)=([0-9]{1,15})\Z")


class NotHttpError(Exception):
    """The client does not speak HTTP/1.1 as this server understands it."""


class Connection:
    """One client; requests are answered one after the other."""

    def __init__(self, server: Server, sock: socket.socket, peer: str) -> None:
        self._server = server
        self._sock = sock
        self._peer = peer
        self._in = bytearray()
        self._out: Iterator[memoryview] = iter(())
        self._piece = memoryview(b"")
        self._writing = False
        self._waiting = False
        """An answer is due later."""
        self._paced: Iterator[memoryview] | None = None
        self._body: Body | None = None
        self._head: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        self._close = False

    @property
    def gone(self) -> bool:
        return self._sock.fileno() < 0

    def on_ready(self, mask: int) -> None:
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = self._sock.recv(_RECEIVE)
            except BlockingIOError:
                pass
            except OSError:
                return self._server.forget(self._sock)
            else:
                if not data:
                    return self._server.forget(self._sock)
                self._in += data
        self._turn()
        return None

    def answer_now(self) -> None:
        """The wait of /slow, of a late server or for the next piece is over."""
        if self._paced is not None:
            if not self._piece:
                piece = next(self._paced, None)
                if piece is None:
                    self._paced, self._waiting = None, False
                else:
                    self._piece = piece
            if self._paced is not None:
                self._server.later(PAUSE, self)
            self._turn()
            return
        self._waiting = False
        self._answer(200, b"slow\n" if self._head[1] == b"/slow" else self._server.name + b"\n")
        self._turn()

    def _turn(self) -> None:
        try:
            while self._flushed() and not self._waiting:
                if self._close:
                    self._server.forget(self._sock)
                    return
                if not self._advance():
                    return
        except NotHttpError:
            self._close = True
            self._answer(400, b"bad request\n")
            if self._flushed():
                self._server.forget(self._sock)
        except OSError:
            self._server.forget(self._sock)

    def _advance(self) -> bool:
        """Take one step into the input; false when it needs more."""
        if self._body is None:
            end = self._in.find(b"\r\n\r\n")
            if end < 0:
                if len(self._in) > _LONGEST_HEAD:
                    raise NotHttpError
                return False
            head = bytes(self._in[:end])
            del self._in[: end + 4]
            self._begin(head)
        assert self._body is not None
        if not self._body.feed(self._in):
            return False
        body, self._body = self._body, None
        self._respond(body)
        return True

    def _begin(self, head: bytes) -> None:
        line, *rest = head.split(b"\r\n")
        found = _REQUEST_LINE.match(line)
        if found is None:
            raise NotHttpError
        fields = dict(field.lower().replace(b" ", b"").split(b":", 1) for field in rest if b":" in field)
        self._head = (found[1], found[2], found[3] or b"")
        connection = fields.get(b"connection", b"")
        self._close = b"close" in connection or (found[4] == b"0" and b"keep-alive" not in connection)
        if fields.get(b"expect") == b"100-continue":
            self._sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"transfer-encoding" in fields:
            self._body = Body(None)
            return
        length = fields.get(b"content-length", b"0")
        if not length.isdigit():
            raise NotHttpError
        self._body = Body(int(length))

    def _respond(self, body: Body) -> None:
        method, path, query = self._head
        number = _NUMBER.match(query)
        argument = int(number[1]) if number else 0
        if method in {b"POST", b"PUT"}:
            self._answer(200, b"", b"X-Body-Length: %d\r\nX-Body-Crc32: %08x\r\n" % (body.length, body.crc))
        elif path == b"/slow":
            self._waiting = True
            self._server.later(argument / 1000, self)
        elif path == b"/bytes":
            extra = b"Content-Length: %d\r\nX-Body-Crc32: %08x\r\n" % (argument, bodies.crc32(argument))
            self._send_head(200, extra)
            self._out = bodies.pieces(argument) if method != b"HEAD" else iter(())
        elif path == b"/paced":
            span = _SPAN.match(query)
            length, start = (int(span[1]), int(span[2])) if span else (0, 0)
            self._send_head(200, b"Content-Length: %d\r\n" % length)
            self._paced = _small(bodies.pieces(start + length, start))
            self._waiting = True
            self._server.later(0, self)
        elif path == b"/chunked":
            extra = b"Transfer-Encoding: chunked\r\nX-Body-Crc32: %08x\r\n" % bodies.crc32(argument)
            self._send_head(200, extra)
            self._out = _chunks(argument) if method != b"HEAD" else iter(())
        elif path == b"/health":
            self._answer(200, b"ok\n")
        elif self._server.late:
            self._waiting = True
            self._server.later(self._server.late, self)
        else:
            self._answer(200, self._server.name + b"\n")

    def _answer(self, status: int, text: bytes, extra: bytes = b"") -> None:
        self._send_head(status, b"Content-Length: %d\r\n" % len(text) + extra)
        if self._head[0] != b"HEAD":
            self._piece = memoryview(bytes(self._piece) + text)

    def _send_head(self, status: int, extra: bytes) -> None:
        self._piece = memoryview(
            b"HTTP/1.1 %d %s\r\nX-Backend: %s\r\nX-Peer: %s\r\n%s%s\r\n"
            % (
                status,
                b"OK" if status == 200 else b"Bad Request",
                self._server.name,
                self._peer.encode(),
                extra,
                b"Connection: close\r\n" if self._close else b"",
            )
        )

    def _flushed(self) -> bool:
        """Send what goes out; false when the client must read first."""
        while True:
            while self._piece:
                try:
                    sent = self._sock.send(self._piece)
                except BlockingIOError:
                    self._want_write(on=True)
                    return False
                self._piece = self._piece[sent:]
            following = next(self._out, None)
            if following is None:
                self._want_write(on=False)
                return True
            self._piece = following

    def _want_write(self, *, on: bool) -> None:
        if on != self._writing:
            self._writing = on
            self._server.epoll.modify(self._sock, select.EPOLLOUT if on else select.EPOLLIN)


class Body:
    """Length and CRC-32 of a request body as it arrives."""

    def __init__(self, length: int | None) -> None:
        self.length = 0
        self.crc = 0
        self._left = length or 0
        self._chunked = length is None
        self._last = False

    def feed(self, data: bytearray) -> bool:
        """Take what belongs to the body out of `data`; true when it is complete."""
        while True:
            if self._left:
                taken = data[: self._left]
                if not taken:
                    return False
                del data[: len(taken)]
                self._left -= len(taken)
                self.length += len(taken)
                self.crc = zlib.crc32(taken, self.crc)
                continue
            if not self._chunked:
                return True
            end = data.find(b"\r\n")
            if end < 0:
                return False
            line = bytes(data[:end])
            del data[: end + 2]
            if self._last:
                if not line:
                    return True
                continue  # a trailer
            if not line and self.length:
                continue  # the CRLF after a chunk
            size = _CHUNK_SIZE.match(line)
            if size is None:
                raise NotHttpError
            self._left = int(size[0], 16)
            self._last = self._left == 0


def _small(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    for piece in pieces:
        for at in range(0, len(piece), PIECE):
            yield piece[at : at + PIECE]


def _chunks(length: int) -> Iterator[memoryview]:
    for piece in bodies.pieces(length):
        yield memoryview(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)))
    yield memoryview(b"0\r\n\r\n")


class Server:
    def __init__(self, name: str, address: str, port: int, late: float = 0.0) -> None:
        self.name = name.encode()
        self.late = late
        self.epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection]] = []
        self._order = count()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=4096)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.epoll.register(self._listener, select.EPOLLIN)

    def later(self, delay: float, connection: Connection) -> None:
        if connection.gone:
            return
        heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), connection))

    def forget(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            del self._connections[sock.fileno()]
            sock.close()

    def serve(self) -> None:
        listener = self._listener.fileno()
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for fd, mask in self.epoll.poll(wait):
                if fd == listener:
                    self._accept()
                elif connection := self._connections.get(fd):
                    connection.on_ready(mask)
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2].answer_now()

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(self, sock, peer[0])
            self.epoll.register(sock, select.EPOLLIN)


if __name__ == "__main__":
    server = Server(sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:]))
    print(f"ready on port {server.port}", flush=True)
    server.serve()
