"""A server on a unix socket that says what the test wants next, and a client of the proxy before it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class Answering(threading.Thread):
    """A server that says the next response to whoever comes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.next = b""
        self.asked = b""
        self.start()

    def run(self) -> None:
        while True:
            client, _ = self.listening.accept()
            with client:
                client.settimeout(10)
                got = b""
                while b"\r\n\r\n" not in got:
                    data = client.recv(65536)
                    if not data:
                        return
                    got += data
                self.asked = got
                client.sendall(self.next)

    def end(self, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
        self.join(10)
        self.listening.close()


@contextlib.contextmanager
def answering(path: Path) -> Iterator[Answering]:
    server = Answering(path)
    try:
        yield server
    finally:
        server.end(path)


def ask(path: Path, sent: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(sent)
        got = b""
        while piece := client.recv(65536):
            got += piece
        return got
