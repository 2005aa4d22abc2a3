"""The notify FIFO against real readers that are late, slow, or gone."""

from __future__ import annotations

import os
import stat
import time

import pytest

from hapair.errors import StartError
from hapair.notify.fifo import NotifyFifo

LINE = b'INSTANCE "web" MASTER 150\n'


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "fifo")


@pytest.fixture
def fifo(path):
    made = NotifyFifo(path)
    yield made
    made.close()


def reader(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def test_it_is_made_for_its_owner_only(fifo, path):
    mode = os.lstat(path).st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_reader_that_comes_late_finds_the_lines(fifo, path):
    fifo.write(LINE)
    fd = reader(path)
    fifo.write(LINE)
    assert os.read(fd, 4096) == 2 * LINE
    os.close(fd)


def test_a_reader_may_go_and_come_back(fifo, path):
    os.close(reader(path))
    fifo.write(LINE)
    fd = reader(path)
    assert os.read(fd, 4096) == LINE
    os.close(fd)


def test_a_reader_that_does_not_read_costs_lines_and_no_time(fifo, path, caplog):
    begun = time.monotonic()
    for _ in range(5000):
        fifo.write(LINE)
    assert time.monotonic() - begun < 2
    assert fifo.lost > 0
    assert caplog.text.count("the notify FIFO is full") == 1
    fd = reader(path)
    data = b""
    while len(data) < (5000 - fifo.lost) * len(LINE):
        data += os.read(fd, 65536)
    assert data == (5000 - fifo.lost) * LINE  # whole lines only
    fifo.write(LINE)
    assert os.read(fd, 4096) == LINE
    os.close(fd)


def test_a_fifo_that_is_there_is_used_as_it_is(path):
    os.mkfifo(path, 0o640)
    made = NotifyFifo(path)
    made.close()
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o640


def test_a_file_is_refused(path):
    with open(path, "w"):  # noqa: PTH123
        pass
    with pytest.raises(StartError, match="is there and is not a FIFO"):
        NotifyFifo(path)


def test_a_link_is_refused(path, tmp_path):
    os.mkfifo(tmp_path / "other", 0o600)
    (tmp_path / "fifo").symlink_to(tmp_path / "other")
    with pytest.raises(StartError, match="cannot open"):
        NotifyFifo(path)


def test_a_fifo_that_anybody_may_write_to_is_refused(path):
    os.mkfifo(path)
    os.chmod(path, 0o666)  # noqa: PTH101
    with pytest.raises(StartError, match="anybody may write"):
        NotifyFifo(path)


def test_a_directory_that_is_missing_is_told(tmp_path):
    with pytest.raises(StartError, match="No such file or directory"):
        NotifyFifo(str(tmp_path / "no" / "fifo"))
