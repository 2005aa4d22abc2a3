"""A log target that is a file: appended to, rotated under our hands, sampled, cut."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from hapair.config.fields import FieldError
from hapair.config.model import Log
from hapair.config.tables import sample
from hapair.dataplane.access_log import LogSink
from hapair.errors import StartError

INFO = 6


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def say(sink: LogSink, *lines: bytes) -> None:
    for line in lines:
        sink.write(INFO, line)
    sink.flush()


def test_lines_are_appended_to_a_file_that_not_everybody_may_read(path):
    path.write_bytes(b"before\n")
    path.chmod(0o640)
    sink = LogSink([Log(f"file:{path}")])
    say(sink, b"a", b"b")
    assert path.read_bytes() == b"before\na\nb\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    sink.close()


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_after_a_rotation_it_goes_on_in_a_fresh_file_within_a_second(path, tmp_path, how):
    clock = Clock()
    sink = LogSink([Log(f"file:{path}")], clock)
    say(sink, b"a")
    if how == "moved":
        path.rename(tmp_path / "access.log.1")
    else:
        path.unlink()
    say(sink, b"b")
    clock.now += 1.0
    say(sink, b"c")
    assert path.read_bytes() == b"c\n"
    if how == "moved":
        assert (tmp_path / "access.log.1").read_bytes() == b"a\nb\n"
    clock.now += 1.0
    say(sink, b"d")
    assert path.read_bytes() == b"c\nd\n"
    sink.close()


def test_it_is_found_by_name_in_its_directory_whatever_became_of_the_path(path, tmp_path):
    """As after a chroot: the directory is ours, its path is nobody's."""
    clock = Clock()
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = LogSink([Log(f"file:{folder / 'x'}")], clock)
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "x").unlink()
    clock.now += 1
    say(sink, b"a")
    assert (tmp_path / "elsewhere" / "x").read_bytes() == b"a\n"
    sink.close()


def test_while_it_cannot_be_opened_again_the_old_one_takes_the_lines(path, tmp_path):
    clock = Clock()
    sink = LogSink([Log(f"file:{path}")], clock)
    path.rename(tmp_path / "old")
    path.symlink_to("/dev/null")  # never followed
    clock.now += 1
    say(sink, b"a")
    assert (tmp_path / "old").read_bytes() == b"a\n"
    assert not sink.dropped
    sink.close()


def test_a_file_that_cannot_be_opened_is_said_at_the_start(tmp_path):
    with pytest.raises(StartError, match=r"node\.log: cannot open .*nowhere"):
        LogSink([Log(f"file:{tmp_path}/nowhere/x")])
    with pytest.raises(StartError, match=r"node\.log: cannot open .*directory"):
        LogSink([Log(f"file:{tmp_path}")])


def test_nothing_stays_open(path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    LogSink([Log(f"file:{path}")]).close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_sample_of_the_lines(path):
    sink = LogSink([Log(f"file:{path}", sample="1-2,4:5")])
    say(sink, *(b"%d" % number for number in range(1, 12)))
    assert path.read_bytes().split() == [b"1", b"2", b"4", b"6", b"7", b"9", b"11"]
    sink.close()


def test_lines_of_another_level_do_not_count_in_a_sample(path):
    sink = LogSink([Log(f"file:{path}", level="err", sample="1:2")])
    for severity in (3, 6, 6, 3, 3):
        sink.write(severity, b"%d" % severity)
    sink.flush()
    assert path.read_bytes().split() == [b"3", b"3"]
    sink.close()


def test_each_target_has_its_own_length(path, tmp_path):
    other = tmp_path / "other"
    sink = LogSink([Log(f"file:{path}", len=80), Log(f"file:{other}")])
    say(sink, b"x" * 100)
    assert path.read_bytes() == b"x" * 80 + b"\n"
    assert other.read_bytes() == b"x" * 100 + b"\n"
    sink.close()


@pytest.mark.parametrize("text", ["1", "1:", "0:2", "3:2", "2-1:3", "1,1:3", "1-3,2:4", "1-2-3:4", "a:b", 5])
def test_a_sample_that_means_nothing(text):
    with pytest.raises(FieldError):
        sample(text)
