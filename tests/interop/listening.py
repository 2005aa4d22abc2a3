"""A server of the tests' own, with a thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading


class Listener:
    """Serves each connection in a thread of its own; they all end with the block."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self.over = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._guarded, args=(client,)))
                self._threads[-1].start()

    def _guarded(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(5)
            self.serve(client)

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError
