"""A second instance with the same pid file does not start; a stale file of a dead one is no obstacle."""

from __future__ import annotations

import os

import pytest

from hapair.app.pidfile import pidfile
from hapair.errors import StartError


def test_it_holds_our_pid_and_goes_with_us(tmp_path):
    path = tmp_path / "hapair.pid"
    with pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_a_second_instance_is_refused(tmp_path):
    path = str(tmp_path / "hapair.pid")
    with pidfile(path), pytest.raises(StartError, match="held by a hapair that runs already"), pidfile(path):
        pass


def test_a_stale_file_is_taken_over(tmp_path):
    path = tmp_path / "hapair.pid"
    path.write_text("999999999\nleftover")
    with pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_symbolic_link_is_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("keep me")
    (tmp_path / "hapair.pid").symlink_to(target)
    with pytest.raises(StartError, match="cannot write"), pidfile(str(tmp_path / "hapair.pid")):
        pass
    assert target.read_text() == "keep me"


def test_no_pid_file_is_fine():
    with pidfile(None):
        pass
