"""The event log's file, rotated under our hands."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from hapair.errors import StartError
from hapair.notify.event_file import EventFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.json"


@pytest.fixture
def file(path):
    made = EventFile(str(path), None)
    yield made
    made.close()


def test_lines_are_appended_to_a_file_that_not_everybody_may_read(file, path):
    file.write(b"a\n")
    file.write(b"b\n")
    assert path.read_bytes() == b"a\nb\n"
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0


def test_after_a_rotation_it_goes_on_in_a_fresh_file(file, path, tmp_path):
    file.write(b"a\n")
    path.rename(tmp_path / "events.json.1")
    file.write(b"b\n")
    file.reopen()
    file.write(b"c\n")
    assert (tmp_path / "events.json.1").read_bytes() == b"a\nb\n"
    assert path.read_bytes() == b"c\n"


def test_what_cannot_be_reopened_stays_open(file, path, tmp_path):
    path.rename(tmp_path / "old")
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        file.reopen()
    file.write(b"a\n")
    assert (tmp_path / "old").read_bytes() == b"a\n"


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=r"node\.event_log"):
        EventFile(str(path), None)


@pytest.mark.parametrize("place", ["no/events.json", "."])
def test_a_place_that_cannot_be_used_is_told(tmp_path, place):
    with pytest.raises(StartError, match=r"node\.event_log: cannot open"):
        EventFile(str(tmp_path / place), None)


@pytest.mark.netns
def test_it_can_be_reopened_after_a_chroot(path, tmp_path):
    """In a process of its own, since there is no way back."""
    (tmp_path / "jail").mkdir()
    script = f"""
import os
from hapair.notify.event_file import EventFile
if os.geteuid():
    from lab.namespaces import isolate
    isolate()
file = EventFile({str(path)!r}, None)
os.chroot({str(tmp_path / "jail")!r})
os.chdir("/")
file.reopen()
file.write(b"inside\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": "netns-lab"}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert path.read_bytes() == b"inside\n"
