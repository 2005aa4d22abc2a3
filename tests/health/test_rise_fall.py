"""A server is up when HAProxy would say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import InitState
from hapair.health.rise_fall import Health, after, interval


def texts(rise: int, fall: int, results: str) -> list[str]:
    """The state after each check; `+` passed, `-` failed."""
    health = Health.initial(rise, fall)
    seen = []
    for result in results:
        health = after(health, result == "+")
        seen.append(health.text)
    return seen


def test_a_server_starts_up_unchecked():
    assert Health.initial(2, 3).up


def test_the_first_failed_check_takes_it_down_at_once():
    assert texts(2, 3, "-") == ["0/2 DOWN"]


def test_a_good_first_check_gives_full_health():
    assert texts(2, 3, "+") == ["3/3 UP"]


def test_afterwards_it_takes_fall_failures_and_rise_successes():
    """As HAProxy 2.6 logs it."""
    assert texts(2, 3, "+---") == ["3/3 UP", "2/3 UP", "1/3 UP", "0/2 DOWN"]
    assert texts(2, 3, "+---++") == ["3/3 UP", "2/3 UP", "1/3 UP", "0/2 DOWN", "1/2 DOWN", "3/3 UP"]


def test_one_success_in_between_starts_the_count_again():
    assert texts(2, 3, "+--+--")[-1] == "1/3 UP"
    assert texts(2, 3, "-+-")[-1] == "0/2 DOWN"


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.booleans(), max_size=60))
def test_it_agrees_with_a_plain_model(rise, fall, results):
    """`fall` failures in a row take it down (one, if unproven); `rise` successes bring it back."""
    health = Health.initial(rise, fall)
    up, failures, successes, proven = True, 0, 0, False
    for ok in results:
        health = after(health, ok)
        if ok:
            failures, successes = 0, successes + 1
            if up or successes >= rise:
                up = proven = True
        else:
            failures, successes = failures + 1, 0
            if up and failures >= (fall if proven else 1):
                up = proven = False
        assert health.up == up


def test_a_server_goes_through_the_states_and_pauses_that_haproxy_logs():
    """HAProxy 2.6, `inter 1000 fastinter 200 downinter 500 rise 2 fall 3`: its log, its pauses."""
    observed = [
        ("+", "3/3 UP", 1.0),
        ("+", "3/3 UP", 1.0),
        ("-", "2/3 UP", 0.2),
        ("+", "3/3 UP", 1.0),
        ("-", "2/3 UP", 0.2),
        ("-", "1/3 UP", 0.2),
        ("-", "0/2 DOWN", 0.5),
        ("+", "1/2 DOWN", 0.2),
        ("+", "3/3 UP", 1.0),
    ]
    health = Health.initial(2, 3)
    for result, text, pause in observed:
        health = after(health, result == "+")
        assert (health.text, interval(health, 1.0, 0.2, 0.5)) == (text, pause)


@pytest.mark.parametrize(
    ("results", "expected"),
    [("", "fast"), ("+", "inter"), ("+-", "fast"), ("-", "down"), ("-+", "fast"), ("-++", "inter")],
)
def test_the_interval_is_fast_in_transitions_and_slow_while_down(results, expected):
    health = Health.initial(2, 3)
    for result in results:
        health = after(health, result == "+")
    assert {2.0: "inter", 0.5: "fast", 10.0: "down"}[interval(health, 2.0, 0.5, 10.0)] == expected


@pytest.mark.parametrize(
    ("state", "up", "failures", "successes"),
    [
        (InitState.FULLY_UP, True, 3, 0),
        (InitState.UP, True, 1, 0),
        (InitState.DOWN, False, 0, 1),
        (InitState.FULLY_DOWN, False, 0, 2),
    ],
)
def test_what_it_is_at_first_says_how_much_it_takes_to_change(state, up, failures, successes):
    health = Health.initial(2, 3, state)
    assert health.up is up
    needed = 0
    while health.up is up:
        health = after(health, not up)
        needed += 1
    assert needed == (failures or successes)


def test_a_retry_follows_a_failure_that_has_not_taken_it_down():
    health = after(after(Health.initial(2, 3), ok=True), ok=False)
    assert interval(health, 2.0, 0.5, 10.0, 0.1, ok=False) == 0.1
    assert interval(after(health, ok=True), 2.0, 0.5, 10.0, 0.1) == 2.0
    down = after(after(health, ok=False), ok=False)
    assert interval(down, 2.0, 0.5, 10.0, 0.1, ok=False) == 10.0
