"""Nineteen sources ask for more than servers can do, and an honest one does not notice (bench/flood.py)."""

from __future__ import annotations

import pytest
from app.node import running
from ports import free_port

from lab import floods

pytestmark = pytest.mark.slow

NOTICED = 3 * floods.SERVICE / 1000
"""Seconds: three times what the server takes; without a defence it is the whole time in the queue."""


@pytest.fixture(scope="module")
def back():
    with floods.server() as port:
        yield port


@pytest.mark.parametrize("defence", floods.DEFENCES)
def test_a_defence_keeps_the_honest_one_s_answers_right_and_in_time(tmp_path, back, defence):
    file, front = tmp_path / "node.toml", free_port()
    file.write_text(floods.config(defence, front, back))
    with running(file):
        calm = floods.visit(front, 0.5)
        assert calm.errors == 0
        assert calm.at(50) < NOTICED
        with floods.flood(front):
            floods.visit(front, 1.2)  # the limits take hold
            hit = floods.visit(front, 1.2)
    if defence == "none":
        assert hit.at(50) > NOTICED, "this flood would not have been worth a defence"
    else:
        assert hit.errors == 0
        assert hit.at(90) < NOTICED
