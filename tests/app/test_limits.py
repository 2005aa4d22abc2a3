"""Enough descriptors for maxconn, or no start."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from hapair.app.limits import SPARE, reserve_descriptors
from hapair.errors import StartError


@pytest.fixture
def limits(monkeypatch):
    now = {"is": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: now["is"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: now.update({"is": wanted}))
    return now


def test_the_soft_limit_is_raised_as_far_as_needed(limits):
    assert reserve_descriptors(1000) == 2000 + SPARE
    assert limits["is"] == (2000 + SPARE, 4096)


def test_enough_is_left_alone(limits):
    reserve_descriptors(100)
    assert limits["is"] == (1024, 4096)


def test_a_hard_limit_that_is_too_low_is_told_with_what_would_fit(limits):
    with pytest.raises(
        StartError, match=r"2000 clients need 4100 descriptors and the limit is 4096.* at most 1998"
    ):
        reserve_descriptors(2000)
    assert limits["is"] == (1024, 4096)


def test_the_kernels_table_of_files_has_its_size_from_the_start():
    """In a process of its own, because a table that has grown stays so."""
    program = (
        "from hapair.app.limits import widen_table; widen_table(1000); print(*open('/proc/self/status'))"
    )
    status = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    size = next(line.split()[1] for line in status.splitlines() if "FDSize:" in line)
    assert int(size) >= 1000
