"""Causes in words: what an operator reads after a transition."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from hapair.vrrp.election import Backup, Fault, Initialize, Master
from hapair.vrrp.events import (
    AdvertReceived,
    DeadlinePassed,
    Evicted,
    LinkDown,
    LinkUp,
    Reconfigured,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import Router
from hapair.vrrp.status import Peer, RouterState, cause, state_of
from hapair.vrrp.tracking import WELL, Verdict

US, THEM = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
ROUTER = Router(priority=100, source=US)
NOW = 50.0


@pytest.mark.parametrize(
    ("event", "peer", "words"),
    [
        (Started(), None, "started"),
        (Started(link_up=False), None, "started with its link down"),
        (Stopped(), None, "stopped"),
        (LinkDown(), None, "link down"),
        (LinkUp(), None, "link up"),
        (Evicted("this process was frozen"), None, "this process was frozen"),
        (TrackingChanged(Verdict(fault=True, why="no server"), WELL), None, "no server"),
        (Reconfigured(addresses=False), None, "reconfigured"),
        (AdvertReceived(THEM, 200, 1.0), None, "192.0.2.2 advertises priority 200, ours is 100"),
        (
            AdvertReceived(THEM, 100, 1.0),
            None,
            "192.0.2.2 advertises priority 100, ours is 100, and 192.0.2.1 is the lower address",
        ),
        (DeadlinePassed(), None, "no other router was heard"),
        (DeadlinePassed(), Peer(THEM, 0, 1.0, 49.4), "192.0.2.2 resigned"),
        (DeadlinePassed(), Peer(THEM, 200, 1.0, 46.5), "nothing from 192.0.2.2 for 3.50 s"),
        (DeadlinePassed(), Peer(THEM, 50, 1.0, 46.5), "nothing from 192.0.2.2 for 3.50 s"),
        (DeadlinePassed(), Peer(THEM, 50, 1.0, 49.5), "192.0.2.2 has only priority 50, ours is 100"),
    ],
)
def test_a_transition_has_a_cause(event, peer, words):
    assert cause(ROUTER, Backup(1.0, NOW), event, peer, NOW) == words


def test_states_have_the_names_that_operators_know():
    assert [
        state_of(s) for s in (Initialize(), Fault(), Backup(1.0, 2.0), Master(1.0, 1.0, 1.0, (), 1.0))
    ] == [
        RouterState.INITIALIZE,
        RouterState.FAULT,
        RouterState.BACKUP,
        RouterState.MASTER,
    ]
