"""A server's check, resolved: what is probed, how often, and HAProxy's law of time-outs."""

from __future__ import annotations

import attrs

from hapair.config.model import Backend, Check, CheckKind, Server, Timeouts
from hapair.health.plan import checks, plan_for


def plan(check: Check | None, /, **timeouts: float):
    server = Server(name="s", id=1, host="192.0.2.1", port=80, check=check)
    return plan_for(Backend(name="b", servers=(server,), timeout=Timeouts(**timeouts)), server)


def test_a_server_without_check_has_no_plan():
    assert plan(None) is None


def test_with_timeout_check_the_answer_gets_that_much_more_after_the_connection():
    found = plan(Check(inter=2.0), connect=10.0, check=5.0)
    assert (found.connect_timeout, found.read_timeout) == (2.0, 5.0)
    found = plan(Check(inter=2.0), connect=1.0, check=5.0)
    assert (found.connect_timeout, found.read_timeout) == (1.0, 5.0)


def test_without_it_the_interval_bounds_both_together():
    found = plan(Check(inter=2.0), connect=10.0)
    assert (found.connect_timeout, found.read_timeout) == (2.0, None)


def test_intervals_that_are_not_given_are_the_normal_one():
    found = plan(Check(inter=3.0, downinter=9.0))
    assert (found.inter, found.fastinter, found.downinter) == (3.0, 3.0, 9.0)


def test_address_and_port_of_the_check_win_over_the_servers():
    found = plan(Check(kind=CheckKind.TCP, address="192.0.2.9", port=8081))
    assert (found.host, found.port) == ("192.0.2.9", 8081)


def test_how_often_is_asked_does_not_change_the_question():
    found = plan(Check(inter=3.0))
    assert found.same_question(plan(Check(inter=1.0, fastinter=0.5), check=9.0))
    for other in ({"port": 81}, {"host": "192.0.2.2"}, {"rise": 9}, {"fall": 9}, {"kind": CheckKind.ICMP}):
        assert not found.same_question(attrs.evolve(found, **other))


def test_a_server_that_tracks_another_has_its_very_plan():
    one = Server("one", 1, "192.0.2.1", 80, check=Check(shared=False))
    two = Server("two", 2, "192.0.2.2", 80, track="a/one")
    backends = {"a": Backend("a", (one,)), "b": Backend("b", (two,))}
    (first, second) = checks(backends)
    assert first == ("a", "one", plan_for(backends["a"], one))
    assert second == ("b", "two", first[2])


def test_servers_share_a_plan_unless_one_of_them_will_not():
    def of(name: str, *, shared: bool):
        server = Server(name, 1, "192.0.2.1", 80, check=Check(shared=shared))
        return plan_for(Backend("b", (server,)), server)

    assert of("one", shared=True) == of("two", shared=True)
    assert of("one", shared=False) != of("two", shared=False)
