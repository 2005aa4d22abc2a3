"""What records of witnesses mean."""

from math import inf

from lab import verdicts
from lab.verdicts import Holding, Request


def success(end, via="192.0.2.11"):
    return Request(end - 0.001, end, backend="web1", via=via)


def failure(start, end):
    return Request(start, end, error="timeout")


A, B, BOTH, NONE = frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"}), frozenset()


def test_gap_is_from_the_last_success_before_the_fault_to_the_first_after():
    requests = [success(1.0), success(2.0), success(5.5), success(5.6)]
    assert verdicts.gap(requests, start=2.1, end=6.0) == 3.5


def test_gap_starts_where_service_ended_when_that_is_after_the_fault():
    requests = [success(2.0), success(2.2), success(2.5), success(5.0)]
    assert verdicts.gap(requests, start=2.1, end=6.0) == 2.5


def test_an_earlier_gap_is_another_faults():
    requests = [success(0.0), success(2.0), success(2.25), success(2.5)]
    assert verdicts.gap(requests, start=2.1, end=2.5) == 0.25


def test_requests_that_end_out_of_order_do_not_widen_the_gap():
    requests = [success(2.0), success(3.0), success(2.5), success(3.5)]
    assert verdicts.gap(requests, start=2.1, end=4.0) == 0.5


def test_service_that_never_came_back_is_an_endless_gap():
    assert verdicts.gap([success(1.0), failure(2.2, 2.7)], start=2.0, end=9.0) == inf
    assert verdicts.gap([], start=2.0, end=9.0) == inf


def asked(*times):
    return [failure(when, when + 0.5) for when in times]


def test_where_nobody_asked_nobody_was_kept_waiting():
    every_20_ms = [2.0 + n / 50 for n in range(1, 50)]
    assert verdicts.asked_gap([success(2.0), *asked(*every_20_ms), success(3.0)], 1.5, 3.5) == 1.0
    hole = [when for when in every_20_ms if not 2.2 < when < 2.8]
    found = verdicts.asked_gap([success(2.0), *asked(*hole), success(3.0)], 1.5, 3.5)
    assert 0.35 < found < 0.45


def test_service_that_never_came_back_is_an_endless_gap_whoever_asked():
    assert verdicts.asked_gap([success(1.0), *asked(2.0, 2.01)], start=1.5, end=9.0) == inf
    assert verdicts.asked_gap([], start=2.0, end=9.0) == inf


def test_failures_count_by_when_they_began():
    requests = [failure(0.9, 1.4), failure(1.0, 1.5), success(1.2), failure(2.0, 2.5)]
    assert len(verdicts.failures(requests, 1.0, 2.0)) == 1


def test_first_success_is_that_of_a_request_begun_after_the_fault():
    requests = [success(2.0005), success(3.0, via="old"), success(4.0, via="new")]
    assert verdicts.first_success(requests, 2.0) == 3.0
    assert verdicts.first_success(requests, 2.0, via="new") == 4.0
    assert verdicts.first_success(requests, 2.0, via="other") == inf


def test_two_holders_and_none_are_summed_within_the_window():
    holdings = [Holding(0, A), Holding(10, BOTH), Holding(11, B), Holding(12, NONE), Holding(14, BOTH)]
    assert verdicts.two_holders(holdings, 0, 20) == 7
    assert verdicts.two_holders(holdings, 10.5, 14.25) == 0.75
    assert verdicts.no_holder(holdings, 0, 13) == 1


def test_held_by_is_now_when_it_already_is():
    holdings = [Holding(0, A), Holding(10, BOTH), Holding(11, B)]
    assert verdicts.held_by(holdings, "a", 5) == 5
    assert verdicts.held_by(holdings, "b", 5) == 10
    assert verdicts.held_by(holdings, "b", 5, alone=True) == 11
    assert verdicts.held_by(holdings, "a", 11.5) == inf


def test_master_down_time_is_three_intervals_and_the_skew():
    assert verdicts.master_down_time(priority=100, advert_interval=1.0) == 3 + 156 / 256
