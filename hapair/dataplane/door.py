"""One bind as the control process holds it: a listening socket for each worker.

The kernel spreads connections over sockets that share a port (SO_REUSEPORT), by a hash
of their addresses.  Whether a socket listens is a state of the socket and not of a
process: so the control process opens and shuts all of them itself, and a worker that
hangs cannot keep a gate open.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hapair.dataplane.listener import bind_socket, listen, stop_listening

if TYPE_CHECKING:
    from hapair.config.model import Bind


class Door:
    def __init__(self, bind: Bind, sockets: tuple[socket.socket, ...], backlog: int) -> None:
        self.bind = bind
        self.backlog = backlog
        """Connections that may wait at each socket."""
        self.sockets = sockets
        """By worker; all the same one where a port cannot be shared."""
        self._listening = False

    def open(self) -> None:
        """Listen."""
        if not self._listening:
            self._listening = True
            for sock in set(self.sockets):
                listen(sock, self.backlog)

    def shut(self) -> None:
        """Stop listening; what waits in the backlogs is reset."""
        if self._listening:
            self._listening = False
            for sock in set(self.sockets):
                stop_listening(sock)

    def close(self) -> None:
        """Give the port back, as far as this process goes."""
        self.shut()
        for sock in set(self.sockets):
            sock.close()
        if self.bind.path is not None:
            with suppress(OSError):
                Path(self.bind.path).unlink()


def bind_for_all(bind: Bind, workers: int, bound: ExitStack) -> tuple[socket.socket, ...]:
    """Bind a socket for each worker.

    Raises:
        StartError: the address cannot be bound, with the reason.
    """
    if bind.path is not None or bind.fd is not None:
        return (bound.enter_context(bind_socket(bind)),) * workers
    # With SO_REUSEPORT we would share the port with another hapair: one without it finds out.
    bind_socket(bind).close()
    return tuple(bound.enter_context(bind_socket(bind, shared=True)) for _ in range(workers))
