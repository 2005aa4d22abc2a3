"""A node attracts traffic when a check has passed since it could last be reached, not before."""

from __future__ import annotations

import attrs
import pytest

from hapair.app.tracking import Tracking
from hapair.config.model import Track
from hapair.health.service import ServerKey, Verdict
from hapair.kernel.links import Link
from hapair.vrrp.tracking import WELL
from hapair.vrrp.tracking import Verdict as Judgement

A, B, OTHER = ServerKey("web", "a"), ServerKey("web", "b"), ServerKey("api", "a")
USABLE = {"web": frozenset({"a", "b"}), "api": frozenset({"a"})}


@attrs.frozen
class Outcome:
    ok: bool


def verdict(*, ok: bool, up: bool = True) -> Verdict:
    return Verdict(up, False, Outcome(ok), "", 0.0)  # type: ignore[arg-type]


@attrs.frozen
class Instance:
    name: str
    track: tuple[Track, ...]


class Health:
    """What Tracking uses of the health service."""

    def __init__(self) -> None:
        self.verdicts: dict[ServerKey, Verdict] = {}
        self.rechecked: list[set[ServerKey]] = []

    def servers(self):
        return {A, B, OTHER}

    def states(self):
        return self.verdicts

    def recheck(self, keys):
        self.rechecked.append(set(keys))


class Router:
    ok: bool
    why = ""
    told: Judgement

    def set_tracking(self, verdict: Judgement) -> None:
        self.ok, self.why, self.told = verdict == WELL, verdict.why, verdict


@pytest.fixture
def health():
    return Health()


@pytest.fixture
def tracking(health):
    tracking = Tracking(health)
    tracking.tell(USABLE)
    return tracking


@pytest.fixture
def link():
    link = Link("eth0")
    link.seen(1, b"\2" * 6, up=True)
    return link


@pytest.fixture
def router():
    return Router()


WEB = Instance("one", (Track("backend", "web"),))


def settle(tracking: Tracking, *keys: ServerKey) -> None:
    for key in keys:
        tracking.checked(key, verdict(ok=True))
    tracking.tell(USABLE)


def test_a_router_that_tracks_nothing_is_well_at_once(tracking, link, router, health):
    tracking.follow(Instance("one", ()), router, link)
    link.gone()
    link.seen(1, link.mac, up=True)
    assert router.ok
    assert health.rechecked == [set()]


def test_a_node_that_starts_waits_for_the_first_checks(tracking, link, router):
    tracking.follow(WEB, router, link)
    assert not router.ok
    assert router.why == "backend web waits for a check of a, b"
    assert not tracking.checked(OTHER, verdict(ok=True)), "nobody tracks it"
    assert tracking.checked(A, verdict(ok=True))
    assert not tracking.checked(A, verdict(ok=True)), "news once"
    tracking.tell(USABLE)
    assert router.why == "backend web waits for a check of b"
    settle(tracking, B)
    assert router.ok


def test_an_instance_that_comes_with_a_reload_believes_checks_that_passed(tracking, link, router, health):
    health.verdicts = {A: verdict(ok=True), B: verdict(ok=True)}
    tracking.follow(WEB, router, link)
    assert router.ok


def test_a_failed_check_of_a_server_still_up_settles_nothing(tracking, link, router):
    tracking.follow(WEB, router, link)
    assert not tracking.checked(A, verdict(ok=False))
    settle(tracking, B)
    assert router.why == "backend web waits for a check of a"


def test_a_server_that_went_down_is_no_doubt_but_a_fact(tracking, link, router):
    tracking.follow(WEB, router, link)
    settle(tracking, B)
    assert tracking.checked(A, verdict(ok=False, up=False))
    tracking.tell({**USABLE, "web": frozenset({"b"})})
    assert router.ok


def test_when_the_cable_is_back_everything_tracked_is_checked_again_first(tracking, link, router, health):
    told = []
    tracking.follow(WEB, router, link)
    link.subscribe(lambda up: told.append((up, router.ok)), lambda *_: None)
    settle(tracking, A, B)
    link.gone()
    link.seen(1, link.mac, up=True)
    assert told == [(False, True), (True, False)], "the doubt comes before the news that the link is up"
    assert health.rechecked == [{A, B}]
    settle(tracking, A, B)
    assert router.ok


def test_another_link_layer_address_is_no_return(tracking, link, router, health):
    tracking.follow(WEB, router, link)
    settle(tracking, A, B)
    link.seen(1, b"\4" * 6, up=True)
    assert router.ok
    assert health.rechecked == []


def test_a_pulled_cable_puts_no_other_instance_in_doubt(tracking, link, router):
    elsewhere, there = Router(), Link("eth1")
    tracking.follow(WEB, router, link)
    tracking.follow(Instance("two", (Track("backend", "web"),)), elsewhere, there)
    settle(tracking, A, B)
    link.gone()
    link.seen(1, link.mac, up=True)
    assert (router.ok, elsewhere.ok) == (False, True)


def test_a_reload_that_brings_servers_makes_no_master_resign(tracking, link, router, health):
    tracking.follow(WEB, router, link)
    settle(tracking, A, B)
    health.servers = lambda: {A, B, OTHER, ServerKey("web", "new")}
    tracking.adopt({"one": attrs.evolve(WEB, track=(Track("backend", "api"),))})
    tracking.tell({"api": USABLE["api"]})
    assert router.ok, "and the backend that it tracked before may be gone"


def test_who_leaves_with_a_reload_is_not_told_of_backends_that_leave_too(tracking, link, router, health):
    end = tracking.follow(WEB, router, link)
    router.why = "before"
    tracking.adopt({})
    tracking.tell({})
    link.gone()
    link.seen(1, link.mac, up=True)
    end()
    assert router.why == "before"
    assert health.rechecked == []


CHECKED = Instance("one", (Track("script", "chk", weight=-20), Track("interface", "eth1", weight=0)))


@attrs.frozen
class Heard:
    ok: bool
    why: str = ""
    value: int | None = None


def test_a_router_that_starts_waits_until_every_tracker_was_heard(tracking, link, router):
    tracking.tracked("interface", "eth1", Heard(ok=True))
    tracking.follow(CHECKED, router, link)
    assert router.told == Judgement(ailing=True, why="script chk was not heard of yet")
    tracking.tracked("script", "chk", Heard(ok=False, why="exited with 1"))
    assert router.told == Judgement(weight=-20, why="script chk exited with 1 (-20)")
    tracking.tracked("script", "chk", Heard(ok=True))
    assert router.ok


def test_a_tracker_that_fails_reaches_only_those_that_track_it(tracking, link, router):
    elsewhere = Router()
    tracking.follow(CHECKED, router, link)
    tracking.follow(Instance("two", (Track("script", "chk", weight=10),)), elsewhere, link)
    tracking.tracked("script", "chk", Heard(ok=True))
    tracking.tracked("interface", "eth1", Heard(ok=False, why="is down"))
    assert router.told == Judgement(fault=True, why="interface eth1 is down (FAULT)")
    assert elsewhere.told == Judgement(weight=10, why="script chk is well (+10)")


def test_a_file_says_how_much(tracking, link, router):
    tracking.follow(Instance("one", (Track("file", "f", weight=-2),)), router, link)
    tracking.tracked("file", "f", Heard(ok=True, value=9))
    assert router.told == Judgement(weight=-18, why="file f says 9 (-18)")


def test_a_tracker_that_comes_with_a_reload_is_taken_for_well_until_it_was_heard(tracking, link, router):
    tracking.follow(Instance("one", ()), router, link)
    tracking.adopt({"one": CHECKED})
    tracking.tell(USABLE)
    assert router.ok, "no MASTER resigns for a tracker that was never heard"
    tracking.tracked("script", "chk", Heard(ok=False))
    assert router.told.weight == -20


def test_what_was_heard_before_a_reload_that_took_the_tracker_away_is_forgotten(tracking, link, router):
    tracking.follow(CHECKED, router, link)
    tracking.tracked("script", "chk", Heard(ok=False))
    tracking.adopt({"one": Instance("one", ())})
    tracking.adopt({"one": CHECKED})
    tracking.tell(USABLE)
    assert router.ok
