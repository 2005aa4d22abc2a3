"""The guard process and its pipe; what it does to a real kernel is tests/vrrp/test_node.py."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from ipaddress import IPv4Address, IPv4Interface

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kernel.namespaces import Namespace

from hapair.config.model import ChecksumForm, Vip, VrrpInstance
from hapair.errors import KernelError
from hapair.kernel import guard, guard_child
from hapair.kernel.guard import GuardProcess
from hapair.vrrp.addresses import delete_address
from hapair.vrrp.guard import Plan, plan

VIP = IPv4Interface("192.0.2.100/24")
EMPTY = Plan(ifindex=1, requests=(), packets=())

binary = st.binary(max_size=200)


class Strikes:
    """Stands for the sockets of the guard."""

    def __init__(self, hapair: socket.socket) -> None:
        self.plans: list[dict] = []
        self._hapair = hapair

    def relieve(self, plans):
        self.plans.append(dict(plans))
        self._hapair.close()

    def learn(self, records):
        assert records == []

    def pass_time(self):
        pass


def test_a_guard_that_can_tell_nobody_strikes_all_the_same():
    """hapair died between its last heartbeat and the moment when we lose patience."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        ours.send(guard.plan_message("web", EMPTY))
        ours.shutdown(socket.SHUT_RD)  # sending to it fails from now on
        strikes = Strikes(ours)
        guard_child.watch(theirs, 0.02, strikes)
    assert strikes.plans == [{b"web": []}, {}]


def test_a_guard_that_is_told_another_patience_has_it_at_once():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        ours.send(guard.plan_message("web", EMPTY))
        ours.send(guard.patience_message(0.02))
        ours.settimeout(20)
        strikes = Strikes(ours)
        watching = threading.Thread(target=guard_child.watch, args=(theirs, 3600.0, strikes), daemon=True)
        watching.start()
        watching.join(20)
    assert strikes.plans == [{b"web": []}, {}]


@given(
    name=st.text(min_size=1, max_size=60),
    ifindex=st.integers(1, 2**31 - 1),
    requests=st.lists(binary, max_size=5),
    packets=st.lists(binary, max_size=5),
)
def test_the_child_reads_what_the_parent_writes(name, ifindex, requests, packets):
    message = guard.plan_message(name, Plan(ifindex, tuple(requests), tuple(packets)))
    kind, heard, records = guard_child.parse(message)
    assert (kind, heard) == (guard_child.PLAN, name.encode())
    assert records == [(b"N", ifindex, data) for data in requests] + [
        (b"I", ifindex, data) for data in packets
    ]


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """A namespace with eth0, into which the guard is started."""
    made = Namespace()
    inside = tmp_path / "python"
    inside.write_text(f'#!/bin/sh\nexec nsenter --net={made.path} {sys.executable} "$@"\n')
    inside.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(inside))
    made.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer")
    made.run("ip", "link", "set", "eth0", "up")
    yield made
    made.close()


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 processes tell us nothing else
            await trio.sleep(0.005)


def holding(namespace: Namespace) -> Plan:
    """Put the VIP on; the plan that removes it."""
    namespace.run("ip", "address", "add", str(VIP), "dev", "eth0")
    index = int(namespace.run("ip", "-o", "link", "show", "eth0").split(":")[0])
    instance = VrrpInstance("web", "eth0", 51, (VIP,))
    return plan(
        instance,
        ifindex=index,
        source=IPv4Address("192.0.2.1"),
        requests=(delete_address(index, Vip(VIP)),),
        form=ChecksumForm.AUTO,
    )


@pytest.mark.netns
async def test_it_watches_when_run_reports_readiness_and_ends_with_it(nursery):
    process = GuardProcess(0.5)
    await nursery.start(process.run)
    pid = process.pid
    assert pid is not None
    assert os.getsid(pid) == pid, "a session of its own"
    await trio.sleep(1)
    assert process.strikes() == 0, "nobody was silent"
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await until(lambda: process.pid is None)


@pytest.mark.netns
async def test_what_is_still_protected_at_the_end_is_taken_away(namespace):
    process = GuardProcess(0.5)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        process.protect("web", holding(namespace))
        assert namespace.addresses() == {str(VIP)}
        nursery.cancel_scope.cancel()
    assert namespace.addresses() == set()


@pytest.mark.netns
async def test_what_was_released_is_left_alone(namespace):
    process = GuardProcess(0.5)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        process.protect("web", holding(namespace))
        process.release("web")
        nursery.cancel_scope.cancel()
    assert namespace.addresses() == {str(VIP)}


@pytest.mark.netns
async def test_a_stalled_loop_is_struck_and_finds_out_before_its_next_step(namespace):
    process = GuardProcess(0.2)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        process.protect("web", holding(namespace))
        namespace.run("sleep", "0.5")  # blocks this thread, and the loop with it
        assert process.strikes() == 1
        assert namespace.addresses() == set()
        process.protect("web", holding(namespace))
        await trio.sleep(0.5)
        assert process.strikes() == 1, "it was not silent again"
        nursery.cancel_scope.cancel()
    assert namespace.addresses() == set(), "the plan after the strike counts, too"


@pytest.mark.netns
@pytest.mark.slow
async def test_another_timeout_is_kept_from_both_sides(namespace):
    """The guard strikes sooner, and hears from us more often: from the very next moment."""
    process = GuardProcess(12.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        process.protect("web", holding(namespace))
        await trio.sleep(0.1)  # the next heartbeat would be in 2.9 s
        process.set_timeout(1.5)
        await trio.sleep(2.4)
        assert process.strikes() == 0
        namespace.run("sleep", "2")  # blocks this thread, and the loop with it
        assert process.strikes() == 1
        assert namespace.addresses() == set()
        nursery.cancel_scope.cancel()


@pytest.mark.netns
async def test_a_stuck_guard_is_killed_before_it_can_strike(namespace, caplog):
    """It would see the end of its pipe when it wakes up, and strike a healthy MASTER."""
    process = GuardProcess(0.2)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        protected = holding(namespace)
        process.protect("web", protected)
        for n in range(20_000):  # more than fits into the pipe
            process.protect("other", Plan(ifindex=n, requests=(), packets=()))
        with caplog.at_level(logging.INFO):
            await until(lambda: "a new guard watches" in caplog.text)
        assert process.pid != first
        await trio.sleep(0.3)
        assert namespace.addresses() == {str(VIP)}
        nursery.cancel_scope.cancel()
    assert namespace.addresses() == set(), "the new one was told"


@pytest.mark.netns
@pytest.mark.slow
async def test_a_frozen_guard_is_replaced_within_two_seconds_and_a_hiccup_is_not(namespace, caplog):
    process = GuardProcess(0.2)
    async with trio.open_nursery() as nursery:
        await nursery.start(process.run)
        process.protect("web", holding(namespace))
        first = process.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await trio.sleep(0.5)
        os.kill(first, signal.SIGCONT)
        await trio.sleep(1.5)
        assert (process.pid, process.strikes()) == (first, 0)
        os.kill(first, signal.SIGSTOP)
        with caplog.at_level(logging.INFO), trio.fail_after(2.5):
            await until(lambda: "a new guard watches" in caplog.text)
        assert process.pid != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert namespace.addresses() == {str(VIP)}, "the frozen one was killed, and did not strike"
        nursery.cancel_scope.cancel()
    assert namespace.addresses() == set(), "the new one was told"


def test_a_guard_that_may_open_no_sockets_says_so_and_ends():
    """With four descriptors there is none left for its second socket."""
    command = ["prlimit", "--nofile=4", sys.executable, "-I", "-S", guard_child.__file__, "0.5"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 1
    assert re.fullmatch(r"hapair guard: its sockets cannot be opened: .+\n", ended.stderr)


async def test_a_guard_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(KernelError, match="could not start the guard"):
        await GuardProcess(0.5).run()


async def test_what_keeps_it_from_starting_again_is_said_once_and_tried_ever_less_often(
    monkeypatch, nursery, autojump_clock, caplog
):
    """As in a chroot, where it is for ever that there is no interpreter."""
    caplog.set_level(logging.INFO, "hapair.kernel")
    tries, reasons = [], ["no interpreter"] * 8 + ["no memory"] * 2

    async def start(_guard) -> None:
        await trio.lowlevel.checkpoint()
        tries.append(trio.current_time())
        if len(tries) == 1 or not reasons:
            process._broken = False
            return
        raise KernelError("start the guard", 0, reasons.pop(0))

    monkeypatch.setattr(GuardProcess, "_start", start)
    monkeypatch.setattr(guard, "ANSWER_TIMEOUT", 1e9)  # nobody answers here
    process = GuardProcess(1.0)
    await nursery.start(process.run)
    process._broken = True
    await trio.sleep(600)
    pauses = [after - before for before, after in itertools.pairwise(tries[1:])]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30, 30, 30])
    assert [record.getMessage() for record in caplog.records] == [
        "the guard is gone: until a new one watches, only their lifetimes end orphaned addresses",
        "could not start the guard: no interpreter; trying again and again",
        "could not start the guard: no memory; trying again and again",
        "a new guard watches (pid None)",
    ]
    process._broken = True
    reasons.append("no memory")
    await trio.sleep(10)
    assert tries[-1] - tries[-2] == pytest.approx(1), "patience begins anew"
    assert caplog.records[-2].getMessage() == "could not start the guard: no memory; trying again and again"


async def test_before_it_runs_plans_are_kept_for_it():
    process = GuardProcess(0.5)
    process.protect("web", EMPTY)
    process.release("web")
    assert process.strikes() == 0
    assert process.pid is None
