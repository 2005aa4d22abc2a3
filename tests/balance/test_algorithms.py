"""What each algorithm promises beyond the orders that were recorded."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.balance.draws import Draws
from hapair.balance.first import First
from hapair.balance.leastconn import LeastConn
from hapair.balance.ring import Ring
from hapair.balance.server_map import ServerMap
from hapair.hashes import avalanche

WEIGHTS = st.lists(st.integers(0, 30), min_size=1, max_size=6)
KEYS = st.integers(0, 2**32 - 1)


@given(WEIGHTS)
def test_a_map_has_a_place_for_each_unit_of_weight(weights):
    picker = ServerMap(weights, 1, hashes=True)
    served = [0] * len(weights)
    for key in range(sum(weights)):
        served[picker.pick(key=key)] += 1
    assert served == weights


def test_a_map_that_hashes_has_no_regard_for_who_is_full_or_to_be_avoided():
    picker = ServerMap([1, 1], 1, hashes=True)
    assert picker.pick(0, lambda _: True, key=0) == 0


def test_least_connections_counts_by_weight_and_takes_equals_in_turn():
    picker = LeastConn([2, 1, 1])
    served = [0, 0, 0]
    for _ in range(8):
        index = picker.pick()
        served[index] += 1
        picker.set_load(index, served[index], 0)
    assert served == [4, 2, 2]


def test_what_waits_at_a_server_is_load_too():
    picker = LeastConn([1, 1])
    picker.set_load(0, 1, 3)
    picker.set_load(1, 2, 0)
    assert picker.pick() == 1
    picker.set_load(0, 1, 0)
    assert picker.pick() == 0


@given(WEIGHTS, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), max_size=30))
def test_least_connections_never_picks_who_carries_more_for_its_weight(weights, changes):
    picker = LeastConn(weights)
    loads = [0] * len(weights)
    for index, load, weight in changes:
        if index < len(weights):
            loads[index], weights[index] = load, weight
            picker.set_load(index, load, 0)
            picker.set_weight(index, weight)
    picked = picker.pick()
    usable = [i for i, weight in enumerate(weights) if weight]
    if not usable:
        assert picked == -1
        return

    def key(i: int) -> int:
        return (loads[i] + 1) * 4096 // (weights[i] * 16) if loads[i] else 0

    assert key(picked) == min(map(key, usable))


def test_first_fills_the_lowest_id_and_goes_on_to_the_next():
    picker = First([30, 10, 20], [1, 1, 1])
    assert [picker.pick(full=full.__contains__) for full in (set(), {1}, {1, 2}, {0, 1, 2})] == [1, 2, 0, -1]
    assert picker.pick(avoid=1) == 2


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), KEYS, st.data())
def test_who_leaves_a_ring_moves_only_its_own_keys(weights, key, data):
    ids = data.draw(st.lists(st.integers(1, 9999), min_size=len(weights), max_size=len(weights), unique=True))
    ring = Ring(ids, weights)
    before = ring.pick(key=key)
    gone = data.draw(st.integers(0, len(weights) - 1))
    ring.set_weight(gone, 0)
    if gone == before:
        assert ring.pick(key=key) not in (gone, -1)
    else:
        assert ring.pick(key=key) == before
    ring.set_weight(gone, weights[gone])
    assert ring.pick(key=key) == before


def test_the_order_of_servers_in_the_file_has_no_say_on_a_ring():
    one, other = Ring([1, 2, 3], [1, 2, 3]), Ring([3, 1, 2], [3, 1, 2])
    for number in range(500):
        key = avalanche(number)
        assert (1, 2, 3)[one.pick(key=key)] == (3, 1, 2)[other.pick(key=key)]


@pytest.mark.parametrize("factor", [101, 125, 200])
def test_no_server_of_a_bounded_ring_has_more_than_its_share_rounded_up(factor):
    ring = Ring([1, 2, 3, 4], [1, 1, 2, 4], factor)
    served = [0] * 4
    for total in range(1, 400):
        index = ring.pick(key=42)  # everybody wants the same
        served[index] += 1
        ring.set_load(index, served[index], 0)
        share = total * factor / 100 * (1, 1, 2, 4)[index] / 8
        assert served[index] <= share + 2


def test_of_two_that_are_drawn_the_less_loaded_is_taken():
    chance = random.Random(1)
    picker = Draws([1, 2, 3], [1, 1, 1], 0, 2, chance.randrange)
    picker.set_load(0, 9, 0)
    picked = [picker.pick() for _ in range(300)]
    assert picked.count(0) < 300 / 9 * 2 < picked.count(1)
    assert {1, 2} <= set(picked)


def test_who_is_drawn_and_full_sends_the_request_to_the_queue():
    picker = Draws([1], [1], 0, 2, lambda below: below - 1)
    assert picker.pick(full=lambda _: True) == -1
    assert picker.pick() == 0
