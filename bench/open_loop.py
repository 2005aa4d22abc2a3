"""A client that sends at a constant rate whatever comes back: what a request waits for, honestly.

    python bench/open_loop.py PORT RATE SECONDS [CONNECTIONS]

Latency counts from the moment when a request was due, so that a proxy which stalls is charged for every
request that could not be sent meanwhile.  Prints the median and the 99th percentile in microseconds, and how
many were answered.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque

REQUEST = b"GET /index.php HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
END = b"behind the proxy\n"
"""Of each response (bench/throughput.py's server)."""
WARM = 0.3
"""Seconds at the beginning that do not count."""


def drive(port: int, rate: float, seconds: float, connections: int) -> list[float]:
    """Seconds that each request took, sorted."""
    epoll = select.epoll()
    socks: dict[int, socket.socket] = {}
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        epoll.register(sock.fileno(), select.EPOLLIN)
    free, waiting = deque(socks), deque[float]()
    due_of: dict[int, float] = {}
    got = dict.fromkeys(socks, b"")
    took: list[float] = []
    begun = due = time.monotonic()
    end = begun + seconds
    while due < end or due_of or waiting:
        now = time.monotonic()
        while due <= now and due < end:
            waiting.append(due)
            due += 1 / rate
        while waiting and free:
            fd = free.popleft()
            due_of[fd] = waiting.popleft()
            socks[fd].send(REQUEST)
        if now > end + 10:
            sys.exit(f"port {port}: {len(due_of)} requests were not answered")
        if due < end or due_of:
            # `select`, since epoll's time-outs are whole milliseconds.
            select.select([epoll], [], [], max(0.0, due - now) if due < end else 1.0)
        for fd, _ in epoll.poll(0):
            data = socks[fd].recv(65536)
            if not data:
                sys.exit(f"port {port}: a connection was closed")
            got[fd] += data
            if got[fd].endswith(END):
                if not got[fd].startswith(b"HTTP/1.1 200"):
                    sys.exit(f"port {port}: {got[fd][:60]!r}")
                got[fd] = b""
                at = due_of.pop(fd)
                if at >= begun + WARM:
                    took.append(time.monotonic() - at)
                free.append(fd)
    return sorted(took)


def main() -> None:
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    connections = int(sys.argv[4]) if len(sys.argv) > 4 else 50
    took = drive(port, rate, seconds, connections)
    count = len(took)
    print(f"{took[count // 2] * 1e6:.0f} {took[count * 99 // 100] * 1e6:.0f} {count}")


if __name__ == "__main__":
    main()
