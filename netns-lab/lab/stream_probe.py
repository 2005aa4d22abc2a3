"""Long-lived streams of known bytes through the load balancers.  Run as a program.

    python -m lab.stream_probe ADDRESS PORT SEED

Two downloads and two uploads at any time, each of some seconds at 200 kB/s and each with bytes of
its own (another part of the body of lab.bodies), so that what belongs to another stream, is lost or
comes twice shows at once.  One line for each as it ends, times in monotonic seconds:
    START END KIND BYTES right        every byte was what it must be
    START END KIND BYTES REASON       it broke, and the client could see it
    START END KIND BYTES WRONG WHAT   it did not, or only after something untrue
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from lab import bodies
from lab.backends import PAUSE, PIECE

SHORTEST, LONGEST = 150_000, 500_000
"""Bytes: one to three seconds."""
PATIENCE = 3.0
"""Seconds without a byte after which a stream is given up."""
_AGAIN = 0.1
_HEAD = re.compile(rb"HTTP/1\.1 ([0-9]{3}) .*?\r\n\r\n", re.DOTALL)
_FIELD = re.compile(
    rb"^(content-length|x-body-length|x-body-crc32): *([0-9a-f]+)", re.IGNORECASE | re.MULTILINE
)


class BrokenError(Exception):
    """The stream has ended early, for everybody to see."""


class WrongError(Exception):
    """The client was told something untrue."""


class Streams:
    def __init__(self, address: str, port: int) -> None:
        self._target = address, port
        self._host = f"[{address}]" if ":" in address else address

    def run(self, kind: str, chance: Random) -> None:
        """One after the other, for ever."""
        while True:
            start = time.monotonic()
            length, offset = chance.randint(SHORTEST, LONGEST), chance.randrange(len(bodies.BLOCK))
            went = [0]
            outcome = "right"
            try:
                with socket.create_connection(self._target, timeout=PATIENCE) as sock:
                    if kind == "download":
                        self._download(sock, length, offset, went)
                    else:
                        self._upload(sock, length, offset, went)
            except WrongError as error:
                outcome = f"WRONG {error}"
            except (BrokenError, OSError) as error:
                outcome = str(error).replace(" ", "-") or type(error).__name__
            line = f"{start:.6f} {time.monotonic():.6f} {kind} {went[0]} {outcome}\n"
            os.write(1, line.encode())
            if outcome != "right":
                time.sleep(_AGAIN)

    def _download(self, sock: socket.socket, length: int, offset: int, went: list[int]) -> None:
        request = (
            f"GET /paced?n={length}&from={offset} HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n\r\n"
        )
        sock.sendall(request.encode())
        status, fields, body = _head(sock)
        if status != 200:
            raise BrokenError(str(status))
        if fields.get("content-length") != str(length):
            raise WrongError("length")
        expected = _Expected(length, offset)
        while True:
            expected.take(body)
            went[0] += len(body)
            if went[0] == length:
                return
            body = sock.recv(65536)
            if not body:
                raise BrokenError("cut")

    def _upload(self, sock: socket.socket, length: int, offset: int, went: list[int]) -> None:
        fields = f"Host: {self._host}\r\nConnection: close\r\nContent-Length: {length}"
        sock.sendall(f"POST /upload HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        crc = 0
        for piece in bodies.pieces(offset + length, offset):
            for at in range(0, len(piece), PIECE):
                part = piece[at : at + PIECE]
                sock.sendall(part)
                crc = zlib.crc32(part, crc)
                went[0] += len(part)
                time.sleep(PAUSE)
        status, answer, _ = _head(sock)
        if status != 200:
            raise BrokenError(str(status))
        if (answer.get("x-body-length"), answer.get("x-body-crc32")) != (str(length), f"{crc:08x}"):
            raise WrongError("body")


class _Expected:
    """Compares as it comes: a wrong byte counts also when the stream breaks after it."""

    def __init__(self, length: int, offset: int) -> None:
        self._pieces = bodies.pieces(offset + length, offset)
        self._piece = memoryview(b"")

    def take(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            if not self._piece:
                following = next(self._pieces, None)
                if following is None:
                    raise WrongError("more than there is")
                self._piece = following
            size = min(len(rest), len(self._piece))
            if rest[:size] != self._piece[:size]:
                raise WrongError("bytes")
            rest, self._piece = rest[size:], self._piece[size:]


def _head(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, the fields that matter, and what has come of the body."""
    answer = b""
    while True:
        found = _HEAD.match(answer)
        if found is not None:
            fields = {name.decode().lower(): value.decode() for name, value in _FIELD.findall(found[0])}
            return int(found[1]), fields, answer[found.end() :]
        part = sock.recv(65536)
        if not part:
            raise BrokenError("cut" if answer else "empty")
        answer += part


@contextmanager
def _threads(streams: Streams, seed: int) -> Iterator[None]:
    threads = [
        threading.Thread(target=streams.run, args=(kind, Random(f"{seed} {kind} {number}")), daemon=True)
        for kind in ("download", "upload")
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    with _threads(Streams(sys.argv[1], int(sys.argv[2])), int(sys.argv[3])):
        pass
