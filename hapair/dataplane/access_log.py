"""Where log lines go: syslog over UDP, TCP or a local datagram socket, a file, or standard output.

Law: nothing here blocks or raises once it is open.  Lines are formatted once,
kept until the next flush and sent in one go; what a target does not take now is
tried again at the next flush, and beyond `max_waiting` lines are lost and counted.
Traffic never notices.  Hot: `LogSink.write`.

A line begins as `syslog_header` says; in a file and on standard output bare unless a format is asked for.
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
from typing import TYPE_CHECKING, Final

from hapair.config.model import LogHeader
from hapair.dataplane.log_file import LogFile
from hapair.dataplane.log_lines import Lines
from hapair.dataplane.log_sample import Sample
from hapair.dataplane.syslog_header import FACILITIES, LEVELS, TAG, Header
from hapair.dataplane.syslog_tcp import TcpSyslogTarget
from hapair.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hapair.config.model import Log

    Write = Callable[[int, bytes, bytes], None]

MAX_WAITING: Final = 4096
"""Lines kept for a target that does not take them: some hundred milliseconds of traffic."""
MAX_LINE: Final = 8192
"""Bytes of a line; the rest is cut off."""
RECONNECT: Final = 1.0
"""Seconds between attempts to find a syslog socket that is gone."""

_FULL: Final = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
_WITHOUT_CONTROLS: Final = bytes(32 if b < 32 or b == 127 else b for b in range(256))
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")


class LogSink:
    """Every log target of the node."""

    def __init__(
        self,
        logs: Iterable[Log],
        clock: Callable[[], float] = time.time,
        max_waiting: int = MAX_WAITING,
        user: str | None = None,
        tag: str = TAG,
        host: str | None = None,
    ) -> None:
        """Open the targets; a syslog socket that is not there yet is looked for again later.

        A file becomes the property of `user`.  Headers call us `tag` and our host `host`, if that is told.

        Raises:
            StartError: a host name is unknown, or a file cannot be opened.
        """
        self._clock = clock
        chosen = list(logs)
        self._targets: list[Lines] = [
            _open(
                log,
                Header(_form(log, host), FACILITIES.index(log.facility), tag, host, clock),
                clock,
                max_waiting,
                user,
            )
            for log in chosen
        ]
        self._samples = [Sample(log.sample) if log.sample is not None else None for log in chosen]
        self._second = -1
        """The Unix time of the lines since the last flush; -1 before the first of them."""

    def tagged(self, tag: str) -> tuple[Write, Write]:
        """`write` and `write_clean` for lines whose headers call us `tag`."""

        def write(severity: int, line: bytes, structured: bytes) -> None:
            self.write(severity, line, structured, tag)

        def write_clean(severity: int, line: bytes, structured: bytes) -> None:
            self.write_clean(severity, line, structured, tag)

        return write, write_clean

    def write(self, severity: int, line: bytes, structured: bytes = b"", tag: str = "") -> None:
        """Take one line of a syslog severity (0..7); it is sent by the next `flush`.

        Control characters become `#XX`, so that nobody can forge a line of his own.
        `structured` is data for targets of RFC 5424; `tag` takes the place of the node's.
        """
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE]
        if line.translate(_WITHOUT_CONTROLS) != line:
            line = _CONTROL.sub(_escaped, line)
        if structured.translate(_WITHOUT_CONTROLS) != structured:
            structured = _CONTROL.sub(_escaped, structured)
        self.write_clean(severity, line, structured, tag)

    def write_clean(self, severity: int, line: bytes, structured: bytes = b"", tag: str = "") -> None:
        """The same for a line of which its author knows that there are none in it."""
        if len(line) > MAX_LINE:
            line = line[:MAX_LINE]
        now = self._second
        if now < 0:
            now = self._second = int(self._clock())
        targets = self._targets
        for place in range(len(targets)):
            target = targets[place]
            if severity <= target.level:
                sample = self._samples[place]
                if sample is None or sample.picks():
                    target.take(severity, line, now, structured, tag)

    def flush(self) -> None:
        """Send what was written since the last time, as far as it is taken."""
        self._second = -1
        for target in self._targets:
            if target.unsent:
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


class SyslogTarget(Lines):
    """A syslog daemon behind UDP or a local datagram socket."""

    def __init__(
        self,
        log: Log,
        header: Header,
        family: int,
        address: object,
        clock: Callable[[], float],
        max_waiting: int,
    ) -> None:
        level, least, longest = _bounds(log)
        super().__init__(level, least, header, longest, max_waiting)
        self._family = family
        self._address = address
        self._clock = clock
        self._retry_at = 0.0
        self._socket: socket.socket | None = None
        self._connect()

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


class StreamTarget(Lines):
    """Standard output or error, or a file."""

    def __init__(
        self,
        log: Log,
        header: Header,
        write: Callable[[bytes], int],
        close: Callable[[], None],
        max_waiting: int,
    ) -> None:
        level, least, longest = _bounds(log)
        super().__init__(level, least, header, longest, max_waiting)
        self._begun = b""
        """What is left of a line whose beginning was taken."""
        self._write = write
        self._close = close

    def close(self) -> None:
        """Give back what is ours."""
        self._close()

    @property
    def unsent(self) -> bool:
        """Or half of a line?"""
        return bool(self.waiting or self._begun)

    def framed(self, line: bytes) -> bytes:
        """A line has an end."""
        return line + b"\n"

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


def _form(log: Log, host: str | None) -> LogHeader:
    """What is asked for; else as HAProxy, but bare where no syslog daemon reads."""
    if log.format is not None:
        return log.format
    if log.target in ("stdout", "stderr") or log.target.startswith("file:"):
        return LogHeader.RAW
    return LogHeader.LOCAL if host is None else LogHeader.RFC3164


def _bounds(log: Log) -> tuple[int, int, int]:
    """The severities from the least severe to the most, and the longest line."""
    least = LEVELS.index(log.minlevel) if log.minlevel is not None else 0
    return LEVELS.index(log.level), least, log.len


def _open(log: Log, header: Header, clock: Callable[[], float], max_waiting: int, user: str | None) -> Lines:
    if log.target in ("stdout", "stderr"):
        write, close = _stream(1 if log.target == "stdout" else 2)
        return StreamTarget(log, header, write, close, max_waiting)
    if log.target.startswith("file:"):
        file = LogFile(log.target.removeprefix("file:"), user, clock)
        return StreamTarget(log, header, file.write, file.close, max_waiting)
    if log.target.startswith("/"):
        return SyslogTarget(log, header, socket.AF_UNIX, log.target, clock, max_waiting)
    if log.target.startswith("tcp@"):
        family, address = _found(log.target.removeprefix("tcp@"), socket.SOCK_STREAM)
        level, least, longest = _bounds(log)
        return TcpSyslogTarget(level, least, header, longest, max_waiting, family, address, clock)
    family, address = _found(log.target, socket.SOCK_DGRAM)
    return SyslogTarget(log, header, family, address, clock, max_waiting)


def _found(target: str, kind: socket.SocketKind) -> tuple[int, object]:
    """The family and the address of a `host:port`."""
    host, _, port = target.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=kind)
    except OSError as error:
        raise StartError(f"node.log: cannot resolve {host}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return family, address


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]
