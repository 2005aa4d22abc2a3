"""Where log lines go: syslog over UDP or a local datagram socket, or standard output.

Law: nothing here blocks or raises once it is open.  Lines are formatted once,
kept until the next flush and sent in one go; what a target does not take now is
tried again at the next flush, and beyond MAX_WAITING lines are lost and counted.
Traffic never notices.  Hot: `LogSink.write`.

Format: RFC 3164 as HAProxy writes it, without a host name:
`<134>Nov 23 19:58:11 hapair[27174]: ...`; on standard output the bare line.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
import time
from itertools import islice
from typing import TYPE_CHECKING

from hapair.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hapair.config.model import Log

LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""Syslog severities; a smaller number is more severe."""
FACILITIES = (
    "kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
).split()

MAX_WAITING = 4096
"""Lines kept for a target that does not take them: some hundred milliseconds of traffic."""
MAX_LINE = 8192
"""Bytes of a line; the rest is cut off."""
RECONNECT = 1.0
"""Seconds between attempts to find a syslog socket that is gone."""

_FULL = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
_CONTROLS = bytes(range(32)) + b"\x7f"
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LogSink:
    """Every log target of the node."""

    def __init__(self, logs: Iterable[Log], clock: Callable[[], float] = time.time) -> None:
        """Open the targets; a syslog socket that is not there yet is looked for again later.

        Raises:
            StartError: a host name is unknown.
        """
        self._clock = clock
        self._targets: list[SyslogTarget | StreamTarget] = [_open(log, clock) for log in logs]

    def write(self, severity: int, line: bytes) -> None:
        """Take one line of a syslog severity (0..7); it is sent by the next `flush`.

        Control characters become `#XX`, so that nobody can forge a line of his own.
        """
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE]
        if len(line.translate(None, _CONTROLS)) != len(line):
            line = _CONTROL.sub(_escaped, line)
        now = int(self._clock())
        for target in self._targets:
            if severity <= target.level:
                target.take(severity, line, now)

    def flush(self) -> None:
        """Send what was written since the last time, as far as it is taken."""
        for target in self._targets:
            if target.waiting:
                target.flush()

    @property
    def dropped(self) -> int:
        """Lines lost because a target was full or gone."""
        return sum(target.dropped for target in self._targets)

    def close(self) -> None:
        """Send what can be sent and give the descriptors back."""
        for target in self._targets:
            target.flush()
            target.dropped += len(target.waiting)
            target.waiting.clear()
            target.close()


class SyslogTarget:
    """A syslog daemon behind UDP or a local datagram socket."""

    def __init__(
        self, level: int, facility: int, family: int, address: object, clock: Callable[[], float]
    ) -> None:
        self.level = level
        self.waiting: list[bytes] = []
        self.dropped = 0
        self._facility = facility
        self._family = family
        self._address = address
        self._clock = clock
        self._headers_of = -1
        """The second whose headers are in `_headers`, by severity."""
        self._headers: list[bytes] = []
        self._retry_at = 0.0
        self._socket: socket.socket | None = None
        self._connect()

    def take(self, severity: int, line: bytes, now: int) -> None:
        """Format a line of this second and keep it."""
        if len(self.waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        if now != self._headers_of:
            self._headers_of = now
            self._headers = _headers(self._facility, now)
        self.waiting.append(self._headers[severity] + line)

    def flush(self) -> None:
        """One datagram for each line; on the way the daemon may turn out to be full, gone or back."""
        if self._socket is None and self._clock() >= self._retry_at:
            self._connect()
        sent = 0
        while self._socket is not None and sent < len(self.waiting):
            try:
                for line in islice(self.waiting, sent, None):
                    self._socket.send(line)
                    sent += 1
            except OSError as error:
                if error.errno in _FULL:
                    break
                sent += self._recover(error)
        del self.waiting[:sent]

    def _recover(self, error: OSError) -> int:
        """Make the next attempt possible, or none; returns how many lines it cost."""
        if error.errno == errno.EMSGSIZE:
            self.dropped += 1
            return 1
        if error.errno == errno.ECONNREFUSED and self._family != socket.AF_UNIX:
            # Nobody took the datagram before this one, which was not sent: the error stood in its way.
            self.dropped += 1
        else:
            # A local daemon that restarted has a new socket under the old name; an address or a route
            # that is gone needs a new one, too.  Once at once, then from time to time.
            again = self._clock() >= self._retry_at
            self._disconnect()
            if again:
                self._connect()
                self._retry_at = self._clock() + RECONNECT
        return 0

    def _connect(self) -> None:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._address)  # type: ignore[arg-type]  # a path, or what getaddrinfo gave
        except OSError:
            sock.close()
            self._retry_at = self._clock() + RECONNECT
        else:
            self._socket = sock

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._retry_at = self._clock() + RECONNECT

    def close(self) -> None:
        """Give the socket back."""
        self._disconnect()


class StreamTarget:
    """Standard output or error."""

    def __init__(self, level: int, fd: int) -> None:
        self.level = level
        self.waiting: list[bytes] = []
        self.dropped = 0
        self._begun = b""
        """What is left of a line whose beginning was taken."""
        self._write, self.close = _stream(fd)

    def take(self, severity: int, line: bytes, now: int) -> None:
        """Keep a line."""
        del severity, now
        if len(self.waiting) >= MAX_WAITING:
            self.dropped += 1
            return
        self.waiting.append(line + b"\n")

    def flush(self) -> None:
        """Everything in one write, as far as it is taken."""
        data = self._begun + b"".join(self.waiting)
        taken = 0
        try:
            while taken < len(data):
                taken += self._write(data[taken:])
        except BlockingIOError:
            pass  # full: the rest waits
        except OSError:
            # Nobody reads any more, or the disk is full: what waited is lost.
            self.dropped += len(self.waiting)
            self.waiting.clear()
            self._begun = b""
            return
        self._keep_from(taken)

    def _keep_from(self, taken: int) -> None:
        """Forget the bytes that were taken; a line that was begun is finished first next time."""
        if taken < len(self._begun):
            self._begun = self._begun[taken:]
            return
        taken -= len(self._begun)
        self._begun = b""
        for index, line in enumerate(self.waiting):
            if taken < len(line):
                if taken:
                    self._begun = line[taken:]
                del self.waiting[: index + bool(taken)]
                return
            taken -= len(line)
        self.waiting.clear()


def _stream(fd: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """How to write to `fd` without ever blocking (BlockingIOError instead), and how to end that.

    The descriptor is shared with whoever started us, and O_NONBLOCK belongs to
    the open file, not to the descriptor: set here it would break the shell, `tee`
    or the process next to us.  So a pipe or a terminal is opened once more, for
    ourselves and non-blocking; a socket (systemd's journal) can be asked not to
    block in each call; a file never blocks, and must not be opened anew because
    then it would have a position of its own.
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(fd))
        return lambda data: sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL), sock.close
    if stat.S_ISREG(mode):
        return lambda data: os.write(fd, data), lambda: None
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # no /proc, or a terminal of another user
        return _polled(fd), lambda: None
    return lambda data: os.write(own, data), lambda: os.close(own)


def _polled(fd: int) -> Callable[[bytes], int]:
    """The second best: ask `poll`, and write no more than a writable pipe takes without blocking."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(fd, data[: select.PIPE_BUF])

    return write


def _open(log: Log, clock: Callable[[], float]) -> SyslogTarget | StreamTarget:
    level = LEVELS.index(log.level)
    if log.target in ("stdout", "stderr"):
        return StreamTarget(level, 1 if log.target == "stdout" else 2)
    facility = FACILITIES.index(log.facility)
    if log.target.startswith("/"):
        return SyslogTarget(level, facility, socket.AF_UNIX, log.target, clock)
    host, _, port = log.target.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise StartError(f"node.log: cannot resolve {host}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return SyslogTarget(level, facility, family, address, clock)


def _headers(facility: int, second: int) -> list[bytes]:
    """What a syslog line of this second begins with, by severity."""
    t = time.localtime(second)
    stamp = f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return [
        f"<{facility * 8 + severity}>{stamp} hapair[{os.getpid()}]: ".encode()
        for severity in range(len(LEVELS))
    ]


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]
