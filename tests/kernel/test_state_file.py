"""The state file: whole or not at all, ours alone."""

from __future__ import annotations

import os

import pytest

from hapair.kernel.state_file import StateFile


@pytest.fixture
def file(tmp_path):
    found = StateFile(tmp_path / "state", {os.geteuid()})
    yield found
    found.close()


def test_there_is_none_at_first_and_then_what_was_written_last(file, tmp_path):
    assert file.read() is None
    for content in (b"one", b"another"):
        file.write(content)
        assert file.read() == content
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


def test_a_link_is_not_followed_to_read_and_replaced_to_write(file, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "state").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        file.read()
    file.write(b"new")
    assert victim.read_text() == "precious"
    assert file.read() == b"new"


def test_what_others_could_have_written_is_not_believed(file, tmp_path):
    file.write(b"x")
    (tmp_path / "state").chmod(0o620)
    with pytest.raises(PermissionError, match="others can write"):
        file.read()


def test_a_file_of_somebody_else_is_not_believed(file, tmp_path):
    file.write(b"x")
    other = StateFile(tmp_path / "state", {os.geteuid() + 1})
    with pytest.raises(PermissionError, match="somebody else"):
        other.read()
    other.close()


def test_a_directory_in_its_place_is_refused_and_leaves_nothing_behind(file, tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(PermissionError, match="no plain file"):
        file.read()
    with pytest.raises(IsADirectoryError):
        file.write(b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
