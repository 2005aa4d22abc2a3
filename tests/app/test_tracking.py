"""A node attracts traffic when a check has passed since it could last be reached, not before."""

from __future__ import annotations

import attrs
import pytest

from hapair.app.tracking import Tracking
from hapair.config.model import Track
from hapair.health.service import ServerKey, Verdict
from hapair.kernel.links import Link

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

    def set_tracking(self, ok: bool, why: str) -> None:
        self.ok, self.why = ok, why


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


WEB = Instance("one", (Track("web"),))


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
    link.subscribe(lambda up: told.append((up, router.ok)), lambda _: None)
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
    tracking.follow(Instance("two", (Track("web"),)), elsewhere, there)
    settle(tracking, A, B)
    link.gone()
    link.seen(1, link.mac, up=True)
    assert (router.ok, elsewhere.ok) == (False, True)


def test_a_reload_that_brings_servers_makes_no_master_resign(tracking, link, router, health):
    tracking.follow(WEB, router, link)
    settle(tracking, A, B)
    health.servers = lambda: {A, B, OTHER, ServerKey("web", "new")}
    tracking.adopt({"one": attrs.evolve(WEB, track=(Track("api"),))})
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
