"""The least and the most that a router can advertise agree with what the election does."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

import hypothesis.strategies as st
from hypothesis import given

from hapair.config.arithmetic import reach
from hapair.config.model import Track, VrrpInstance
from hapair.vrrp.router import router_of
from hapair.vrrp.tracking import Finding, judge

TRACKS = st.lists(
    st.builds(
        Track,
        kind=st.just("script"),
        name=st.just("chk"),
        weight=st.integers(-253, 253).filter(bool),
        reverse=st.booleans(),
    ),
    max_size=5,
)


@given(st.integers(1, 255), TRACKS)
def test_the_reach_is_what_the_election_makes_of_it(priority, tracks):
    instance = VrrpInstance(
        "web", "eth0", 1, (IPv4Interface("192.0.2.9/24"),), priority=priority, track=tuple(tracks)
    )
    found = reach(instance)
    for ok, expected in ((True, found.well), (False, found.failing)):
        verdict = judge(Finding(track, ok) for track in tracks)
        assert router_of(instance, IPv4Address(1), tracking=verdict).effective_priority == expected
    assert not found.leaves


def test_a_fault_a_yield_or_a_file_leaves_whatever_the_weights_are():
    for track in (Track("script", "s", weight=0), Track("backend", "b"), Track("file", "f", weight=1)):
        instance = VrrpInstance("web", "eth0", 1, (IPv4Interface("192.0.2.9/24"),), track=(track,))
        assert reach(instance).leaves
