"""How many connections a second are let in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hapair.proxy.rate import Rate


def accepted(limit: int, moments: list[float]) -> list[float]:
    """Those of the moments at which one more is let in."""
    rate = Rate()
    taken = []
    for now in moments:
        if rate.wait(limit, now) == 0:
            rate.add(now)
            taken.append(now)
    return taken


def test_a_burst_is_let_in_up_to_the_limit_and_the_rest_as_it_ages() -> None:
    taken = accepted(10, [100 + i / 100 for i in range(300)])
    assert len([now for now in taken if now < 101]) == 10
    # The ten of the second before weigh less and less: room for one comes each tenth of a second.
    assert len([now for now in taken if 101 <= now < 102]) in (9, 10)
    assert 101 <= taken[10] <= 101.2


def test_a_pause_of_two_seconds_forgets_everything() -> None:
    rate = Rate()
    for _ in range(5):
        rate.add(100.9)
    assert rate.wait(5, 100.9) > 0
    assert rate.wait(5, 102.0) == 0


@given(
    st.integers(1, 50),
    st.lists(st.floats(100, 104), max_size=300).map(sorted),
)
def test_no_second_of_the_clock_sees_more_than_the_limit(limit: int, moments: list[float]) -> None:
    taken = accepted(limit, moments)
    for second in range(100, 105):
        assert len([now for now in taken if int(now) == second]) <= limit


@given(st.integers(1, 50), st.integers(0, 80), st.floats(100, 102))
def test_after_the_wait_there_is_room(limit: int, before: int, now: float) -> None:
    rate = Rate()
    for _ in range(before):
        rate.add(100.5)
    waited = 0
    while (wait := rate.wait(limit, now)) > 0:
        now += wait + 1e-6
        waited += 1
        assert waited <= 3


@given(st.lists(st.integers(0, 50_000), max_size=8), st.integers(0, 200_000))
def test_in_one_second_it_is_over_when_the_sum_is_more_than_the_limit(counts: list[int], limit: int) -> None:
    rate = Rate()
    for count in counts:
        rate.add(100.5, count)
    assert rate.over(limit, 100.5) == (sum(counts) > limit)


def test_what_was_in_the_second_before_counts_for_less_and_less() -> None:
    rate = Rate()
    rate.add(100.9, 30_000)
    assert rate.over(20_000, 101.3)
    assert not rate.over(20_000, 101.4)
