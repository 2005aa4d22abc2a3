"""RoundRobin against orders recorded from the real HAProxy, against the real one itself, and its laws."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import seeds
from balance import oracle
from balance.scenarios import KINDS, LETTERS, play
from hypothesis import given
from hypothesis import strategies as st

from hapair.balance.roundrobin import RoundRobin

weights = st.lists(st.integers(0, 256), min_size=1, max_size=8)


def order(balancer: RoundRobin, count: int) -> str:
    return "".join(LETTERS[balancer.pick()] for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([5, 1, 1], "aaabaac"), ([1, 2, 3], "cbcacb"), ([10, 30], "bbbabbba"), ([1, 1, 1], "abcabc")],
)
def test_the_orders_of_the_reference(weights, expected):
    assert order(RoundRobin(weights), len(expected)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_order_that_was_recorded_from_haproxy_is_met(kind):
    recorded = [s for s in json.loads(oracle.GOLDEN.read_text()) if s["kind"] == kind]
    assert len(recorded) == oracle.EACH
    for scenario in recorded:
        assert play(scenario) == scenario["order"], (scenario["weights"], scenario["steps"])


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_haproxy_and_we_agree_on_scenarios_never_seen_before(kind, tmp_path: Path):
    seed = seeds.draw()
    chance = random.Random(seed)
    for number in range(8):
        scenario = KINDS[kind](chance)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert play(scenario) == oracle.play(scenario, folder), (seed, scenario)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_a_turn_serves_each_server_in_proportion_to_its_weight_give_or_take_one(weights):
    balancer = RoundRobin(weights)
    served = [0] * len(weights)
    for _ in range(16 * sum(weights)):
        served[balancer.pick()] += 1
    assert all(abs(count - 16 * weight) <= 1 for count, weight in zip(served, weights, strict=True)), served


@given(weights)
def test_nobody_is_picked_without_any_weight_and_somebody_with(weights):
    index = RoundRobin(weights).pick()
    assert weights[index] > 0 if any(weights) else index == -1


@given(weights, st.data())
def test_full_servers_are_never_picked_and_the_avoided_one_only_when_alone(weights, data):
    balancer = RoundRobin(weights)
    indexes = st.integers(0, len(weights) - 1)
    for _ in range(data.draw(st.integers(1, 30))):
        full = data.draw(st.sets(indexes))
        avoid = data.draw(st.none() | indexes)
        possible = {i for i, weight in enumerate(weights) if weight and i not in full}
        picked = balancer.pick(-1 if avoid is None else avoid, full.__contains__)
        if not possible:
            assert picked == -1
        elif possible == {avoid}:
            assert picked == avoid
        else:
            assert picked in possible - {avoid}


@given(weights, st.lists(st.tuples(st.integers(0, 7), st.integers(0, 256)), max_size=20))
def test_whatever_changed_before_every_server_with_weight_is_served_within_two_turns(weights, changes):
    balancer = RoundRobin(weights)
    for index, weight in changes:
        if index < len(weights):
            balancer.set_weight(index, weight)
            weights[index] = weight
            balancer.pick()
    if not any(weights):
        assert balancer.pick() == -1
        return
    longest = 2 * 16 * 256 * len(weights)
    missing = {index for index, weight in enumerate(weights) if weight}
    for _ in range(longest):
        if not missing:
            break
        missing.discard(balancer.pick())
    assert not missing


def test_a_server_taken_out_is_not_served_until_it_has_weight_again():
    balancer = RoundRobin([1, 1])
    balancer.set_weight(0, 0)
    assert order(balancer, 4) == "bbbb"
    balancer.set_weight(0, 1)
    assert sorted(order(balancer, 4)) == list("aabb")


def test_what_a_heavier_server_owed_is_paid_off_one_by_one_as_haproxy_does():
    """Its weight fell from 10 to 1 while it was out: gaps longer than 6:1 says.  Recorded from HAProxy."""
    balancer = RoundRobin([10, 5])
    order(balancer, 20)
    for index, weight, count in ((1, 10, 3), (1, 1, 36), (0, 0, 8), (1, 6, 14)):
        balancer.set_weight(index, weight)
        order(balancer, count)
    balancer.set_weight(0, 1)
    assert order(balancer, 26) == "bbbbbbabbbbbbbabbbbbbbabbb"
