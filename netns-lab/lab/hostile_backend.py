"""A server whose checks pass and that answers nothing else to the end.  Run as a program.

    python -m lab.hostile_backend NAME ADDRESS PORT

By turns: an end or a reset instead of an answer, and in the middle of a body.  What it does send is true.
"""

from __future__ import annotations

import re
import socket
import socketserver
import struct
import sys
from itertools import count

from lab import bodies

_PROMISED, _SENT = 1000, 400
_PACED = re.compile(rb"GET /paced\?n=([0-9]+)&from=([0-9]+) ")
_TURNS = count()


class Hostile(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(5)
        try:
            self._answer(self.request.recv(65536))
        except OSError:
            pass  # the other side was quicker

    def _answer(self, asked: bytes) -> None:
        name = sys.argv[1].encode()
        if asked.startswith(b"GET /health "):
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Backend: %s\r\nContent-Length: 3\r\n\r\nok\n"
            self.request.sendall(head % name)
            return
        reset, in_a_body = divmod(next(_TURNS) % 4, 2)
        paced = _PACED.match(asked)
        length, start = (int(paced[1]), int(paced[2])) if paced else (_PROMISED, 0)
        if in_a_body and asked.startswith(b"GET "):
            head = b"HTTP/1.1 200 OK\r\nX-Backend: %s\r\nX-Peer: %s\r\nContent-Length: %d\r\n\r\n"
            peer = self.client_address[0].encode()
            begun = b"".join(bodies.pieces(start + _SENT, start))
            self.request.sendall(head % (name, peer, length) + begun)
        if reset:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


if __name__ == "__main__":
    with Server((sys.argv[2], int(sys.argv[3])), Hostile) as server:
        print("ready", flush=True)
        server.serve_forever()
