"""What a file, and a count of processes, mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.track.findings import Found, file_says, processes_say


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-5\n", -5), ("  +12 \n", 12), ("253", 253), ("-1000", -1000)]
)
def test_a_file_says_a_number(text, value):
    assert file_says(text) == Found(ok=value == 0, value=value)


def test_a_file_that_is_not_there_says_0():
    assert file_says(None) == Found(ok=True, value=0)


@pytest.mark.parametrize("text", ["", "x", "1 2", "1.5", "0x1", "9999999999", "١"])
def test_anything_else_is_no_number(text):
    assert file_says(text) is None


@given(st.text(max_size=20))
def test_no_text_fails(text):
    found = file_says(text)
    assert found is None or found.value == int(text)


def test_a_quorum_is_enough():
    assert processes_say(2, "nginx", 2) == Found(ok=True)
    assert processes_say(1, "nginx", 2) == Found(ok=False, why="has 1 running (nginx), needs 2")
