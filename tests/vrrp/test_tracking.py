"""One verdict from many counts."""

from __future__ import annotations

import pytest

from hapair.config.model import Track
from hapair.vrrp.tracking import Verdict, judge

WEB, API = Track("web"), Track("api", least=2)


def test_nothing_tracked_is_well():
    assert judge((), {}) == Verdict(ok=True, why="")


def test_enough_servers_is_well():
    assert judge((WEB, API), {"web": {"a"}, "api": {"a", "b"}}) == Verdict(ok=True, why="")


def test_every_failing_track_is_named():
    verdict = judge((WEB, API), {"web": set(), "api": {"a"}})
    assert not verdict.ok
    assert (
        verdict.why == "backend web has 0 usable servers, needs 1; backend api has 1 usable servers, needs 2"
    )


def test_one_failing_track_is_enough():
    assert (
        judge((WEB, API), {"web": {"a", "b"}, "api": set()}).why
        == "backend api has 0 usable servers, needs 2"
    )


def test_a_doubted_server_is_waited_for_however_many_others_there_are():
    assert judge((WEB,), {"web": {"a", "b", "c"}}, {"web": {"c", "a", "gone"}, "api": {"a"}}) == Verdict(
        ok=False, why="backend web waits for a check of a, c"
    )


def test_a_doubt_about_a_server_that_is_not_used_is_none():
    assert judge((WEB,), {"web": {"a"}}, {"web": {"b"}}).ok


def test_a_backend_nobody_counts_is_a_bug_not_a_guess():
    with pytest.raises(KeyError):
        judge((WEB,), {})
