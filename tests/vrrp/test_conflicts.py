"""When another station's claim of a VIP is believed, and how often it is answered."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from hapair.vrrp.conflicts import FIRST_PAUSE, GRACE, LONGEST_PAUSE, SETTLE, Conflicts, Defence

VIP, SECOND = IPv4Address("192.0.2.100"), IPv4Address("192.0.2.101")
MAC, OTHER = "02:00:00:00:00:99", "02:00:00:00:00:98"


def defences(
    conflicts: Conflicts, claims: list[tuple[float, IPv4Address]], mac: str = MAC
) -> list[tuple[float, IPv4Address]]:
    """When which address is announced, as the router does it: as soon as it is due."""
    made = []
    for at, address in [*claims, (inf, None)]:
        while conflicts.due < at:
            now = conflicts.due
            made += [(now, defence.address) for defence in conflicts.take(now)]
        if address is not None:
            conflicts.heard(address, mac, at)
    return made


def test_a_claim_is_answered_when_nobody_took_over_by_it():
    conflicts = Conflicts()
    conflicts.heard(VIP, MAC, 10.0)
    assert conflicts.count == 0
    assert conflicts.take(10.0 + SETTLE - 0.01) == ()
    assert conflicts.due == 10.0 + SETTLE
    assert conflicts.take(10.0 + SETTLE) == (Defence(VIP, MAC, 1),)
    assert (conflicts.count, conflicts.mac, conflicts.due) == (1, MAC, inf)


def test_who_takes_over_is_no_conflict():
    conflicts = Conflicts()
    conflicts.heard(VIP, MAC, 10.0)
    conflicts.end()
    assert conflicts.due == inf
    assert conflicts.take(11.0) == ()
    assert conflicts.count == 0


def test_who_was_master_before_us_may_still_be_heard_for_a_moment():
    conflicts = Conflicts()
    conflicts.begin(10.0)
    conflicts.heard(VIP, MAC, 10.0 + GRACE - 0.01)
    assert conflicts.due == inf
    conflicts.heard(VIP, MAC, 10.0 + GRACE)
    assert conflicts.due == 10.0 + GRACE + SETTLE


def test_who_does_not_yield_is_answered_less_and_less_often():
    made = defences(Conflicts(), [(n / 10, VIP) for n in range(300)])
    gaps = [round(b - a, 6) for (a, _), (b, _) in pairwise(made)]
    assert made[0] == (SETTLE, VIP)
    assert gaps == [1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0]


def test_another_station_is_answered_as_quickly_as_the_first():
    """The peer used up the patience while a partition made both MASTER; a stranger must not profit by it."""
    conflicts = Conflicts()
    last, _ = defences(conflicts, [(100 + n / 2, VIP) for n in range(60)])[-1]
    conflicts.heard(VIP, MAC, last + 0.1)
    assert conflicts.due > last + 2 * FIRST_PAUSE
    assert defences(conflicts, [(last + 0.2, VIP)], OTHER) == [(last + FIRST_PAUSE, VIP)]


@given(st.lists(st.tuples(st.floats(0.01, 3), st.sampled_from([MAC, OTHER])), min_size=1, max_size=60))
def test_whoever_claims_no_second_has_two_defences(claims):
    conflicts, now, made = Conflicts(), 100.0, []
    for pause, mac in [*claims, (1000.0, "")]:
        now += pause
        while conflicts.due < now:
            made.append(conflicts.due)
            conflicts.take(conflicts.due)
        if mac:
            conflicts.heard(VIP, mac, now)
    assert made
    assert all(b - a > FIRST_PAUSE - 1e-6 for a, b in pairwise(made))


def test_silence_makes_it_begin_anew():
    conflicts = Conflicts()
    defences(conflicts, [(n / 10, VIP) for n in range(100)])
    later = 10.0 + LONGEST_PAUSE
    assert defences(conflicts, [(later, VIP), (later + 0.5, VIP)]) == [
        (later + SETTLE, VIP),
        (later + SETTLE + FIRST_PAUSE, VIP),
    ]


def test_each_address_is_defended_by_itself_and_the_last_claimant_is_named():
    conflicts = Conflicts()
    for _ in range(3):
        conflicts.heard(VIP, MAC, 0.0)
    conflicts.heard(VIP, OTHER, 0.05)
    conflicts.heard(SECOND, MAC, 0.1)
    assert conflicts.take(SETTLE) == (Defence(VIP, OTHER, 4),)
    assert conflicts.take(conflicts.due) == (Defence(SECOND, MAC, 1),)
    assert conflicts.count == 5


@given(st.lists(st.floats(0.0, 20.0), max_size=60))
def test_however_claims_come_no_second_has_two_defences_and_every_claim_is_answered(moments):
    conflicts = Conflicts()
    made = [at for at, _ in defences(conflicts, [(at, VIP) for at in sorted(moments)])]
    assert all(b - a > FIRST_PAUSE - 1e-9 for a, b in pairwise(made))
    assert conflicts.count == len(moments)
