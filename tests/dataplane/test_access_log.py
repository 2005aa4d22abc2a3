"""Log targets as the other end sees them: nothing blocks, nothing is forged, what is lost is counted."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import socket
import time
import tty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import Log, LogHeader
from hapair.dataplane import access_log
from hapair.dataplane.access_log import FACILITIES, LEVELS, LogSink
from hapair.dataplane.log_lines import Lines
from hapair.dataplane.syslog_header import Header
from hapair.errors import StartError

INFO = 6
HEADER = re.compile(rb"<(\d{1,3})>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d hapair\[\d+\]: (.*)", re.DOTALL)


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Daemon:
    """A syslog daemon on a unix socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)

    def stop(self) -> None:
        self.socket.close()

    def received(self) -> list[bytes]:
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(self.socket.recv(65536))
        return lines

    def texts(self) -> list[bytes]:
        return [HEADER.fullmatch(line)[2] for line in self.received()]


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path / "log")
    yield daemon
    daemon.stop()


@pytest.fixture
def clock():
    return Clock()


@contextlib.contextmanager
def opened(*logs: Log, **options):
    sink = LogSink(logs, **options)
    try:
        yield sink
    finally:
        sink.close()


@contextlib.contextmanager
def standard_output(fd: int):
    """Let descriptor 1 be `fd` for a while."""
    saved = os.dup(1)
    os.dup2(fd, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


# -- syslog ------------------------------------------------------------------------------------------


@pytest.fixture
def in_utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_a_line_has_haproxys_header_and_leaves_with_the_flush(daemon, clock):
    with opened(Log(str(daemon.path), "local2"), clock=clock) as sink:
        sink.write(INFO, b"hello")
        assert daemon.received() == []
        sink.flush()
        assert daemon.received() == [b"<150>Nov 14 22:13:20 hapair[%d]: hello" % os.getpid()]
        clock.now += 1.5
        sink.write(2, b"again")
        sink.flush()
        assert daemon.received() == [b"<146>Nov 14 22:13:21 hapair[%d]: again" % os.getpid()]


@pytest.mark.parametrize("facility", ["kern", "daemon", "local0", "local7"])
@pytest.mark.parametrize("severity", range(8))
def test_priority_is_facility_times_eight_plus_severity(daemon, facility, severity):
    with opened(Log(str(daemon.path), facility, "debug")) as sink:
        sink.write(severity, b"x")
        sink.flush()
    (line,) = daemon.received()
    assert int(HEADER.fullmatch(line)[1]) == FACILITIES.index(facility) * 8 + severity


def test_each_target_gets_what_is_severe_enough_for_it(tmp_path):
    daemons = [Daemon(tmp_path / level) for level in LEVELS]
    logs = [Log(str(daemon.path), level=level) for daemon, level in zip(daemons, LEVELS, strict=True)]
    with opened(*logs) as sink:
        for severity in range(8):
            sink.write(severity, b"%d" % severity)
        sink.flush()
    for number, daemon in enumerate(daemons):
        assert daemon.texts() == [b"%d" % severity for severity in range(number + 1)]
        daemon.stop()


@given(st.binary(max_size=60))
def test_no_control_character_gets_through_and_printable_text_unchanged(line):
    kept = Lines(7, 0, Header(LogHeader.RAW, 16, "hapair", None, time.time), access_log.MAX_LINE, 1)
    sink = LogSink([])
    sink._targets, sink._samples = [kept], [None]
    sink.write(INFO, line)
    (got,) = kept.waiting
    assert not any(byte < 32 or byte == 127 for byte in got)
    assert got == re.sub(rb"[\x00-\x1f\x7f]", lambda found: b"#%02X" % found[0][0], line)


def test_a_line_too_long_is_cut(daemon):
    with opened(Log(str(daemon.path))) as sink:
        sink.write(INFO, b"x" * 100_000)
        sink.flush()
    (line,) = daemon.received()
    assert len(line) == access_log.MAX_LINE
    assert set(HEADER.fullmatch(line)[2]) == set(b"x")


def test_a_full_socket_loses_nothing_until_the_buffer_is_full_too(daemon):
    with opened(Log(str(daemon.path)), max_waiting=2000) as sink:
        for number in range(1000):
            sink.write(INFO, b"%d" % number)
        sink.flush()  # the kernel takes some: net.unix.max_dgram_qlen
        for number in range(1000, 4000):
            sink.write(INFO, b"%d" % number)
        got = daemon.texts()
        while len(got) < 4000 - sink.dropped:
            sink.flush()
            more = daemon.texts()
            assert more, "nothing is left, and yet lines are missing"
            got += more
        assert 0 < sink.dropped < 2000 + 1
        assert got == [b"%d" % number for number in range(4000 - sink.dropped)]


def test_a_daemon_that_restarted_is_found_again_at_once(daemon, clock):
    with opened(Log(str(daemon.path)), clock=clock) as sink:
        sink.write(INFO, b"one")
        sink.flush()
        assert daemon.texts() == [b"one"]
        daemon.stop()
        daemon.start()
        sink.write(INFO, b"two")
        sink.flush()
        assert daemon.texts() == [b"two"]
        assert sink.dropped == 0


def test_a_daemon_that_is_gone_is_looked_for_once_a_second_and_gets_what_waited(daemon, clock):
    with opened(Log(str(daemon.path)), clock=clock) as sink:
        daemon.stop()
        daemon.path.unlink()
        sink.write(INFO, b"one")
        sink.flush()
        daemon.start()
        clock.now += 0.5
        sink.write(INFO, b"two")
        sink.flush()
        assert daemon.texts() == []
        clock.now += 0.5
        sink.flush()
        assert daemon.texts() == [b"one", b"two"]
        assert sink.dropped == 0


def test_a_daemon_that_comes_late_is_found(tmp_path, clock):
    with opened(Log(str(tmp_path / "log")), clock=clock) as sink:
        sink.write(INFO, b"early")
        sink.flush()
        daemon = Daemon(tmp_path / "log")
        clock.now += access_log.RECONNECT
        sink.flush()
        assert daemon.texts() == [b"early"]
        daemon.stop()


def test_what_still_waits_at_the_end_is_counted(tmp_path):
    sink = LogSink([Log(str(tmp_path / "nobody"))])
    sink.write(INFO, b"x")
    sink.close()
    assert sink.dropped == 1


def test_udp(clock):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        with opened(Log(f"127.0.0.1:{daemon.getsockname()[1]}", "local2")) as sink:
            for number in range(3):
                sink.write(INFO, b"%d" % number)
            sink.flush()
            assert [HEADER.fullmatch(daemon.recv(100))[2] for _ in range(3)] == [b"0", b"1", b"2"]
            assert sink.dropped == 0


def test_udp_over_ipv6():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("::1", 0))
        daemon.settimeout(5)
        with opened(Log(f"[::1]:{daemon.getsockname()[1]}")) as sink:
            sink.write(INFO, b"six")
            sink.flush()
            assert daemon.recv(100).endswith(b": six")


def test_udp_without_a_listener_counts_what_was_refused_and_recovers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        port = daemon.getsockname()[1]
    with opened(Log(f"127.0.0.1:{port}")) as sink:
        for number in range(10):
            sink.write(INFO, b"%d" % number)
        sink.flush()
        assert 1 <= sink.dropped <= 10
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
            daemon.bind(("127.0.0.1", port))
            daemon.settimeout(5)
            sink.write(INFO, b"back")
            sink.flush()
            assert daemon.recv(100).endswith(b": back")


def test_an_unknown_host_fails_at_start():
    with pytest.raises(StartError, match=r"no-such-host\.invalid"):
        LogSink([Log("no-such-host.invalid:514")])


# -- standard output ---------------------------------------------------------------------------------


def test_standard_output_gets_the_bare_line(tmp_path):
    file = tmp_path / "out"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with standard_output(fd), opened(Log("stdout")) as sink:
        sink.write(INFO, b"one\ntwo")
        sink.write(INFO, b"three")
        sink.flush()
    os.close(fd)
    assert file.read_bytes() == b"one#0Atwo\nthree\n"


def test_a_file_is_continued_where_its_other_writers_are(tmp_path):
    """`hapair run >log 2>&1`: one position for both, so nobody overwrites the other."""
    file = tmp_path / "out"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    with standard_output(fd), opened(Log("stdout")) as sink:
        os.write(fd, b"stderr\n")
        sink.write(INFO, b"stdout")
        sink.flush()
        os.write(fd, b"stderr\n")
    os.close(fd)
    assert file.read_bytes() == b"stderr\nstdout\nstderr\n"


@pytest.fixture(params=["pipe", "terminal", "stream socket", "pipe without /proc"])
def ends(request, monkeypatch):
    """(descriptor to read from, descriptor to write to) of what standard output can be."""
    if request.param == "stream socket":
        left, right = socket.socketpair()
        reader, writer = left.detach(), right.detach()
    elif request.param == "terminal":
        reader, writer = os.openpty()
        tty.setraw(writer)  # bytes as they are, without line ends of its own
    else:
        reader, writer = os.pipe()
    if request.param == "pipe without /proc":
        real = os.open

        def refuse(path, *arguments, **named):
            if str(path).startswith("/proc/self/fd"):
                raise PermissionError
            return real(path, *arguments, **named)

        monkeypatch.setattr(access_log.os, "open", refuse)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def read_until_quiet(fd: int) -> bytes:
    data = b""
    while select.select([fd], [], [], 0.01)[0]:
        data += os.read(fd, 1 << 16)
    return data


@pytest.mark.timeout(20)
def test_a_full_standard_output_neither_blocks_nor_tears_lines(ends):
    reader, writer = ends
    lines = [b"%05d " % number + b"x" * 200 for number in range(2000)]
    with standard_output(writer):
        sink = LogSink([Log("stdout")], max_waiting=800)
        for number, line in enumerate(lines):
            sink.write(INFO, line)
            if number % 100 == 0:
                sink.flush()
        assert sink.dropped > 0
        data = b""
        while not data.endswith(b"x\n") or sink._targets[0].waiting:
            data += read_until_quiet(reader)
            sink.flush()
        data += read_until_quiet(reader)
        dropped = sink.dropped
        assert os.get_blocking(1), "the descriptor that others share must stay as it was"
        sink.close()
        assert sink.dropped == dropped
    got = data.splitlines()
    assert len(got) == len(lines) - dropped
    assert got == [line for line in lines if line in set(got)]


def test_the_rest_of_a_torn_line_comes_without_another_line():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with standard_output(writer):
        sink = LogSink([Log("stdout")])
        sink.write(INFO, b"x" * 6000)
        sink.flush()
        data = os.read(reader, 8192)
        sink.flush()
        assert data + read_until_quiet(reader) == b"x" * 6000 + b"\n"
        sink.close()
    os.close(reader)
    os.close(writer)


def test_a_reader_that_went_away_costs_lines_and_nothing_else():
    reader, writer = os.pipe()
    os.close(reader)
    with standard_output(writer):
        sink = LogSink([Log("stdout")])
        for _ in range(3):
            sink.write(INFO, b"x")
            sink.flush()
        assert sink.dropped == 3
        sink.close()
    os.close(writer)


def test_nothing_stays_open(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    reader, writer = os.pipe()
    daemon = Daemon(tmp_path / "log")
    with standard_output(writer):
        LogSink([Log("stdout"), Log(str(daemon.path)), Log("127.0.0.1:9")]).close()
    daemon.stop()
    os.close(reader)
    os.close(writer)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- formats -----------------------------------------------------------------------------------------


def test_standard_output_and_files_have_headers_only_on_demand(tmp_path):
    bare, short = tmp_path / "bare", tmp_path / "short"
    with opened(Log(f"file:{bare}"), Log(f"file:{short}", format=LogHeader.SHORT)) as sink:
        sink.write(INFO, b"hello")
    assert bare.read_bytes() == b"hello\n"
    assert short.read_bytes() == b"<6>hello\n"


def test_what_is_more_severe_than_minlevel_is_sent_as_that(daemon):
    with opened(Log(str(daemon.path), "local0", minlevel="notice", format=LogHeader.SHORT)) as sink:
        for severity in (0, 5, 6):
            sink.write(severity, b"x")
        sink.flush()
    assert daemon.received() == [b"<5>x", b"<5>x", b"<6>x"]


def test_len_counts_the_header_too(daemon):
    with opened(Log(str(daemon.path), len=80)) as sink:
        sink.write(INFO, b"x" * 100)
        sink.flush()
    (line,) = daemon.received()
    assert len(line) == 80
    assert HEADER.fullmatch(line)


def test_structured_data_can_forge_no_line(daemon):
    with opened(Log(str(daemon.path), format=LogHeader.RFC5424)) as sink:
        sink.write(INFO, b"x", b'[a@1 b="\n"]')
        sink.flush()
    (line,) = daemon.received()
    assert line.endswith(b' - [a@1 b="#0A"] x')


def test_a_host_name_makes_rfc_3164_of_what_has_no_format(daemon):
    with opened(Log(str(daemon.path)), host="lb-a", tag="web") as sink:
        sink.write(INFO, b"x")
        sink.flush()
    (line,) = daemon.received()
    assert f" lb-a web[{os.getpid()}]: x".encode() in line
