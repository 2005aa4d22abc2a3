"""Syslog over TCP as the daemon sees it: whole frames in sequence, and nothing that stalls us."""

from __future__ import annotations

import contextlib
import re
import socket
import struct

import pytest

from hapair.config.model import Log
from hapair.dataplane import syslog_tcp
from hapair.dataplane.access_log import LogSink
from hapair.errors import StartError

INFO = 6
FRAME = re.compile(rb"<150>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d hapair\[\d+\]: (.*)", re.DOTALL)


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Daemon:
    """A TCP syslog daemon that reads when it is told to, and believes the octet counts alone."""

    def __init__(self, family: int = socket.AF_INET, port: int = 0) -> None:
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", port))
        self.listener.listen()
        self.listener.settimeout(5)
        self.port = self.listener.getsockname()[1]
        self.client: socket.socket | None = None
        self.unread = b""

    def accept(self) -> None:
        self.client, _ = self.listener.accept()
        self.client.settimeout(5)
        self.unread = b""

    def texts(self, count: int) -> list[bytes]:
        """The next `count` messages, without their headers."""
        return [FRAME.fullmatch(self._message())[1] for _ in range(count)]

    def _message(self) -> bytes:
        while (found := re.match(rb"([1-9][0-9]*) ", self.unread)) is None:
            self.read()
        length = int(found[1])
        while len(self.unread) < found.end() + length:
            self.read()
        message = self.unread[found.end() : found.end() + length]
        self.unread = self.unread[found.end() + length :]
        return message

    def read(self) -> None:
        """Wait for some bytes."""
        data = self.client.recv(1 << 16)
        assert data, f"ended within a frame: {self.unread[:100]!r}"
        self.unread += data

    def hang_up(self) -> None:
        self.client.close()

    def reset(self) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()

    def stop(self) -> None:
        self.listener.close()
        if self.client is not None:
            self.client.close()


@pytest.fixture
def daemon():
    daemon = Daemon()
    yield daemon
    daemon.stop()


@pytest.fixture
def clock():
    return Clock()


@contextlib.contextmanager
def opened(port: int, clock: Clock, host: str = "127.0.0.1", **options):
    sink = LogSink([Log(f"tcp@{host}:{port}", "local2")], clock=clock, **options)
    try:
        yield sink
    finally:
        sink.close()


def say(sink: LogSink, *lines: bytes) -> None:
    for line in lines:
        sink.write(INFO, line)
    sink.flush()


def test_each_line_is_a_frame_that_says_its_length(daemon, clock):
    with opened(daemon.port, clock) as sink:
        daemon.accept()
        say(sink, b"one", b"", b"12 <150>forged", b"two\nlines")
        assert daemon.texts(4) == [b"one", b"", b"12 <150>forged", b"two#0Alines"]
        assert sink.dropped == 0


def test_over_ipv6(clock):
    daemon = Daemon(socket.AF_INET6)
    with opened(daemon.port, clock, "[::1]") as sink:
        daemon.accept()
        say(sink, b"six")
        assert daemon.texts(1) == [b"six"]
    daemon.stop()


def test_a_daemon_that_reads_nothing_costs_lines_but_no_time_and_tears_none(daemon, clock):
    lines = [b"%06d " % number + b"x" * 500 for number in range(40_000)]
    with opened(daemon.port, clock, max_waiting=100) as sink:
        daemon.accept()
        for number, line in enumerate(lines):
            sink.write(INFO, line)
            if number % 50 == 0:
                sink.flush()
        assert sink.dropped > 0, "20 MB did not fill the socket"
        kept = len(lines) - sink.dropped
        while sink._targets[0].waiting:
            daemon.read()
            sink.flush()
        got = daemon.texts(kept)
        assert got == sorted(set(got) & set(lines)), "each line once, in sequence"


@pytest.mark.parametrize("farewell", [Daemon.hang_up, Daemon.reset])
def test_a_daemon_that_ended_the_connection_gets_what_waited_on_the_next(daemon, clock, farewell):
    with opened(daemon.port, clock) as sink:
        daemon.accept()
        say(sink, b"one")
        assert daemon.texts(1) == [b"one"]
        farewell(daemon)
        say(sink, b"two")
        clock.now += syslog_tcp.RECONNECT
        say(sink, b"three")
        daemon.accept()
        sink.flush()
        assert daemon.texts(2) == [b"two", b"three"]
        assert sink.dropped == 0


def test_a_frame_torn_by_the_end_of_a_connection_is_sent_again_whole(daemon, clock):
    with opened(daemon.port, clock, max_waiting=20_000) as sink:
        daemon.accept()
        target = sink._targets[0]
        number = 0
        while not target._taken:
            assert number < 500_000, "no frame was ever torn"
            number += 1
            say(sink, b"%d " % number + b"x" * 1000)
        first = target.waiting[0].rpartition(b": ")[2]
        left = len(target.waiting)
        daemon.reset()
        sink.flush()
        clock.now += syslog_tcp.RECONNECT
        sink.flush()
        daemon.accept()
        sink.flush()
        got = daemon.texts(left)
        assert got[0] == first
        assert got[-1].startswith(b"%d " % number)


def test_nobody_there_is_tried_once_a_second_and_what_fits_waits(clock):
    daemon = Daemon()
    daemon.stop()
    with opened(daemon.port, clock, max_waiting=3) as sink:
        say(sink, b"1", b"2", b"3", b"4")
        assert sink.dropped == 1
        back = Daemon(port=daemon.port)
        back.listener.settimeout(0)
        sink.flush()
        with pytest.raises(BlockingIOError):
            back.accept()
        clock.now += syslog_tcp.RECONNECT
        sink.flush()
        back.listener.settimeout(5)
        back.accept()
        sink.flush()
        assert back.texts(3) == [b"1", b"2", b"3"]
    back.stop()


def test_what_never_left_is_counted_at_the_end(clock):
    daemon = Daemon()
    daemon.stop()
    sink = LogSink([Log(f"tcp@127.0.0.1:{daemon.port}")], clock=clock)
    say(sink, b"x")
    sink.close()
    assert sink.dropped == 1


def test_an_unknown_host_fails_at_start():
    with pytest.raises(StartError, match=r"no-such-host\.invalid"):
        LogSink([Log("tcp@no-such-host.invalid:601")])
