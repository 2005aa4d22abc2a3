"""Where log lines go: syslog over UDP or a local datagram socket, or standard output.

Lines are formatted once and sent in batches, without ever blocking: a sink that
is full or gone loses lines and counts them, traffic does not notice.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hapair.config.model import Log

LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()

MAX_WAITING = 4096
"""Lines kept for one target between two flushes."""
MAX_LINE = 8192
RECONNECT = 1.0
"""Seconds before a vanished syslog socket is looked for again."""

_CONTROLS = bytes(range(32)) + b"\x7f"
_SPACES = bytes.maketrans(_CONTROLS, b" " * len(_CONTROLS))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LogSink:
    """Every log target of the node.  Nothing here blocks or raises once it is open."""

    def __init__(self, logs: Iterable[Log], clock: Callable[[], float] = time.time) -> None:
        self._targets = [_open(log, clock) for log in logs]

    def write(self, severity: int, line: bytes) -> None:
        """Take one line of a syslog severity (0..7); it is sent by the next `flush`."""
        for target in self._targets:
            if severity <= target.level:
                target.write(severity, line)

    def flush(self) -> None:
        """Send what was written since the last time."""
        for target in self._targets:
            if target.waiting:
                target.flush()

    @property
    def dropped(self) -> int:
        """Lines lost because a target was full or gone."""
        return sum(target.dropped for target in self._targets)

    def close(self) -> None:
        """Send what is left and give the sockets back."""
        self.flush()
        for target in self._targets:
            target.close()


class _Target:
    """One target: its lines, and how they leave."""

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self.level = LEVELS.index(log.level)
        self.waiting: list[bytes] = []
        self.dropped = 0
        self._clock = clock

    def write(self, severity: int, line: bytes) -> None:
        if len(self.waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self.waiting.append(self._formatted(severity, line[:MAX_LINE].translate(_SPACES)))

    def _formatted(self, severity: int, line: bytes) -> bytes:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class _Syslog(_Target):
    """RFC 3164 as HAProxy sends it: `<134>Nov 23 19:58:11 hapair[27174]: …`, no host name."""

    def __init__(self, log: Log, clock: Callable[[], float], family: int, address: object) -> None:
        super().__init__(log, clock)
        self._facility = FACILITIES.index(log.facility) * 8
        self._family = family
        self._address = address
        self._second = -1
        self._stamp = b""
        self._retry_at = 0.0
        self._socket: socket.socket | None = None
        self._connect()

    def _connect(self) -> None:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._address)  # type: ignore[arg-type]  # a path or (host, port), by family
        except OSError:
            sock.close()
            self._retry_at = self._clock() + RECONNECT
        else:
            self._socket = sock

    def _formatted(self, severity: int, line: bytes) -> bytes:
        now = int(self._clock())
        if now != self._second:
            self._second = now
            t = time.localtime(now)
            self._stamp = (
                f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} "
                f"hapair[{os.getpid()}]: "
            ).encode()
        return b"<%d>%b%b" % (self._facility + severity, self._stamp, line)

    def flush(self) -> None:
        lines, self.waiting = self.waiting, []
        if self._socket is None and self._clock() >= self._retry_at:
            self._connect()
        sent = 0
        sock = self._socket
        if sock is not None:
            try:
                for line in lines:
                    sock.send(line)
                    sent += 1
            except BlockingIOError:
                pass  # full: the rest of the batch is lost, the next one is tried again
            except ConnectionRefusedError:
                # UDP: nobody listened a moment ago.  A local socket: its daemon restarted.
                if self._family == socket.AF_UNIX:
                    self._disconnect()
            except OSError:
                self._disconnect()
        self.dropped += len(lines) - sent

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._retry_at = self._clock() + RECONNECT

    def close(self) -> None:
        self._disconnect()


class _Stream(_Target):
    """Standard output or error: the bare line.

    The descriptor may be shared (a terminal, a journal), so it is not made
    non-blocking.  A pipe that poll calls writable takes PIPE_BUF bytes at once,
    so that much is written at a time; files and terminals take what they get.
    """

    def __init__(self, log: Log, clock: Callable[[], float], fd: int) -> None:
        super().__init__(log, clock)
        self._fd = fd
        mode = os.fstat(fd).st_mode
        self._step = select.PIPE_BUF if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else 1 << 20
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._left = b""

    def _formatted(self, severity: int, line: bytes) -> bytes:
        del severity
        return line + b"\n"

    def flush(self) -> None:
        lines, self.waiting = self.waiting, []
        data = self._left + b"".join(lines)
        at = 0
        try:
            while at < len(data):
                ready = self._poll.poll(0)
                if not ready or not ready[0][1] & select.POLLOUT:
                    break
                at += os.write(self._fd, data[at : at + self._step])
        except OSError as error:
            if error.errno != errno.EAGAIN:
                at = 0
        if at < len(data):
            # Finish the line that was begun, lose the others.
            end = data.find(b"\n", at) + 1 if at and data[at - 1] != 10 else at
            self.dropped += data.count(b"\n", end)
            data = data[:end]
        self._left = data[at:]

    def close(self) -> None:
        self.flush()


def _open(log: Log, clock: Callable[[], float]) -> _Target:
    if log.target in ("stdout", "stderr"):
        return _Stream(log, clock, 1 if log.target == "stdout" else 2)
    if log.target.startswith("/"):
        return _Syslog(log, clock, socket.AF_UNIX, log.target)
    host, _, port = log.target.rpartition(":")
    host = host.removeprefix("udp@").strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return _Syslog(log, clock, family, (host, int(port or 514)))
