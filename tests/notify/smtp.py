"""A mail server on loopback for tests: real sockets, answers as ordered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MailServer:
    """Takes mail in a thread; `answers` are given instead of 250, by command, each once."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.answers: dict[str, list[str]] = {}
        self.heard: list[str] = []
        """Command lines."""
        self.mails: list[bytes] = []
        """With the line ends and dots of the wire."""
        self.taken = threading.Semaphore(0)
        """Released for each mail."""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection, connection.makefile("rwb", buffering=0) as file:
                self._converse(file)

    def _converse(self, file) -> None:
        file.write(b"220 test\r\n")
        for line in file:
            command = line.decode().strip()
            self.heard.append(command)
            verb = command.split(":")[0].split(" ")[0].upper()
            default = {"DATA": "354 go", "QUIT": "221 bye"}.get(verb, "250 ok")
            answer = self.answers[verb].pop(0) if self.answers.get(verb) else default
            file.write(f"{answer}\r\n".encode())
            if answer.startswith("354"):
                self._take(file)
            if verb == "QUIT":
                return

    def _take(self, file) -> None:
        lines = []
        for line in file:
            if line == b".\r\n":
                break
            lines.append(line)
        answer = self.answers["."].pop(0) if self.answers.get(".") else "250 taken"
        if answer.startswith("2"):
            self.mails.append(b"".join(lines))
        file.write(f"{answer}\r\n".encode())
        self.taken.release()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    try:
        yield server
    finally:
        server.close()
