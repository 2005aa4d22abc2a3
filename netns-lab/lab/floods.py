"""Twenty sources ask one node, and one of them is honest: what does it notice of the others?

    python -m lab.floods PORT RATE         floods 127.0.0.1:PORT from 127.1.0.1 ... 127.1.0.19 until killed;
                                           RATE requests a second from each, a connection for each request

Every defence is judged beside a control without any: there the servers have more to do than they can.
A visit is open-loop: latency counts from when a request was due.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import attrs

LAB = Path(__file__).parents[1]
HONEST = "127.0.0.1"
FLOODERS = [f"127.1.0.{n}" for n in range(1, 20)]
SERVICE = 40
"""Milliseconds that the server takes for each request."""
SLOTS = 32
"""Requests that it takes at a time: 800 a second."""
LIMIT = 25
"""Requests or connections a second that one source may make."""
VISIT_RATE = 15.0
"""Requests a second of the honest one."""
FLOOD_RATE = 70.0
"""Of each of the others: together 1.7 times what the server can."""
HELD = 100
"""Connections that each of them keeps open at most."""

_REQUEST = f"GET /slow?ms={SERVICE} HTTP/1.1\r\nHost: www.example.org\r\n\r\n".encode()
_ABORT = b"\1\0\0\0\0\0\0\0"

_TRACKED = 'stick_table = { size = "1k", expire = "30s", store = ["http_req_rate(1s)", "conn_rate(1s)"] }'
_MARKED = '[stick_table.marked]\nsize = "1k"\nexpire = "30s"\nstore = ["gpc0"]'

DEFENCES: dict[str, str] = {
    "none": "",
    "http_req_rate": f"""
{_TRACKED}
http_request = ["track-sc0 src", "deny deny_status 429 if {{ sc_http_req_rate(0) gt {LIMIT} }}"]
""",
    "conn_rate": f"""
{_TRACKED}
tcp_request_connection = ["track-sc0 src", "reject if {{ sc_conn_rate(0) gt {LIMIT} }}"]
""",
    "tarpit": f"""
{_TRACKED}
http_request = ["track-sc0 src", "tarpit if {{ sc_http_req_rate(0) gt {LIMIT} }}"]
""",
    "reject": f"""
{_TRACKED}
tcp_request_connection = ["reject if {{ src_get_gpc0(marked) gt 0 }}"]
http_request = [
  "track-sc0 src",
  "track-sc1 src table marked if {{ sc_http_req_rate(0) gt {LIMIT} }}",
  "sc-inc-gpc0(1) if {{ sc_http_req_rate(0) gt {LIMIT} }}",
]
{_MARKED}
""",
}
"""What turns the others away, as lines of a frontend (doubled braces are those of `str.format`)."""


def config(defence: str, front: int, back: int) -> str:
    """A node with one defence."""
    return f"""[node]
name = "flooded"
log = {{ target = "stdout" }}
maxconn = 4000
hard_stop_after = "500ms"
[defaults]
mode = "http"
timeout = {{ connect = "5s", client = "10s", server = "10s", queue = "1s", tarpit = "2s" }}
[backend.web]
server.web1 = {{ address = "127.0.0.1:{back}", maxconn = {SLOTS} }}
[frontend.main]
bind = "127.0.0.1:{front}"
default_backend = "web"
{DEFENCES[defence].replace("{{", "{").replace("}}", "}")}"""


@attrs.frozen
class Visit:
    """What the honest one saw."""

    took: tuple[float, ...]
    """Seconds of each request that was answered with 200, sorted."""
    errors: int

    def at(self, percent: int) -> float:
        """A percentile in seconds; `inf` when nothing was answered."""
        return (
            self.took[min(len(self.took) - 1, len(self.took) * percent // 100)] if self.took else float("inf")
        )


@contextlib.contextmanager
def server() -> Iterator[int]:
    """The server behind the node; its port."""
    command = [sys.executable, "-m", "lab.backends", "web1", "127.0.0.1", "0"]
    with subprocess.Popen(command, cwd=LAB, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().removeprefix(b"ready on port "))
        finally:
            process.kill()


@contextlib.contextmanager
def flood(port: int, rate: float = FLOOD_RATE) -> Iterator[None]:
    """All the others, until the block ends."""
    command = [sys.executable, "-m", "lab.floods", str(port), str(rate)]
    with subprocess.Popen(command, cwd=LAB) as process:
        try:
            yield
            assert process.poll() is None, "the flood has ended early"
        finally:
            process.kill()


def visit(port: int, seconds: float, rate: float = VISIT_RATE, connections: int = 40) -> Visit:
    """Ask so many times a second.

    Over enough connections that nothing waits for one: bursts, which would be limited, are not honest.
    """
    with contextlib.closing(_Visitor(port, connections)) as visitor:
        return visitor.run(seconds, rate)


class _Visitor:
    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._free: deque[int] = deque()
        self._due: dict[int, float] = {}
        self._got: dict[int, bytes] = {}
        self._took: list[float] = []
        self._errors = 0
        self._missing = connections

    def run(self, seconds: float, rate: float) -> Visit:
        due = begun = time.monotonic()
        waiting: deque[float] = deque()
        while (now := time.monotonic()) < begun + seconds or self._due or waiting:
            while due <= now and due < begun + seconds:
                waiting.append(due)
                due += 1 / rate
            self._send(waiting)
            if now > begun + seconds + 5:
                self._errors += len(self._due) + len(waiting)
                break
            pause = max(0.0, due - now) if due < begun + seconds else 0.05
            select.select([self._poll], [], [], min(pause, 0.05))
            for fd, _ in self._poll.poll(0):
                self._read(fd)
        return Visit(tuple(sorted(self._took)), self._errors)

    def _send(self, waiting: deque[float]) -> None:
        while waiting and (self._free or self._missing):
            if not self._free and not self._connect():
                waiting.popleft()
                self._errors += 1
                continue
            fd = self._free.popleft()
            self._due[fd], self._got[fd] = waiting.popleft(), b""
            try:
                self._socks[fd].send(_REQUEST)
            except OSError:
                self._lose(fd)

    def _connect(self) -> bool:
        try:
            sock = socket.create_connection((HONEST, self._port), timeout=2, source_address=(HONEST, 0))
        except OSError:
            return False
        sock.setblocking(False)
        self._missing -= 1
        self._socks[sock.fileno()] = sock
        self._free.append(sock.fileno())
        self._poll.register(sock, select.EPOLLIN)
        return True

    def _read(self, fd: int) -> None:
        try:
            data = self._socks[fd].recv(65536)
        except OSError:
            data = b""
        if not data:
            self._lose(fd)
            return
        self._got[fd] += data
        if b"\r\n\r\n" not in self._got[fd] or not self._got[fd].endswith(b"\n"):
            return
        due = self._due.pop(fd)
        if self._got[fd].startswith(b"HTTP/1.1 200 "):
            self._took.append(time.monotonic() - due)
            self._free.append(fd)
        else:
            self._errors += 1
            self._drop(fd)

    def _lose(self, fd: int) -> None:
        """Closed: an error if something was asked."""
        if self._due.pop(fd, None) is not None:
            self._errors += 1
        self._drop(fd)

    def _drop(self, fd: int) -> None:
        with contextlib.suppress(ValueError):
            self._free.remove(fd)
        self._socks.pop(fd).close()
        self._missing += 1

    def close(self) -> None:
        for sock in self._socks.values():
            sock.close()
        self._poll.close()


def attack(port: int, rate: float) -> None:
    """Until killed."""
    poll = select.epoll()
    socks: dict[int, tuple[socket.socket, str]] = {}
    held = dict.fromkeys(FLOODERS, 0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begun, made = time.monotonic(), 0
    while True:
        total = int((time.monotonic() - begun) * rate * len(FLOODERS))
        # Whoever is late is not allowed to catch up all at once: a flood is a rate, not a burst.
        made = max(made, total - len(FLOODERS))
        for number in range(made, total):
            source = FLOODERS[number % len(FLOODERS)]
            if held[source] < HELD:
                sock = _ask(source, port)
                if sock is not None:
                    held[source] += 1
                    socks[sock.fileno()] = sock, source
                    poll.register(sock, select.EPOLLIN)
        made = max(made, total)
        for fd, _ in poll.poll(0.005):
            sock, source = socks.pop(fd)
            held[source] -= 1
            poll.unregister(fd)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            sock.close()


def _ask(source: str, port: int) -> socket.socket | None:
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    try:
        sock.bind((source, 0))
        sock.settimeout(1)
        sock.connect((HONEST, port))
        sock.setblocking(False)
        sock.send(_REQUEST)
    except OSError:
        sock.close()
        return None
    return sock


if __name__ == "__main__":
    if os.getppid() == 1:
        sys.exit("nobody is here to end it")
    signal.alarm(120)  # whatever becomes of who started it, no flood is for ever
    attack(int(sys.argv[1]), float(sys.argv[2]))
