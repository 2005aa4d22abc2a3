"""What a third party says of who is master."""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from hapair.vrrp.onlooker import NOTHING, deadline, elapse, master_down_interval, observe
from hapair.vrrp.sighting import Sighting

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
GROUP = IPv4Address("224.0.0.18")


def advert(at, source, priority, vrid=51, interval=1.0):
    return Sighting(
        at=at,
        mac="",
        outgoing=False,
        source=source,
        destination=GROUP,
        ttl=255,
        version=3,
        vrid=vrid,
        priority=priority,
        interval=interval,
        addresses=(),
        authentication="",
        password=b"",
        checksum="pseudo",
        doubts=(),
    )


def told(*adverts, until=None):
    """The changes that a sequence makes, as (kind, text)."""
    view, said = NOTHING, []
    for each in adverts:
        view, changes = observe(view, each)
        said += changes
    if until is not None:
        view, changes = elapse(view, until)
        said += changes
    return [(change.what, change.text) for change in said]


def test_the_first_advert_names_the_master_and_the_next_says_nothing():
    assert told(advert(0, A, 150), advert(1, A, 150)) == [("master", "192.0.2.1 is master (priority 150)")]


def test_a_hand_back_is_one_change_even_when_adverts_cross():
    said = told(advert(0, A, 100), advert(0.5, B, 150), advert(0.51, A, 100), advert(1.5, B, 150), until=4.4)
    assert [kind for kind, _ in said] == ["master", "master"]
    assert said[1][1] == "192.0.2.2 is master (priority 150), before it was 192.0.2.1 (priority 100)"


def test_two_that_go_on_are_two_masters_until_one_falls_silent():
    duel = [advert(0, A, 100), advert(0.5, B, 150), advert(1, A, 100), advert(1.5, B, 150), advert(2, A, 100)]
    later = [advert(t + 0.5, B, 150) for t in range(2, 7)]
    said = told(*duel, *later)
    assert [kind for kind, _ in said] == ["master", "master", "two_masters", "one_master"]
    assert said[2][1] == "two masters: 192.0.2.1 (priority 100) and 192.0.2.2 (priority 150)"
    assert said[3][1] == "192.0.2.2 is the only master again"


def test_a_resignation_and_a_successor():
    said = told(advert(0, A, 150), advert(0.3, A, 0), advert(0.7, B, 100))
    assert said[1:] == [
        ("resigned", "192.0.2.1 resigns (priority 0)"),
        ("master", "192.0.2.2 is master (priority 100)"),
    ]


def test_a_resignation_ends_a_duel():
    said = told(advert(0, A, 100), advert(0.5, B, 150), advert(1, A, 100), advert(1.2, B, 0))
    assert said[-1] == ("one_master", "192.0.2.1 is the only master again")


def test_silence_is_told_after_the_master_down_interval_and_not_before():
    down = master_down_interval(150, 1.0)
    assert down == 3 + 106 / 256
    assert len(told(advert(0, A, 150), until=down - 0.001)) == 1
    assert told(advert(0, A, 150), until=down)[1:] == [
        ("silent", "nothing from 192.0.2.1 for 3.41 s: no master")
    ]


def test_a_changed_priority_is_told():
    said = told(advert(0, A, 150), advert(1, A, 100))
    assert said[1:] == [("priority", "the priority of 192.0.2.1 changes from 150 to 100")]


def test_routers_with_other_ids_do_not_disturb_each_other():
    said = told(advert(0, A, 150), advert(0, B, 100, vrid=52), advert(1, A, 150), advert(1, B, 100, vrid=52))
    assert [kind for kind, _ in said] == ["master", "master"]


_adverts = st.tuples(
    st.floats(0, 3), st.sampled_from((A, B)), st.sampled_from((0, 1, 100, 255)), st.sampled_from((51, 52))
)


@given(st.lists(_adverts, max_size=30))
def test_contested_means_two_speakers_and_silence_ends_everything(steps):
    view, now = NOTHING, 0.0
    for wait, source, priority, vrid in steps:
        now += wait
        view, _ = observe(view, advert(now, source, priority, vrid))
        for segment in view.values():
            assert not segment.contested or len(segment.speakers) == 2
            assert segment.master is None or segment.master in segment.speakers
    view, _ = elapse(view, now + 4)
    assert deadline(view) == inf
    assert all(segment.master is None for segment in view.values())
