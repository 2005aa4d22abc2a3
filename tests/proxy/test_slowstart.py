"""A server that comes back is spared at first: HAProxy's slowstart, by whole seconds and sixteenths."""

from __future__ import annotations

import pytest
from proxy.test_backend import Waiter

from hapair.config import model
from hapair.config.balancing import balance
from hapair.proxy.backend import Backend


def backend(algorithm: str = "roundrobin", **options: object) -> Backend:
    servers = tuple(
        model.Server(name, number, "h", 1, weight=16, slowstart=10.0, **options)
        for number, name in enumerate("ab", 1)
    )
    config = model.Backend("be", servers, balance=balance(algorithm))
    return Backend(config, {"a": None, "b": None}, [])


def share(pool: Backend) -> int:
    """Of 256 + 16 requests, those that the second server gets."""
    placed = [pool.place(Waiter(0), None) for _ in range(272)]
    for server in placed:
        pool.release(server)
    return sum(server.name == "b" for server in placed)


def test_a_server_has_all_its_weight_when_we_start():
    pool = backend()
    assert share(pool) == 136
    assert not pool.warming


@pytest.mark.parametrize(
    ("after", "warmth", "percent"), [(0, 1, 0), (1, 2, 10), (5, 9, 50), (9.9, 15, 90), (10, 16, 100)]
)
def test_weight_and_limit_grow_by_the_second(after, warmth, percent):
    pool = backend(maxconn=40)
    server = pool.servers[1]
    pool.set_up(server, False, 100.0)
    pool.set_up(server, True, 107.0)
    pool.warm_up(107.0 + after)
    assert (server.warmth, server.throttle) == (warmth, percent)
    assert server.limit() == max(1, 40 * percent // 100)
    assert pool.warming == (after < 10)


def test_it_gets_a_sixteenth_at_first_and_its_half_at_the_end():
    pool = backend()
    server = pool.servers[1]
    pool.set_up(server, False, 100.0)
    pool.set_up(server, True, 107.0)
    assert share(pool) == pytest.approx(16, abs=1)
    pool.warm_up(117.0)
    assert share(pool) == pytest.approx(136, abs=1)


def test_it_starts_anew_when_it_fails_again():
    pool = backend()
    server = pool.servers[1]
    for up, now in ((False, 0.0), (True, 1.0), (False, 5.0), (True, 50.0)):
        pool.set_up(server, up, now)
    assert server.warmth == 1
    pool.warm_up(52.0)
    assert server.warmth == 4


def test_who_comes_out_of_maintenance_is_spared_and_who_was_only_drained_is_not():
    pool = backend()
    server = pool.servers[1]
    pool.set_administrative(server, "drain", 0.0)
    pool.set_administrative(server, "ready", 1.0)
    assert server.warmth == 16
    pool.set_administrative(server, "maint", 2.0)
    pool.set_administrative(server, "ready", 3.0)
    assert server.warmth == 1


def test_a_static_algorithm_gives_the_whole_weight_at_once():
    pool = backend("static-rr")
    server = pool.servers[1]
    pool.set_up(server, False, 100.0)
    pool.set_up(server, True, 107.0)
    assert share(pool) == 136


def test_those_who_wait_get_the_slots_that_become_free_by_growing():
    pool = backend(maxconn=10)
    server = pool.servers[1]
    pool.set_up(server, False, 0.0)
    pool.set_up(server, True, 0.0)
    waiting = [Waiter(number) for number in range(30)]
    placed = [pool.place(one, None) for one in waiting]
    assert sum(one is not None for one in placed) == 10 + 1
    pool.warm_up(5.0)
    assert [one.granted for one in pool.woken] == [server] * 4
