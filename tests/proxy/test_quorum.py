"""A backend's quorum is gained and lost as keepalived's, and its sorry server serves meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxy.test_backend import Waiter

from hapair.config import model
from hapair.proxy.backend import Backend
from hapair.proxy.quorum import Quorum, live_weight


def states(quorum: Quorum, *weights: int) -> list[bool | None]:
    seen = []
    for weight in weights:
        quorum = quorum.weighed(weight)
        seen.append(quorum.met)
    return seen


def test_a_quorum_is_gained_with_all_that_is_needed_and_lost_without():
    assert states(Quorum(2), 3, 2, 1, 2) == [True, True, False, True]


def test_hysteresis_asks_for_more_and_tolerates_less():
    """As keepalived 2.2.7 logs it: `quorum 3`, `hysteresis 1`, servers of weight 1, 1 and 2."""
    assert states(Quorum(3, 1), 4, 3, 2, 0, 1, 2, 4, 2) == [True, True, True, False, False, False, True, True]


def test_what_was_not_gained_at_the_start_is_down():
    assert states(Quorum(2, 1), 2) == [False]


@given(st.integers(1, 6), st.data(), st.lists(st.integers(0, 8), max_size=40))
def test_it_agrees_with_a_plain_model(needed, data, weights):
    """Outside of the band the weight decides, inside nothing changes; nobody alive is never enough."""
    hysteresis = data.draw(st.integers(0, needed - 1))
    quorum, met = Quorum(needed, hysteresis), False
    for weight in weights:
        if weight >= needed + hysteresis:
            met = True
        if weight < needed - hysteresis or not weight:
            met = False
        quorum = quorum.weighed(weight)
        assert quorum.met is met


def test_it_says_how_it_came_about_in_keepalived_s_words():
    start = Quorum(3, 1)
    gained = start.weighed(4)
    assert gained.told(start, 4) == "Gained quorum 3+1=4 <= 4"
    assert gained.weighed(1).told(gained, 1) == "Lost quorum 3-1=2 > 1"
    assert start.weighed(0).told(start, 0) == "Starting with quorum down 3+1=4 > 0"


def backend(**options: object) -> Backend:
    servers = tuple(
        model.Server(name, number, "h", 1, cookie=name, maxconn=1) for number, name in enumerate("abz", 1)
    )
    config = model.Backend("be", servers, quorum=2, sorry_server="z", **options)
    return Backend(config, dict.fromkeys("abz"), [])


def placed(pool: Backend, wanted: str = "") -> str:
    """Who would serve the next request."""
    session = Waiter(0)
    server = pool.place(session, pool.by_name.get(wanted))
    if server is None:
        pool.leave_queue(session)
        return ""
    pool.release(server)
    return server.name


def test_a_sorry_server_does_not_serve_while_the_quorum_is_met():
    pool = backend()
    assert {placed(pool) for _ in range(6)} == {"a", "b"}
    assert placed(pool, "z") in {"a", "b"}
    assert pool.counts() == (2, 0)
    assert pool.usable_names() == {"a", "b"}
    assert live_weight(pool) == 2


def test_it_serves_alone_while_the_quorum_is_lost_also_who_has_a_cookie():
    pool = backend()
    pool.set_up(pool.by_name["a"], up=False, now=0.0)
    assert live_weight(pool) == 1
    pool.set_sorry(alone=True)
    assert {placed(pool, wanted) for wanted in ("", "a", "b", "z")} == {"z"}
    assert pool.usable_names() == frozenset()
    assert live_weight(pool) == 1
    pool.set_up(pool.by_name["a"], up=True, now=0.0)
    assert placed(pool) == "z"
    pool.set_sorry(alone=False)
    assert {placed(pool) for _ in range(6)} == {"a", "b"}


def test_who_waits_for_a_server_that_stands_aside_is_placed_anew():
    pool = backend()
    for name in ("a", "b"):
        assert pool.place(Waiter(1), pool.by_name[name]) is not None
    waiting = Waiter(2)
    assert pool.place(waiting, pool.by_name["b"]) is None
    assert waiting.waiting_in is not None
    pool.set_sorry(alone=True)
    assert pool.woken == [waiting]
    assert placed(pool) == "z"


@pytest.mark.parametrize("what", ["maint", "drain"])
def test_a_server_that_an_operator_takes_out_does_not_count(what):
    pool = backend()
    pool.set_administrative(pool.by_name["a"], what, now=0.0)
    assert live_weight(pool) == 1
