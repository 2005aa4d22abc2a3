"""Whole nodes in namespaces: killed, frozen, stopped; what is left, and how soon it is gone."""

from __future__ import annotations

import os
import signal
import time
from ipaddress import IPv4Address, IPv4Interface

import pytest
from kernel.namespaces import pair, wait_for
from vrrp.processes import VIP, Sniffer, guard_pid, node

from hapair.kernel.links import Links

pytestmark = [pytest.mark.netns, pytest.mark.slow]

A, B = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
INTERVAL = 0.1
PATIENCE = 0.4
"""The guard's timeout."""
SLACK = 0.05
"""What the guard may need beyond that."""


class Stage:
    def __init__(self, a, b):
        self.a, self.b = a, b
        self.sniffer = Sniffer(b)
        with a.entered():
            self.links = Links()
        self.link = self.links.follow("eth0")
        self.lost: list[IPv4Interface] = []
        self.link.subscribe(lambda _: None, lambda _, address: self.lost.append(address))
        self.programs = []

    def start(self, namespace, priority, *more, patience=PATIENCE):
        program = node(namespace, priority, INTERVAL, patience, *more)
        self.programs.append(program)
        return program

    def vip_gone(self):
        self.links.catch_up()
        return bool(self.lost)

    def close(self):
        for program in self.programs:
            program.close()
        self.sniffer.close()
        self.links.close()


@pytest.fixture
def stage():
    with pair() as (a, b):
        made = Stage(a, b)
        yield made
        made.close()


def master(stage, program, namespace):
    program.wait_for("Entering MASTER STATE")
    wait_for(lambda: VIP in namespace.addresses(), what="the VIP")
    stage.links.catch_up()
    stage.lost.clear()


def test_killed_master_loses_its_vip_and_says_goodbye_within_50_ms(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    killed_at = time.monotonic()
    program.signal(signal.SIGKILL)
    wait_for(stage.vip_gone, what="losing the VIP")
    gone_after = time.monotonic() - killed_at
    wait_for(lambda: any(priority == 0 for _, _, priority in stage.sniffer.seen), what="goodbye")
    (goodbye,) = [entry for entry in stage.sniffer.seen if entry[2] == 0]
    assert gone_after < 0.05
    assert goodbye[0] - killed_at < 0.05
    assert goodbye[1] == A
    assert VIP not in stage.a.addresses()


def test_frozen_master_loses_its_vip_and_stands_for_election_again_when_it_wakes(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    program.signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    wait_for(stage.vip_gone, what="losing the VIP")
    assert time.monotonic() - frozen_at < PATIENCE + SLACK
    wait_for(lambda: any(priority == 0 for _, _, priority in stage.sniffer.seen), what="goodbye")
    woken_at = time.monotonic()
    program.signal(signal.SIGCONT)
    program.wait_for("Entering BACKUP STATE: the guard struck")
    program.wait_for("Entering MASTER STATE", times=2)
    wait_for(lambda: stage.sniffer.after(woken_at), what="an advert")
    first, _, priority = stage.sniffer.after(woken_at)[0]
    assert priority == 100
    assert first - woken_at > 3 * INTERVAL, "it spoke as MASTER before it was elected"
    wait_for(lambda: VIP in stage.a.addresses(), what="the VIP")


def test_without_skew_the_peer_of_a_killed_master_takes_over_at_once(stage):
    """At 1 s adverts its skew time would be 0.61 s."""
    high, low = (
        node(namespace, priority, 1.0, PATIENCE, "skew=False")
        for namespace, priority in ((stage.a, 200), (stage.b, 100))
    )
    stage.programs += [high, low]
    master(stage, high, stage.a)
    guard_pid(low)
    wait_for(lambda: stage.sniffer.seen, what="an advert of the master")
    killed_at = time.monotonic()
    high.signal(signal.SIGKILL)
    low.wait_for("Entering MASTER STATE: 192.0.2.1 resigned")
    assert time.monotonic() - killed_at < 0.3


def test_the_peer_takes_over_from_a_killed_master_after_its_skew_time(stage):
    high, low = stage.start(stage.a, 200), stage.start(stage.b, 100)
    master(stage, high, stage.a)
    guard_pid(low)  # it is running
    killed_at = time.monotonic()
    high.signal(signal.SIGKILL)
    low.wait_for("Entering MASTER STATE: 192.0.2.1 resigned")
    assert time.monotonic() - killed_at < 0.05 + INTERVAL * 156 / 256 + 0.05
    wait_for(lambda: VIP in stage.b.addresses(), what="the VIP here")
    assert VIP not in stage.a.addresses()


def test_a_frozen_master_that_wakes_up_beside_its_successor_does_not_contest(stage):
    high = stage.start(stage.a, 200, "preempt=False")
    master(stage, high, stage.a)
    low = stage.start(stage.b, 100)
    guard_pid(low)  # it is running
    high.signal(signal.SIGSTOP)
    low.wait_for("Entering MASTER STATE")
    wait_for(lambda: VIP not in stage.a.addresses(), what="losing the VIP")
    high.signal(signal.SIGCONT)
    high.wait_for("Entering BACKUP STATE: the guard struck")
    time.sleep(6 * INTERVAL)
    assert not high.said("Entering MASTER STATE", times=2)
    assert VIP not in stage.a.addresses()


def test_a_killed_guard_is_replaced_and_the_new_one_knows_the_plan(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    os.kill(guard_pid(program), signal.SIGKILL)
    program.wait_for("the guard is gone")
    program.wait_for("a new guard watches")
    assert VIP in stage.a.addresses()
    assert not stage.vip_gone()
    program.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    wait_for(stage.vip_gone, what="losing the VIP")
    assert time.monotonic() - killed_at < SLACK


def test_with_the_guard_killed_as_well_the_kernel_drops_the_vip(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    os.kill(guard_pid(program), signal.SIGKILL)
    program.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    wait_for(stage.vip_gone, what="losing the VIP")
    assert time.monotonic() - killed_at < 2.5, "a lifetime of 2 s, and the kernel's sweep"


def test_an_exception_that_nobody_handles_gives_the_vip_away_with_a_goodbye(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    failed_at = time.monotonic()
    program.signal(signal.SIGUSR1)
    assert program.process.wait(10) == 1
    wait_for(lambda: any(priority == 0 for _, _, priority in stage.sniffer.seen), what="goodbye")
    (goodbye,) = [entry for entry in stage.sniffer.seen if entry[2] == 0]
    assert goodbye[0] - failed_at < 0.2
    assert VIP not in stage.a.addresses()
    assert program.said("RuntimeError: a bug")


def test_a_signal_to_the_process_group_is_a_graceful_stop(stage):
    """The guard is in a session of its own and ignores SIGTERM."""
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    guard = guard_pid(program)
    os.kill(guard, signal.SIGTERM)
    os.kill(guard, signal.SIGINT)
    assert program.stop() == 0
    assert VIP not in stage.a.addresses()
    assert program.lines[-3:] == [
        "gate closed",
        "(web) sent 0 priority",
        "(web) Entering INITIALIZE STATE: stopped",
    ]
    wait_for(lambda: not os.path.exists(f"/proc/{guard}"), what="the guard's end")  # noqa: PTH110


def test_link_down_is_a_fault_and_the_vip_is_back_after_it(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    stage.a.run("ip", "link", "set", "eth0", "down")
    program.wait_for("Entering FAULT STATE: link down")
    wait_for(lambda: VIP not in stage.a.addresses(), what="dropping the VIP")
    stage.a.run("ip", "link", "set", "eth0", "up")
    program.wait_for("Entering MASTER STATE", times=2)
    wait_for(lambda: VIP in stage.a.addresses(), what="the VIP")


def test_a_vip_removed_by_hand_is_put_back(stage):
    program = stage.start(stage.a, 100)
    master(stage, program, stage.a)
    stage.a.run("ip", "address", "del", VIP, "dev", "eth0")
    wait_for(lambda: VIP in stage.a.addresses(), seconds=1, what="the VIP")
    program.wait_for("was removed by somebody else")


def test_a_vip_left_by_an_earlier_life_is_swept_at_the_start(stage):
    stage.a.run("ip", "address", "add", VIP, "dev", "eth0")
    program = stage.start(stage.a, 100)
    program.wait_for("Entering BACKUP STATE")
    assert VIP not in stage.a.addresses()
    assert program.lines[0] == "(web) removing 192.0.2.100/24, left over on eth0"


def test_vips_that_somebody_puts_in_other_places_are_removed_at_once(stage):
    master(stage, stage.start(stage.a, 200), stage.a)
    low = stage.start(stage.b, 100)
    guard_pid(low)  # it is running
    stage.b.run("ip", "address", "add", VIP, "dev", "eth0")
    stage.a.run("ip", "address", "add", "192.0.2.100/32", "dev", "lo")
    stage.a.run("ip", "address", "add", "192.0.2.100/32", "dev", "eth0")
    for namespace, ifname in ((stage.a, "lo"), (stage.a, "eth0"), (stage.b, "eth0")):
        wrong = {VIP, "192.0.2.100/32"} - ({VIP} if (namespace, ifname) == (stage.a, "eth0") else set())
        wait_for(
            lambda ns=namespace, dev=ifname, all_=wrong: not all_ & ns.addresses(dev), what="their removal"
        )
    assert VIP in stage.a.addresses()
