"""A fresh TCP connection and HTTP request every few milliseconds.  Run as a program.

    python -m lab.probe ADDRESS PORT INTERVAL_MS TIMEOUT_MS

A program of its own, so that neither the lab's tasks nor a screen being drawn delay a
request.  One line per request, in the order in which they end, times in monotonic
seconds (that clock is the same in every process):
    START END backend/peer         it was answered with a 200 by `backend`, asked by `peer`
    START END !REASON              it was not; WRONG... when it was told something untrue
"""

from __future__ import annotations

import errno
import gc
import os
import re
import select
import socket
import sys
import time
from collections import deque

_ANSWER = re.compile(rb"HTTP/1\.1 200 .*?\r\n(.*?\r\n)\r\n", re.DOTALL)
_WHO = re.compile(rb"^x-backend: *([^\r]+)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^content-length: *([0-9]+)", re.IGNORECASE | re.MULTILINE)
_VIA = re.compile(rb"^x-peer: *([^\r]+)", re.IGNORECASE | re.MULTILINE)
_FLUSH = 0.02


class Try:
    __slots__ = ("answer", "sent", "sock", "start")

    def __init__(self, start: float, sock: socket.socket) -> None:
        self.start = start
        self.sock = sock
        self.sent = False
        self.answer = b""


class Probe:
    def __init__(self, address: str, port: int, interval: float, timeout: float) -> None:
        self._target = (address, port)
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        host = f"[{address}]" if ":" in address else address
        self._interval = interval
        self._timeout = timeout
        self._epoll = select.epoll()
        self._open: dict[int, Try] = {}
        self._ages: deque[Try] = deque()
        self._lines: list[str] = []
        self._request = (
            f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: hapair-lab\r\nConnection: close\r\n\r\n"
        ).encode()

    def run(self) -> None:
        gc.disable()
        due = flush = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= due:
                self._launch(now)
                # What could not be asked in time (we were not scheduled) is not asked at all.
                due = max(due + self._interval, now)
            while self._ages and self._ages[0].start + self._timeout <= now:
                self._end(self._ages[0], "!timeout", now)
            if now >= flush and self._lines:
                os.write(1, "".join(self._lines).encode())
                self._lines.clear()
                flush = now + _FLUSH
            for fd, _ in self._epoll.poll(max(0.0, due - time.monotonic())):
                self._ready(self._open[fd])

    def _launch(self, now: float) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        attempt = Try(now, sock)
        self._open[sock.fileno()] = attempt
        self._ages.append(attempt)
        self._epoll.register(sock, select.EPOLLOUT)
        failed = sock.connect_ex(self._target)
        if failed not in (0, errno.EINPROGRESS):
            self._end(attempt, f"!{errno.errorcode[failed]}", now)

    def _ready(self, attempt: Try) -> None:
        try:
            if not attempt.sent:
                failed = attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failed:
                    self._end(attempt, f"!{errno.errorcode[failed]}", time.monotonic())
                    return
                attempt.sock.send(self._request)
                attempt.sent = True
                self._epoll.modify(attempt.sock, select.EPOLLIN)
                return
            data = attempt.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(attempt, f"!{errno.errorcode[error.errno or 0]}", time.monotonic())
            return
        attempt.answer += data
        if not data:  # the server ends first, so that TIME_WAIT is its burden and our ports last
            self._end(attempt, _judge(attempt.answer), time.monotonic())

    def _end(self, attempt: Try, outcome: str, now: float) -> None:
        del self._open[attempt.sock.fileno()]
        self._ages.remove(attempt)
        attempt.sock.close()
        self._lines.append(f"{attempt.start:.6f} {now:.6f} {outcome}\n")


def _judge(answer: bytes) -> str:
    found = _ANSWER.match(answer)
    if found is None:
        return f"!{answer[9:12].decode('ascii', 'replace') or 'empty'}"
    who, via, length = _WHO.search(found[1]), _VIA.search(found[1]), _LENGTH.search(found[1])
    if who is None or via is None or length is None:
        return "!WRONG head"
    body = answer[found.end() :]
    if len(body) < int(length[1]):
        return "!cut"
    if body != who[1] + b"\n":
        return "!WRONG body"
    return f"{who[1].decode()}/{via[1].decode()}"


if __name__ == "__main__":
    Probe(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000, float(sys.argv[4]) / 1000).run()
