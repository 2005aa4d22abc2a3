"""The election, event by event, as RFC 9568 section 6.4 reads."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface
from math import inf

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import InitialState, VrrpInstance
from hapair.vrrp.election import (
    REFRESH_INTERVAL,
    RELIEF_MARGIN,
    Backup,
    Fault,
    Initialize,
    Master,
    deadline,
    overslept,
    step,
)
from hapair.vrrp.events import (
    AddressLost,
    AddVips,
    AdvertReceived,
    Announce,
    CloseGate,
    DeadlinePassed,
    Demoted,
    DropVips,
    Evicted,
    GroupChanged,
    Leave,
    LinkDown,
    LinkUp,
    OpenGate,
    Promoted,
    Reconfigured,
    RefreshVips,
    Refused,
    SendAdvert,
    Started,
    Stopped,
    TrackingChanged,
)
from hapair.vrrp.router import AILING, Router, router_of, skew_time
from hapair.vrrp.tracking import WELL, Verdict

LOW, US, HIGH = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.5"), IPv4Address("192.0.2.9")
ROUTER = Router(priority=100, source=US)
DOWN = (CloseGate(), DropVips())
NOW = 1000.0
AILS = Verdict(ailing=True, why="no server")
FAILING = TrackingChanged(AILS, WELL)
RECOVERED = TrackingChanged(WELL, AILS)


def advert(priority: int, source: IPv4Address = HIGH, interval: float = 1.0) -> AdvertReceived:
    return AdvertReceived(source, priority, interval)


def master_down_interval(priority: int, interval: float) -> float:
    """RFC 9568 section 6.1."""
    return 3 * interval + skew_time(priority, interval)


def backup(router: Router = ROUTER, interval: float = 1.0) -> Backup:
    return Backup(interval, NOW + master_down_interval(router.effective_priority, interval))


def master(router: Router = ROUTER) -> Master:
    state, _ = step(router, backup(), DeadlinePassed(), NOW)
    assert isinstance(state, Master)
    return state


def ailing(router: Router = ROUTER) -> Router:
    return attrs.evolve(router, tracking=AILS)


def test_a_master_whom_the_kernel_refuses_something_is_in_fault_and_says_goodbye():
    refused = Refused("could not add 2001:db8::100/64 to eth0: Permission denied")
    assert step(ROUTER, master(), refused, NOW) == (Fault(), (*DOWN, SendAdvert(0)))
    for state in (Initialize(), Fault(), backup()):
        assert step(ROUTER, state, refused, NOW) == (state, ())


class TestTimers:
    def test_skew_is_less_for_a_better_candidate(self):
        assert skew_time(100, 1.0) == 156 / 256
        assert skew_time(255, 1.0) == 1 / 256
        assert skew_time(1, 1.0) == 255 / 256

    def test_master_down_is_three_intervals_and_our_skew(self):
        assert ROUTER.master_down_interval(0.1) == pytest.approx(0.3 + 0.1 * 156 / 256)

    def test_in_version_2_a_second_is_the_unit_of_the_skew_whatever_the_interval(self):
        """RFC 3768 section 6.1."""
        assert attrs.evolve(ROUTER, version=2).master_down_interval(5.0) == 15 + 156 / 256

    def test_only_backup_and_master_have_deadlines(self):
        assert deadline(Initialize()) == deadline(Fault()) == inf
        assert deadline(Backup(1.0, 7.0)) == 7.0
        assert deadline(Master(9.0, 8.0, 0.0, (7.0, 20.0), inf)) == 7.0


class TestInitialize:
    def test_starting_waits_one_master_down_interval_as_backup(self):
        assert step(ROUTER, Initialize(), Started(), NOW) == (backup(), ())

    def test_the_address_owner_starts_as_master(self):
        state, orders = step(attrs.evolve(ROUTER, priority=255), Initialize(), Started(), NOW)
        assert isinstance(state, Master)
        assert orders == (AddVips(), OpenGate(), Announce(5), SendAdvert(255))

    def test_an_ailing_address_owner_waits_like_everybody(self):
        owner = ailing(attrs.evolve(ROUTER, priority=255))
        assert step(owner, Initialize(), Started(), NOW) == (backup(owner), ())

    def test_starting_with_the_link_down_is_a_fault(self):
        assert step(ROUTER, Initialize(), Started(link_up=False), NOW) == (Fault(), ())

    @pytest.mark.parametrize("event", [DeadlinePassed(), advert(0), advert(200), LinkUp(), Evicted("")])
    def test_nothing_else_happens_before_the_start(self, event):
        assert step(ROUTER, Initialize(), event, NOW) == (Initialize(), ())


class TestBackup:
    def test_silence_makes_us_master(self):
        state, orders = step(ROUTER, backup(), DeadlinePassed(), NOW)
        assert state == Master(NOW + 1, NOW + REFRESH_INTERVAL, NOW, (NOW + 5,), NOW + 60)
        assert orders == (AddVips(), OpenGate(), Announce(5), SendAdvert(100))

    def test_a_goodbye_leaves_us_our_skew_time(self):
        state, orders = step(ROUTER, backup(interval=0.2), advert(0), NOW)
        assert (state, orders) == (Backup(0.2, NOW + 0.2 * 156 / 256), ())

    def test_without_skew_the_masters_goodbye_makes_us_master_at_once(self):
        """A pair: there is no better candidate to wait for."""
        router = attrs.evolve(ROUTER, skew=False)
        heard, _ = step(router, backup(), advert(200), NOW)
        state, orders = step(router, heard, advert(0), NOW + 1)
        assert (deadline(state), orders) == (NOW + 1, ())
        state, _ = step(router, state, DeadlinePassed(), NOW + 1)
        assert isinstance(state, Master)

    def test_without_skew_silence_costs_the_same(self):
        router = attrs.evolve(ROUTER, skew=False)
        heard, _ = step(router, backup(), advert(200), NOW)
        assert deadline(heard) == NOW + master_down_interval(100, 1.0)

    @pytest.mark.parametrize("router", [ROUTER, attrs.evolve(ROUTER, preempt=False)])
    def test_without_skew_the_goodbye_of_a_master_that_we_outrank_counts_as_well(self, router):
        router = attrs.evolve(router, skew=False)
        heard, _ = step(router, backup(), advert(50), NOW)
        state, _ = step(router, heard, advert(0), NOW + 0.5)
        assert deadline(state) == NOW + 0.5

    @pytest.mark.parametrize("skew", [True, False])
    def test_the_goodbye_of_somebody_who_is_not_the_master_means_nothing(self, skew):
        router = attrs.evolve(ROUTER, skew=skew)
        heard, _ = step(router, backup(), advert(200, HIGH), NOW)
        assert step(router, heard, advert(0, LOW), NOW) == (heard, ())

    def test_without_skew_the_first_that_is_heard_being_a_goodbye_costs_the_skew_time(self):
        """Who says so may never have been the master."""
        state, _ = step(attrs.evolve(ROUTER, skew=False), backup(), advert(0), NOW)
        assert deadline(state) == NOW + skew_time(100, 1.0)

    def test_without_skew_an_ailing_backup_leaves_an_ailing_master_the_time_to_come_back(self):
        router = ailing(attrs.evolve(ROUTER, skew=False))
        heard, _ = step(router, backup(), advert(200), NOW)
        state, _ = step(router, heard, advert(0), NOW)
        assert deadline(state) == NOW + skew_time(AILING, 1.0)

    def test_the_loser_of_a_pair_tells_the_winner_several_times_once_an_interval(self):
        """Its last advert may be lost: the winner would not announce itself, and clients not find it."""
        router = attrs.evolve(ROUTER, skew=False)
        state, _ = step(router, master(router), advert(200), NOW)
        said = []
        for n in range(1, 40):
            state, orders = step(router, state, advert(200), NOW + n / 4)
            said += [(n / 4, order) for order in orders]
        assert said == [(at, SendAdvert(0, again=True)) for at in (0.5, 1.0, 1.5, 2.0, 2.5)]

    def test_who_would_preempt_the_winner_has_nothing_to_tell_it(self):
        router = attrs.evolve(ROUTER, skew=False)
        state, _ = step(router, master(router), advert(200), NOW)
        assert step(router, state, advert(50), NOW + 1)[1] == ()

    def test_one_of_several_backups_says_it_once(self):
        """A third router would take the goodbyes for the master's."""
        state, _ = step(ROUTER, master(), advert(200), NOW)
        assert step(ROUTER, state, advert(200), NOW + 1)[1] == ()

    def test_a_loser_knows_who_the_master_is(self):
        """It may resign before its next advert."""
        router = attrs.evolve(ROUTER, skew=False)
        lost, _ = step(router, master(router), advert(200), NOW)
        state, _ = step(router, lost, advert(0), NOW + 0.1)
        assert deadline(state) == NOW + 0.1

    @pytest.mark.parametrize("priority", [100, 101, 255])
    def test_an_advert_of_no_lower_priority_restarts_the_timer(self, priority):
        state, orders = step(ROUTER, backup(), advert(priority, LOW), NOW + 2)
        assert (state, orders) == (Backup(1.0, NOW + 2 + master_down_interval(100, 1.0), master=LOW), ())

    def test_the_masters_interval_is_learnt(self):
        state, _ = step(ROUTER, backup(), advert(200, interval=0.1), NOW)
        assert state == Backup(0.1, NOW + master_down_interval(100, 0.1), master=HIGH)

    def test_a_lower_advert_is_ignored_when_we_preempt(self):
        state, orders = step(ROUTER, backup(), advert(50), NOW + 1)
        assert isinstance(state, Backup)
        assert (state.master_down_at, orders) == (backup().master_down_at, ())

    def test_a_lower_advert_is_accepted_when_we_do_not_preempt(self):
        router = attrs.evolve(ROUTER, preempt=False)
        state, _ = step(router, backup(), advert(50, interval=0.5), NOW + 1)
        assert state == Backup(0.5, NOW + 1 + master_down_interval(100, 0.5), master=HIGH)

    def test_an_ailing_master_is_preempted_even_without_preempt(self):
        """`preempt = false` is for masters that serve."""
        router = attrs.evolve(ROUTER, preempt=False, preempt_delay=60.0)
        expected = attrs.evolve(backup(), master=HIGH)
        assert step(router, backup(), advert(AILING), NOW + 1) == (expected, ())

    def test_an_ailing_backup_leaves_an_ailing_master_alone(self):
        state, _ = step(ailing(), backup(), advert(AILING), NOW + 1)
        assert state == Backup(1.0, NOW + 1 + master_down_interval(AILING, 1.0), master=HIGH)

    def test_preempt_delay_counts_from_the_first_lower_advert(self):
        router = attrs.evolve(ROUTER, preempt_delay=10.0)
        state, _ = step(router, backup(), advert(50), NOW + 1)
        down_at = NOW + 1 + master_down_interval(100, 1.0)
        assert state == Backup(1.0, down_at, preempt_at=NOW + 11, master=HIGH)
        state, _ = step(router, state, advert(50), NOW + 10)
        assert deadline(state) == NOW + 10 + master_down_interval(100, 1.0)
        late, _ = step(router, state, advert(50), NOW + 11)
        assert late == state

    def test_preempt_delay_starts_again_after_a_better_master(self):
        router = attrs.evolve(ROUTER, preempt_delay=10.0)
        state, _ = step(router, backup(), advert(50), NOW)
        state, _ = step(router, state, advert(200), NOW + 1)
        assert isinstance(state, Backup)
        assert state.preempt_at is None

    def test_preempt_delay_does_not_delay_the_takeover_from_a_dead_master(self):
        router = attrs.evolve(ROUTER, preempt_delay=1000.0)
        state, _ = step(router, backup(), advert(50), NOW)
        state, orders = step(router, state, DeadlinePassed(), deadline(state))
        assert isinstance(state, Master)
        assert orders[0] == AddVips()

    def test_failing_tracking_lengthens_the_wait_and_recovery_shortens_it(self):
        worse, orders = step(ailing(), backup(), FAILING, NOW)
        assert orders == ()
        assert deadline(worse) == pytest.approx(NOW + master_down_interval(AILING, 1.0))
        better, _ = step(ROUTER, worse, RECOVERED, NOW)
        assert deadline(better) == pytest.approx(deadline(backup()))

    def test_becoming_the_owner_ends_the_wait(self):
        owner = attrs.evolve(ROUTER, priority=255)
        state, orders = step(owner, backup(), Reconfigured(addresses=False), NOW)
        assert isinstance(state, Master)
        assert SendAdvert(255) in orders

    def test_losing_an_address_we_do_not_hold_means_nothing(self):
        assert step(ROUTER, backup(), AddressLost("192.0.2.100/24"), NOW) == (backup(), ())

    def test_stopping_says_nothing_but_orders_the_cleanup(self):
        """Its way out of MASTER may have been cut short."""
        assert step(ROUTER, backup(), Stopped(), NOW) == (Initialize(), DOWN)


class TestMaster:
    def test_adverts_go_out_every_interval(self):
        state, orders = step(ROUTER, master(), DeadlinePassed(), NOW + 1)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(100), RefreshVips())
        assert state.advert_at == NOW + 2

    def test_a_slightly_late_advert_does_not_move_the_beat(self):
        state, _ = step(ROUTER, master(), DeadlinePassed(), NOW + 1.1)
        assert isinstance(state, Master)
        assert state.advert_at == NOW + 2

    def test_missed_adverts_are_not_sent_in_a_burst(self):
        state, orders = step(ROUTER, master(), DeadlinePassed(), NOW + 2.5)
        assert isinstance(state, Master)
        assert orders.count(SendAdvert(100)) == 1
        assert state.advert_at == NOW + 3.5

    def test_lifetimes_are_renewed_between_slow_adverts(self):
        state, orders = step(ROUTER, master(), DeadlinePassed(), NOW + 0.5)
        assert isinstance(state, Master)
        assert orders == (RefreshVips(),)
        assert state.refresh_at == NOW + 1

    def test_the_burst_is_repeated_once_and_then_refreshed(self):
        state, orders = step(ROUTER, master(), DeadlinePassed(), NOW + 5)
        assert isinstance(state, Master)
        assert Announce(5) in orders
        assert (state.repeats_at, state.reannounce_at) == ((), NOW + 65)
        state, orders = step(ROUTER, state, DeadlinePassed(), NOW + 65)
        assert Announce(1) in orders

    def test_the_periodic_announcement_has_a_length_of_its_own(self):
        router = attrs.evolve(ROUTER, garp_delay=0.0, garp_refresh=7.0, garp_refresh_repeat=3)
        state = master(router)
        _, orders = step(
            router, attrs.evolve(state, advert_at=inf, refresh_at=inf), DeadlinePassed(), NOW + 7
        )
        assert orders == (Announce(3),)

    def test_announcing_again_can_be_turned_off(self):
        state = master(attrs.evolve(ROUTER, garp_delay=0.0, garp_refresh=0.0))
        assert (state.repeats_at, state.reannounce_at) == ((), inf)

    def test_a_higher_priority_makes_us_yield_in_the_same_step(self):
        """And say so once more: the winner announces itself again when it hears a lower advert."""
        state, orders = step(ROUTER, master(), advert(101, LOW, interval=0.3), NOW)
        assert (state, orders) == (attrs.evolve(backup(interval=0.3), master=LOW), (*DOWN, SendAdvert(100)))

    def test_equal_priority_yields_to_the_higher_address(self):
        assert step(ROUTER, master(), advert(100, HIGH), NOW) == (
            attrs.evolve(backup(), master=HIGH),
            (*DOWN, SendAdvert(100)),
        )

    def test_a_master_of_lower_priority_has_a_burst_and_a_repetition_of_its_own(self):
        router = attrs.evolve(ROUTER, garp_delay=0.0, garp_lower_prio_repeat=2, garp_lower_prio_delay=3.0)
        state, orders = step(router, master(router), advert(99, HIGH), NOW + 1)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(100), Announce(2))
        assert state.repeats_at == (NOW + 2, NOW + 4)
        _, orders = step(router, state, DeadlinePassed(), NOW + 4)
        assert Announce(2) in orders

    def test_equal_priority_from_a_lower_address_is_answered(self):
        state, orders = step(ROUTER, master(), advert(100, LOW), NOW + 0.2)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(100),)
        assert state.advert_at == NOW + 1.2

    @pytest.mark.parametrize("priority", [0, 50])
    def test_the_loser_of_a_healed_partition_is_answered_and_outannounced(self, priority):
        state, orders = step(ROUTER, master(), advert(priority), NOW + 30)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(100), Announce(5))
        assert NOW + 31 in state.repeats_at
        assert NOW + 35 in state.repeats_at

    def test_many_lower_adverts_cause_one_burst_each_interval(self):
        state = master()
        bursts = 0
        for n in range(1, 1000):
            state, orders = step(ROUTER, state, advert(50), NOW + n / 100)
            bursts += Announce(5) in orders
            assert isinstance(state, Master)
            assert len(state.repeats_at) <= 3
        assert bursts == 9

    def test_the_last_lower_advert_is_followed_by_a_burst(self):
        state, _ = step(ROUTER, master(), advert(50), NOW + 0.5)
        assert isinstance(state, Master)
        assert NOW + 1.5 in state.repeats_at

    def test_failing_tracking_resigns_so_that_a_healthy_peer_takes_over(self):
        state, orders = step(ailing(), master(), FAILING, NOW)
        assert orders == (*DOWN, SendAdvert(0))
        assert state == Backup(1.0, NOW + skew_time(AILING, 1.0))

    @pytest.mark.parametrize("preempt", [True, False])
    def test_a_healthy_peer_is_faster_than_the_ailing_one_comes_back(self, preempt):
        ours, _ = step(ailing(), master(), FAILING, NOW)
        peer = Router(priority=2, source=LOW, preempt=preempt)
        theirs, _ = step(peer, backup(peer), advert(0, US), NOW)
        assert deadline(theirs) < deadline(ours)

    def test_with_no_healthy_peer_we_serve_again_with_the_least_priority(self):
        state, _ = step(ailing(), master(), FAILING, NOW)
        state, orders = step(ailing(), state, DeadlinePassed(), deadline(state))
        assert isinstance(state, Master)
        assert SendAdvert(AILING) in orders

    def test_recovery_is_told_at_once(self):
        _, orders = step(ROUTER, master(), RECOVERED, NOW)
        assert orders == (SendAdvert(100),)

    def test_a_new_priority_is_told_at_once(self):
        state, orders = step(attrs.evolve(ROUTER, priority=90), master(), Reconfigured(addresses=False), NOW)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(90),)

    def test_new_addresses_are_added_and_announced_without_leaving_master(self):
        state, orders = step(ROUTER, master(), Reconfigured(addresses=True), NOW)
        assert isinstance(state, Master)
        assert orders == (AddVips(), SendAdvert(100), Announce(5))

    def test_an_address_that_somebody_removed_is_put_back_and_announced(self):
        state, orders = step(ROUTER, master(), AddressLost("192.0.2.100/24"), NOW)
        assert isinstance(state, Master)
        assert orders == (AddVips(), Announce(5))

    def test_a_new_mac_is_announced(self):
        _, orders = step(ROUTER, master(), LinkUp(), NOW)
        assert orders == (Announce(5),)

    def test_an_evicted_master_stands_for_election_again(self):
        assert step(ROUTER, master(), Evicted("frozen"), NOW) == (backup(), DOWN)

    def test_link_down_is_a_fault_and_nothing_is_sent(self):
        assert step(ROUTER, master(), LinkDown(), NOW) == (Fault(), DOWN)

    def test_stopping_drops_the_vips_before_the_goodbye(self):
        assert step(ROUTER, master(), Stopped(), NOW) == (Initialize(), (*DOWN, SendAdvert(0)))


class TestFault:
    @pytest.mark.parametrize(
        "event",
        [DeadlinePassed(), advert(0), advert(50), LinkDown(), RECOVERED, Evicted("")],
    )
    def test_nothing_but_the_link_ends_a_fault(self, event):
        assert step(ROUTER, Fault(), event, NOW) == (Fault(), ())

    def test_link_up_starts_over(self):
        assert step(ROUTER, Fault(), LinkUp(), NOW) == (backup(), ())


class TestOversleeping:
    def test_a_master_silent_for_longer_than_a_twin_would_wait_has_overslept(self):
        moment = NOW + master_down_interval(100, 1.0)
        assert not overslept(ROUTER, master(), moment)
        assert overslept(ROUTER, master(), moment + 0.001)

    def test_only_a_master_oversleeps(self):
        assert not overslept(ROUTER, backup(), NOW + 1e6)
        assert not overslept(ROUTER, Fault(), NOW + 1e6)


def test_a_router_is_made_from_its_instance():
    instance = VrrpInstance(
        name="web",
        interface="eth0",
        virtual_router_id=51,
        addresses=(IPv4Interface("192.0.2.100/24"),),
        priority=150,
        advert_interval=0.1,
        state=InitialState.BACKUP,
        startup_delay=7.0,
        down_timer_adverts=5,
        preempt=False,
        preempt_delay=3.0,
        garp_count=2,
        garp_delay=1.0,
        garp_refresh=0.0,
        garp_refresh_repeat=3,
    )
    assert router_of(instance, US, tracking=AILS) == Router(
        priority=150,
        source=US,
        advert_interval=0.1,
        version=3,
        claims=False,
        startup_delay=7.0,
        down_timer_adverts=5,
        preempt=False,
        preempt_delay=3.0,
        tracking=AILS,
        garp_count=2,
        garp_delay=1.0,
        garp_refresh=0.0,
        garp_refresh_repeat=3,
    )


def weighing(weight: int, router: Router = ROUTER) -> Router:
    return attrs.evolve(router, tracking=Verdict(weight=weight))


FAULTY = attrs.evolve(ROUTER, tracking=Verdict(fault=True, why="interface eth1 is down (FAULT)"))
FAILED = TrackingChanged(FAULTY.tracking, WELL)
REPAIRED = TrackingChanged(WELL, FAULTY.tracking)


class TestWeights:
    @pytest.mark.parametrize(
        ("priority", "weight", "effective"),
        [(100, -20, 80), (100, 20, 120), (100, -100, 1), (100, -300, 1), (200, 55, 254), (255, -20, 255)],
    )
    def test_weights_make_nobody_an_owner_nor_mute_and_do_not_concern_the_owner(
        self, priority, weight, effective
    ):
        assert weighing(weight, attrs.evolve(ROUTER, priority=priority)).effective_priority == effective

    def test_a_master_advertises_another_priority_at_once_and_stays(self):
        lighter = weighing(-20)
        state, orders = step(lighter, master(), TrackingChanged(lighter.tracking, WELL), NOW + 0.3)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(80),)
        assert state.advert_at == NOW + 1.3

    def test_other_reasons_for_the_same_weight_send_nothing(self):
        lighter = weighing(-20)
        event = TrackingChanged(attrs.evolve(lighter.tracking, why="another"), lighter.tracking)
        assert step(lighter, master(lighter), event, NOW) == (master(lighter), ())

    def test_a_backup_waits_as_if_its_timer_had_been_set_with_the_new_priority(self):
        lighter = weighing(-20)
        state, orders = step(lighter, backup(), TrackingChanged(lighter.tracking, WELL), NOW + 1)
        assert (state, orders) == (backup(lighter), ())
        assert step(ROUTER, state, TrackingChanged(WELL, lighter.tracking), NOW + 2) == (backup(), ())

    def test_a_master_that_resigned_for_ailing_does_not_resign_again_for_another_weight(self):
        both = Verdict(ailing=True, weight=-20)
        router = attrs.evolve(ROUTER, tracking=both)
        state, orders = step(router, master(ailing()), TrackingChanged(both, AILS), NOW)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(AILING),)


class TestTrackedFault:
    def test_a_master_gives_everything_away_with_a_goodbye(self):
        assert step(FAULTY, master(), FAILED, NOW) == (Fault(link_up=True), (*DOWN, SendAdvert(0)))

    def test_a_backup_leaves_silently(self):
        assert step(FAULTY, backup(), FAILED, NOW) == (Fault(link_up=True), DOWN)

    def test_it_starts_in_fault(self):
        assert step(FAULTY, Initialize(), Started(), NOW) == (Fault(link_up=True), ())

    def test_repair_brings_it_back_as_backup(self):
        assert step(ROUTER, Fault(link_up=True), REPAIRED, NOW) == (backup(), ())

    def test_the_owner_comes_back_as_master(self):
        state, _ = step(attrs.evolve(ROUTER, priority=255), Fault(link_up=True), REPAIRED, NOW)
        assert isinstance(state, Master)

    def test_link_and_tracking_must_both_be_well(self):
        assert step(ROUTER, Fault(), REPAIRED, NOW) == (Fault(), ())
        assert step(FAULTY, Fault(), LinkUp(), NOW) == (Fault(link_up=True), ())
        assert step(FAULTY, Fault(link_up=True), LinkDown(), NOW) == (Fault(), ())
        assert step(ROUTER, Fault(), LinkUp(), NOW) == (backup(), ())


class TestStart:
    def test_an_owner_told_to_start_as_backup_waits(self):
        owner = attrs.evolve(ROUTER, priority=255, claims=False)
        assert step(owner, Initialize(), Started(), NOW) == (backup(owner), ())
        assert isinstance(step(owner, backup(owner), RECOVERED, NOW)[0], Backup)

    def test_a_startup_delay_passes_before_anything_else_counts(self):
        slow = attrs.evolve(ROUTER, startup_delay=5.0)
        waiting, orders = step(slow, Initialize(), Started(), NOW)
        assert (deadline(waiting), orders) == (NOW + 5, ())
        for event in (advert(200), advert(0), FAILING, Evicted(""), DeadlinePassed()):
            assert step(slow, waiting, event, NOW + 4) == (waiting, ())
        assert step(slow, waiting, DeadlinePassed(), NOW + 5) == (
            Backup(1.0, NOW + 8 + skew_time(100, 1.0)),
            (),
        )

    def test_a_link_that_fails_in_the_startup_delay_is_a_fault_after_it(self):
        slow = attrs.evolve(ROUTER, startup_delay=5.0)
        waiting, _ = step(slow, Initialize(), Started(), NOW)
        waiting, orders = step(slow, waiting, LinkDown(), NOW + 1)
        assert (deadline(waiting), orders) == (NOW + 5, ())
        assert step(slow, waiting, DeadlinePassed(), NOW + 5) == (Fault(), ())
        waiting, _ = step(slow, waiting, LinkUp(), NOW + 2)
        assert isinstance(step(slow, waiting, DeadlinePassed(), NOW + 5)[0], Backup)

    @pytest.mark.parametrize("adverts", [1, 3, 100])
    def test_the_master_is_dead_after_so_many_adverts_and_our_skew(self, adverts):
        router = attrs.evolve(ROUTER, down_timer_adverts=adverts)
        state, _ = step(router, Initialize(), Started(), NOW)
        assert deadline(state) == NOW + adverts + skew_time(100, 1.0)


MEMBER = attrs.evolve(ROUTER, grouped=True)
HELD = attrs.evolve(MEMBER, held=True)


def ready(router: Router = MEMBER) -> Backup:
    state, orders = step(router, backup(router), DeadlinePassed(), NOW)
    assert isinstance(state, Backup)
    assert orders == ()
    return state


class TestSyncGroupMember:
    def test_silence_makes_it_ready_and_it_waits_for_the_group(self):
        assert ready().ready
        assert deadline(ready()) == inf

    def test_the_group_makes_it_master(self):
        state, orders = step(MEMBER, ready(), Promoted(""), NOW)
        assert isinstance(state, Master)
        assert orders == (AddVips(), OpenGate(), Announce(5), SendAdvert(100))

    def test_a_promotion_that_comes_after_a_better_advert_is_too_late(self):
        heard, _ = step(MEMBER, ready(), advert(200), NOW)
        assert isinstance(heard, Backup)
        assert not heard.ready
        assert step(MEMBER, heard, Promoted(""), NOW) == (heard, ())

    def test_an_advert_that_it_would_preempt_leaves_it_ready(self):
        assert step(MEMBER, ready(), advert(50), NOW) == (
            attrs.evolve(ready(), preempt_at=NOW, master=HIGH),
            (),
        )

    def test_an_owner_in_a_group_is_ready_at_once(self):
        owner = attrs.evolve(MEMBER, priority=255)
        state, orders = step(owner, Initialize(), Started(), NOW)
        assert isinstance(state, Backup)
        assert (state.ready, orders) == (True, ())

    def test_a_demoted_master_says_goodbye(self):
        state, orders = step(MEMBER, master(), Demoted(""), NOW)
        assert (state, orders) == (backup(MEMBER), (*DOWN, SendAdvert(0)))
        assert step(MEMBER, state, Demoted(""), NOW) == (state, ())

    def test_a_fault_elsewhere_in_the_group_is_its_own(self):
        event = GroupChanged(held=True, why="")
        assert step(HELD, master(), event, NOW) == (Fault(link_up=True), (*DOWN, SendAdvert(0)))
        assert step(HELD, backup(), event, NOW) == (Fault(link_up=True), DOWN)
        assert step(HELD, Fault(), LinkUp(), NOW) == (Fault(link_up=True), ())
        assert step(HELD, Initialize(), Started(), NOW) == (Fault(link_up=True), ())

    def test_it_takes_part_again_when_all_are_fit(self):
        assert step(MEMBER, Fault(link_up=True), GroupChanged(held=False, why=""), NOW) == (
            backup(MEMBER),
            (),
        )
        assert step(MEMBER, Fault(), GroupChanged(held=False, why=""), NOW) == (Fault(), ())


class TestLeaving:
    """A planned stop: goodbye first, and the VIP stays until somebody else serves on it."""

    RELIEVED = (Initialize(), (*DOWN, SendAdvert(0)))

    def leaving(self, router: Router = ROUTER) -> Master:
        state, orders = step(router, master(router), Leave(), NOW)
        assert isinstance(state, Master)
        assert orders == (SendAdvert(0),)
        return state

    def test_it_waits_for_the_longest_skew_that_a_relief_can_have(self):
        assert self.leaving().leaving_at == NOW + 1.0 + RELIEF_MARGIN
        fast = attrs.evolve(ROUTER, advert_interval=0.01)
        assert self.leaving(fast).leaving_at == NOW + 0.01 + RELIEF_MARGIN
        assert self.leaving(attrs.evolve(ROUTER, version=2, advert_interval=5.0)).leaving_at < NOW + 1.1

    @pytest.mark.parametrize("priority", [1, 99, 200])
    def test_whoever_is_master_now_relieves_it_whatever_the_priority(self, priority):
        assert step(ROUTER, self.leaving(), advert(priority, LOW), NOW + 0.6) == self.RELIEVED

    def test_another_goodbye_is_nobody_who_serves(self):
        state = self.leaving()
        assert step(ROUTER, state, advert(0), NOW + 0.1) == (state, ())

    def test_with_nobody_to_relieve_it_the_vip_goes_all_the_same(self):
        state = self.leaving()
        assert step(ROUTER, state, DeadlinePassed(), state.leaving_at) == self.RELIEVED

    def test_it_neither_advertises_nor_announces_but_keeps_the_vip_alive(self):
        state = self.leaving()
        assert deadline(state) == NOW + REFRESH_INTERVAL
        after, orders = step(ROUTER, state, DeadlinePassed(), deadline(state))
        assert orders == (RefreshVips(),)
        assert deadline(after) == NOW + 2 * REFRESH_INTERVAL
        assert step(ROUTER, state, AddressLost("192.0.2.100/24"), NOW) == (state, (AddVips(),))
        assert step(ROUTER, state, Reconfigured(addresses=False), NOW) == (state, ())

    def test_its_group_takes_it_along_and_a_strike_of_the_guard_is_the_end(self):
        assert step(ROUTER, self.leaving(), Demoted("web"), NOW) == self.RELIEVED
        assert step(ROUTER, self.leaving(), Refused("no IPv6"), NOW) == self.RELIEVED
        assert step(ROUTER, self.leaving(), Evicted("frozen"), NOW) == (Initialize(), DOWN)

    def test_what_keeps_it_from_serving_is_the_end(self):
        """Not a FAULT: that would be over some time, and it would take part again."""
        unfit = attrs.evolve(ROUTER, held=True)
        assert step(ROUTER, self.leaving(), LinkDown(), NOW) == (Initialize(), DOWN)
        assert step(unfit, self.leaving(), GroupChanged(True, "app"), NOW) == self.RELIEVED

    @given(
        st.lists(
            st.sampled_from(
                (
                    LinkDown(),
                    LinkUp(),
                    DeadlinePassed(),
                    advert(0),
                    advert(50),
                    advert(200),
                    FAILING,
                    RECOVERED,
                    GroupChanged(True, "app"),
                    GroupChanged(False, "app"),
                    Promoted("web"),
                    Demoted("web"),
                    Reconfigured(addresses=True),
                    AddressLost("192.0.2.100/24"),
                    Evicted("frozen"),
                    Refused("no IPv6"),
                    Leave(),
                )
            )
        )
    )
    def test_whatever_happens_it_does_not_come_back(self, events):
        state, router, now = self.leaving(), ROUTER, NOW
        for event in events:
            if isinstance(event, GroupChanged):
                router = attrs.evolve(router, held=event.held)
            now += 0.4
            state, _ = step(router, state, event, now)
            at = state.start_at if isinstance(state, Initialize) else state.leaving_at
            assert at in (inf, self.leaving().leaving_at)
            assert not (isinstance(state, Master) and at == inf)

    def test_it_is_not_taken_for_a_sleeper(self):
        state = self.leaving()
        assert not overslept(ROUTER, state, state.leaving_at + 10)

    def test_who_is_not_master_leaves_at_once(self):
        for state in (Initialize(), Fault(), backup()):
            assert step(ROUTER, state, Leave(), NOW) == (Initialize(), ())
