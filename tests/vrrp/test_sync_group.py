"""What a sync group tells its members, and that nothing is left to say when they go together."""

from __future__ import annotations

from ipaddress import IPv4Address

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from hapair.vrrp.election import Backup, Fault, Initialize, Master
from hapair.vrrp.events import Demoted, GroupChanged, Promoted
from hapair.vrrp.router import Router
from hapair.vrrp.sync_group import Member, decide, member_of
from hapair.vrrp.tracking import Verdict

MASTER = Member(master=True, ready=False, fit=True, held=False)
READY = Member(master=False, ready=True, fit=True, held=False)
BACKUP = Member(master=False, ready=False, fit=True, held=False)
FAULT = Member(master=False, ready=False, fit=False, held=False)
HELD = Member(master=False, ready=False, fit=True, held=True)
ROUTER = Router(priority=100, source=IPv4Address("192.0.2.1"))


def told(**members: Member) -> dict[str, object]:
    return dict(decide("g", members))


@pytest.mark.parametrize("together", [MASTER, BACKUP])
def test_who_goes_together_is_left_alone(together):
    assert told(a=together, b=together, c=together) == {}


def test_a_fault_is_everybodys():
    word = GroupChanged(held=True, why="sync group g: a is in FAULT")
    assert told(a=FAULT, b=MASTER, c=BACKUP) == {"b": word, "c": word}
    assert told(a=FAULT, b=HELD, c=HELD) == {}


def test_two_faults_hold_each_other():
    words = told(a=FAULT, b=FAULT)
    assert words == {
        "a": GroupChanged(held=True, why="sync group g: b is in FAULT"),
        "b": GroupChanged(held=True, why="sync group g: a is in FAULT"),
    }


def test_the_last_repair_releases_everybody():
    word = GroupChanged(held=False, why="sync group g: nobody else is in FAULT")
    assert told(a=BACKUP, b=HELD, c=HELD) == {"b": word, "c": word}


def test_all_become_master_when_the_last_is_ready():
    assert told(a=READY, b=BACKUP) == {}
    assert {name: type(event) for name, event in told(a=READY, b=READY).items()} == {
        "a": Promoted,
        "b": Promoted,
    }
    assert {name: type(event) for name, event in told(a=READY, b=MASTER).items()} == {"a": Promoted}


def test_one_that_left_master_takes_the_others_along():
    assert told(a=BACKUP, b=MASTER, c=READY) == {"b": Demoted("sync group g: a is not MASTER")}


@pytest.mark.parametrize(
    ("router", "state", "member"),
    [
        (ROUTER, Master(1.0, 1.0, 1.0, (), 1.0), MASTER),
        (ROUTER, Backup(1.0, 1.0), BACKUP),
        (ROUTER, Backup(1.0, 1.0, ready=True), READY),
        (ROUTER, Initialize(), BACKUP),
        (ROUTER, Fault(), FAULT),
        (ROUTER, Fault(link_up=True), BACKUP),
        (attrs.evolve(ROUTER, tracking=Verdict(fault=True)), Fault(link_up=True), FAULT),
        (attrs.evolve(ROUTER, held=True), Fault(link_up=True), HELD),
        (attrs.evolve(ROUTER, tracking=Verdict(fault=True)), Initialize(), FAULT),
    ],
)
def test_a_member_is_what_its_router_is(router, state, member):
    assert member_of(router, state) == member


MEMBERS = st.builds(Member, master=st.booleans(), ready=st.booleans(), fit=st.booleans(), held=st.booleans())


@given(st.dictionaries(st.sampled_from("abcd"), MEMBERS, min_size=1))
def test_nobody_is_promoted_beside_a_fault_or_somebody_who_waits(members):
    events = dict(decide("g", members))
    if any(isinstance(event, Promoted) for event in events.values()):
        assert all(member.fit and (member.ready or member.master) for member in members.values())
    if any(isinstance(event, Demoted) for event in events.values()):
        assert not all(member.ready or member.master for member in members.values())
