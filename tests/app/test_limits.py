"""Enough descriptors for maxconn, or no start."""

from __future__ import annotations

import resource

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
    reserve_descriptors(1000)
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
