"""One verdict from many findings: keepalived's arithmetic, and yielding."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hapair.config.model import Track
from hapair.vrrp.tracking import WELL, Finding, Verdict, judge, servers

WEB, API = Track("backend", "web"), Track("backend", "api", least=2)


def script(weight: int | None, *, reverse: bool = False) -> Track:
    return Track("script", "chk", weight=weight, reverse=reverse)


def backends(usable, *tracks, doubted=None) -> Verdict:
    return judge(servers(track, usable, doubted or {}) for track in tracks)


def test_nothing_tracked_is_well():
    assert judge(()) == WELL == Verdict(fault=False, ailing=False, weight=0, why="")


def test_enough_servers_is_well():
    assert backends({"web": {"a"}, "api": {"a", "b"}}, WEB, API) == WELL


def test_every_failing_track_is_named():
    verdict = backends({"web": set(), "api": {"a"}}, WEB, API)
    assert verdict == Verdict(
        ailing=True,
        why="backend web has 0 usable servers, needs 1; backend api has 1 usable servers, needs 2",
    )


def test_one_failing_track_is_enough():
    verdict = backends({"web": {"a", "b"}, "api": set()}, WEB, API)
    assert verdict == Verdict(ailing=True, why="backend api has 0 usable servers, needs 2")


def test_a_doubted_server_is_waited_for_however_many_others_there_are():
    verdict = backends({"web": {"a", "b", "c"}}, WEB, doubted={"web": {"c", "a", "gone"}, "api": {"a"}})
    assert verdict == Verdict(ailing=True, why="backend web waits for a check of a, c")


def test_a_doubt_about_a_server_that_is_not_used_is_none():
    assert backends({"web": {"a"}}, WEB, doubted={"web": {"b"}}) == WELL


def test_a_frontend_is_well_while_every_backend_that_it_uses_is():
    main = Track("frontend", "main", backends=("web", "api"))
    assert backends({"web": {"a"}, "api": {"a"}}, main) == WELL
    failing = backends({"web": {"a"}, "api": set()}, main)
    assert failing.ailing
    assert failing.why == "frontend main needs backend api, which has 0 usable servers, needs 1"
    assert (
        "waits for a check of a" in backends({"web": {"a"}, "api": set()}, main, doubted={"web": {"a"}}).why
    )


def test_a_backend_nobody_counts_is_a_bug_not_a_guess():
    with pytest.raises(KeyError):
        servers(WEB, {})


@pytest.mark.parametrize(
    ("track", "ok", "verdict"),
    [
        # Seen with keepalived 2.2.7, base priority 100: -20 fails, 80; 10 reverse is well, 90;
        # -20 reverse fails, 120; 0 reverse is well, FAULT.
        (script(-20), True, WELL),
        (script(-20), False, Verdict(weight=-20, why="script chk fails (-20)")),
        (script(10), True, Verdict(weight=10, why="script chk is well (+10)")),
        (script(10), False, Verdict(why="script chk fails")),
        (script(10, reverse=True), True, Verdict(weight=-10, why="script chk is well (-10)")),
        (script(10, reverse=True), False, Verdict(why="script chk fails")),
        (script(-20, reverse=True), True, WELL),
        (script(-20, reverse=True), False, Verdict(weight=20, why="script chk fails (+20)")),
        (script(0), True, WELL),
        (script(0), False, Verdict(fault=True, why="script chk fails (FAULT)")),
        (script(0, reverse=True), True, Verdict(fault=True, why="script chk is well (FAULT)")),
        (script(0, reverse=True), False, Verdict(why="script chk fails")),
        (script(None), False, Verdict(ailing=True, why="script chk fails")),
        (script(None), True, WELL),
    ],
)
def test_a_weight_counts_as_in_keepalived(track, ok, verdict):
    assert judge([Finding(track, ok)]) == verdict


@pytest.mark.parametrize(
    ("weight", "value", "verdict"),
    [
        (1, 0, WELL),
        (1, 7, Verdict(weight=7, why="file f says 7 (+7)")),
        (-2, 7, Verdict(weight=-14, why="file f says 7 (-14)")),
        (-1, 253, Verdict(weight=-253, why="file f says 253 (-253)")),
        (-1, 254, Verdict(fault=True, why="file f says 254 (FAULT)")),
    ],
)
def test_a_file_multiplies_its_weight_and_less_than_minus_253_is_a_fault(weight, value, verdict):
    assert judge([Finding(Track("file", "f", weight=weight), ok=True, value=value)]) == verdict


def test_the_sum_names_its_parts():
    verdict = judge(
        [
            Finding(script(-20), ok=False, why="exited with 1"),
            Finding(Track("ping", "gw", weight=5), ok=True),
            Finding(Track("interface", "eth1", weight=0), ok=False, why="is down"),
        ]
    )
    assert verdict == Verdict(
        fault=True,
        weight=-15,
        why="script chk exited with 1 (-20); ping gw is well (+5); interface eth1 is down (FAULT)",
    )


@pytest.mark.parametrize("weight", [0, -20, 20, None])
def test_what_was_not_heard_of_yet_makes_the_router_yield_whatever_it_will_mean(weight):
    finding = Finding(script(weight), ok=False, why="was not heard of yet", pending=True)
    assert judge([finding]) == Verdict(ailing=True, why="script chk was not heard of yet")


@given(st.lists(st.tuples(st.integers(-253, 253), st.booleans(), st.booleans()), max_size=6))
def test_failing_never_makes_a_router_stronger_without_reverse_nor_weaker_with_it(written):
    for weight, _, reverse in written:
        well = judge([Finding(script(weight, reverse=reverse), ok=True)])
        fails = judge([Finding(script(weight, reverse=reverse), ok=False)])
        assert (well.weight - fails.weight) * (-1 if reverse else 1) == abs(weight)
        assert (well if reverse else fails).fault is (weight == 0)
    verdict = judge(Finding(script(weight, reverse=reverse), ok) for weight, ok, reverse in written)
    assert verdict.weight == sum(
        judge([Finding(script(weight, reverse=reverse), ok)]).weight for weight, ok, reverse in written
    )
