"""Bugs are told, but not for every request of a client who found one."""

from __future__ import annotations

import pytest

from hapair.dataplane.bug_log import EVERY, BugLog


def test_one_traceback_in_ten_seconds_and_a_count_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    log = BugLog()
    for i in range(1000):
        log.tell(ValueError("found"), i / 1000)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    log.tell(ValueError("again"), EVERY)
    assert len(caplog.records) == 2
    assert "999 more" in caplog.records[1].getMessage()


def test_a_later_bug_alone_says_nothing_of_others(caplog: pytest.LogCaptureFixture) -> None:
    log = BugLog()
    log.tell(ValueError("one"), 0.0)
    log.tell(ValueError("two"), 5 * EVERY)
    assert [record.getMessage().endswith("is closed") for record in caplog.records] == [True, True]
