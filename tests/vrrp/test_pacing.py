"""Announcements that keep their distance."""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from hapair.vrrp.pacing import Pacing

V4 = tuple(IPv4Address(f"192.0.2.{n}") for n in range(1, 5))
V6 = tuple(IPv6Address(f"2001:db8::{n}") for n in range(1, 4))


def drained(pacing: Pacing, garp: float, gna: float) -> list[tuple[float, IPv4Address | IPv6Address]]:
    """When each announcement is made."""
    made = []
    while pacing.due < inf:
        now = pacing.due
        made += [(now, address) for address in pacing.take(now, garp, gna)]
    return made


def test_every_address_comes_once_before_the_first_comes_again():
    pacing = Pacing()
    pacing.order(V4, 2, 10.0)
    assert drained(pacing, 1.0, 0.0) == [(10.0 + n, (*V4, *V4)[n]) for n in range(8)]


def test_the_first_is_announced_at_once_and_the_family_without_an_interval_does_not_wait():
    pacing = Pacing()
    pacing.order((*V6, *V4), 1, 10.0)
    assert drained(pacing, 0.5, 0.0) == [
        *((10.0, address) for address in (*V6, V4[0])),
        *((10.5 + n / 2, address) for n, address in enumerate(V4[1:])),
    ]


def test_what_is_forgotten_is_not_announced():
    pacing = Pacing()
    pacing.order(V4, 5, 1.0)
    pacing.take(1.0, 0.1, 0.1)
    pacing.clear()
    assert pacing.due == inf
    assert pacing.take(9.0, 0.1, 0.1) == ()


@given(
    st.lists(st.tuples(st.integers(0, 24), st.integers(1, 5), st.sets(st.sampled_from(V4 + V6), min_size=1))),
    st.sampled_from([0.125, 0.5]),
)
def test_however_often_a_burst_is_ordered_what_waits_is_one_burst_and_keeps_its_distance(bursts, interval):
    pacing, made, now = Pacing(), [], 0.0
    for pause, count, addresses in bursts:
        now += pause / 8
        while pacing.due <= now:
            at = pacing.due
            made += [(at, address) for address in pacing.take(at, interval, interval)]
        pacing.order(tuple(addresses), count, now)
    rest = drained(pacing, interval, interval)
    assert max(Counter(address for _, address in rest).values(), default=0) <= 5
    times = [at for at, _ in made + rest]
    assert all(later - earlier >= interval for earlier, later in pairwise(times))
    if bursts:
        assert {address for _, address in made + rest} == set().union(*(burst[2] for burst in bursts))
