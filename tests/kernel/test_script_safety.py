"""Which programs must not be run, and as whom the others are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hapair.errors import StartError
from hapair.kernel.script_safety import account, unsafe

US = os.geteuid()


@pytest.fixture
def program(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.mark.parametrize("mode", [0o757, 0o777])
def test_what_anybody_may_write_to_is_unsafe(program, mode):
    path = program("exit 0")
    Path(path).chmod(mode)
    assert unsafe(path, US) == f"anybody can write to {path}"


def test_a_directory_on_the_way_counts_unless_it_is_sticky(program, tmp_path):
    path = program("exit 0")
    assert unsafe(path, US) == ""
    tmp_path.chmod(0o777)
    assert unsafe(path, US) == f"anybody can write to {tmp_path}"
    tmp_path.chmod(0o1777)
    assert unsafe(path, US) == ""


def test_a_link_is_as_unsafe_as_the_directory_that_it_is_in(program, tmp_path):
    path = program("exit 0")
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "link").symlink_to(path)
    (tmp_path / "way").symlink_to(loose / "link")
    assert unsafe(str(tmp_path / "way"), US) == ""
    loose.chmod(0o777)
    assert unsafe(str(tmp_path / "way"), US) == f"anybody can write to {loose}"


def test_what_belongs_to_somebody_else_is_unsafe(program):
    path = program("exit 0")
    if US == 0:
        os.chown(path, 12345, 0)
        assert unsafe(path, 0) == f"{path} belongs to neither root nor the script's user"
        assert unsafe(path, 12345) in ("", unsafe(str(Path(path).parent), 12345))
    else:
        assert unsafe(path, US + 1) == f"{path} belongs to neither root nor the script's user"


def test_an_account_that_does_not_exist_is_told():
    with pytest.raises(StartError, match="there is no user 'no-such-user' here"):
        account("no-such-user", None)


def test_without_a_word_scripts_are_never_run_as_root():
    assert account(None, None).uid == US or US == 0
    assert account(None, None).uid != 0
