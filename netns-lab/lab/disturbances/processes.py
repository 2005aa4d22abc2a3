"""What happens to the processes of a node: ends, freezes, the guard, reloads."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import trio

from lab.cgroups import Frozen, why_no_freezer
from lab.disturbances.kinds import (
    A_WHILE,
    BRIEF,
    DOWN,
    GUARD,
    LIFETIME,
    MOMENT,
    NOTHING,
    Disturbance,
    edited,
)
from lab.processes import LabError, descendants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.scenario import Pair


async def _stopped(pair: Pair) -> None:
    """As an operator does it."""
    await pair.nodes["lb-a"].stop()
    await trio.sleep(A_WHILE)
    await pair.nodes["lb-a"].start()


async def _killed(pair: Pair) -> None:
    """The guard survives, and lets nothing stay."""
    node = pair.nodes["lb-a"]
    node.kill_router()
    await trio.sleep(A_WHILE)
    if "lb-a" in pair.sampler.holders:
        raise LabError(f"the VIP has outlived its daemon\n{pair.log()}")
    await node.start()


async def _killed_with_guard(pair: Pair) -> None:
    """Only the kernel is left to take the address away."""
    node = pair.nodes["lb-a"]
    node.machine.kill_everything(signal.SIGKILL)
    await trio.sleep(LIFETIME)
    if "lb-a" in pair.sampler.holders:
        raise LabError(f"the VIP has outlived its daemon and its guard\n{pair.log()}")
    await node.start()


async def _frozen(pair: Pair) -> None:
    router = pair.nodes["lb-a"].router()
    router.signal_group(signal.SIGSTOP)
    await trio.sleep(GUARD + 0.5)
    router.signal_group(signal.SIGCONT)


async def _frozen_with_guard(pair: Pair) -> None:
    machine = pair.lab["lb-a"]
    machine.kill_everything(signal.SIGSTOP)
    await trio.sleep(LIFETIME)
    machine.kill_everything(signal.SIGCONT)


async def _frozen_by_cgroup(pair: Pair) -> None:
    """As `docker pause` does it."""
    with Frozen(pid for pid, _ in descendants(pair.lab["lb-a"])):
        await trio.sleep(LIFETIME)


def _guards(pair: Pair) -> Sequence[int]:
    """The guard's pid on lb-a, as we see it."""
    found = [
        pid for pid, words in descendants(pair.lab["lb-a"]) if any("guard_child" in word for word in words)
    ]
    if not found:
        raise LabError("lb-a has no guard")
    return found


async def _guard_frozen(pair: Pair) -> None:
    guards = _guards(pair)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in guards:
            os.kill(pid, number)
        await trio.sleep(A_WHILE)
    if _guards(pair) != guards:
        raise LabError("another guard, although this one is well again")


async def _guard_frozen_for_good(pair: Pair) -> None:
    before = _guards(pair)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    await pair.until("the guard is another", lambda: not set(_guards_or_none(pair)) & set(before), 4)
    await pair.until("there is a guard", lambda: bool(_guards_or_none(pair)), 4)


async def _guard_killed(pair: Pair) -> None:
    before = _guards(pair)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await pair.until("there is another guard", lambda: bool(set(_guards_or_none(pair)) - set(before)), 5)


def _guards_or_none(pair: Pair) -> Sequence[int]:
    try:
        return _guards(pair)
    except LabError:
        return []


async def _hiccup(pair: Pair) -> None:
    """Shorter than the guard's patience: nobody may notice."""
    router = pair.nodes["lb-a"].router()
    for _ in range(5):
        router.signal_group(signal.SIGSTOP)
        await trio.sleep(0.05)
        router.signal_group(signal.SIGCONT)
        await trio.sleep(0.15)


async def _both_at_once(pair: Pair) -> None:
    """The power comes back in both racks at the same time."""
    for node in pair.nodes.values():
        node.machine.kill_everything(signal.SIGKILL)
    async with trio.open_nursery() as starting:
        for node in pair.nodes.values():
            starting.start_soon(node.start)


async def _bad_reload(pair: Pair) -> None:
    with edited(pair, "advert_interval", "advert_intervall"):
        pair.nodes["lb-a"].router().signal(signal.SIGHUP)
        await pair.nodes["lb-a"].router().wait_line("did you mean", within=5)


async def _reload_storm(pair: Pair) -> None:
    for _ in range(20):
        pair.nodes["lb-a"].router().signal(signal.SIGHUP)
        await trio.sleep(0.03)


async def _priority_by_reload(pair: Pair) -> None:
    router = pair.nodes["lb-a"].router()
    with edited(pair, "priority = 150", "priority = 50"):
        router.signal(signal.SIGHUP)
        await pair.until_master(pair.nodes["lb-b"], within=5)
    router.signal(signal.SIGHUP)


PROCESSES = (
    Disturbance("the MASTER is stopped and started", _stopped, MOMENT, BRIEF),
    Disturbance("the MASTER is killed and started", _killed, DOWN, BRIEF),
    Disturbance("the MASTER is killed with its guard", _killed_with_guard, DOWN, LIFETIME),
    Disturbance("the MASTER is frozen", _frozen, DOWN, GUARD + 0.3),
    Disturbance("the MASTER is frozen with its guard", _frozen_with_guard, DOWN, LIFETIME),
    Disturbance("the MASTER's cgroup is frozen", _frozen_by_cgroup, DOWN, LIFETIME, why_not=why_no_freezer),
    Disturbance("the node hiccups", _hiccup, MOMENT, BRIEF),
    Disturbance("both nodes lose power", _both_at_once, 8.0, LIFETIME),
    Disturbance("the guard is frozen", _guard_frozen, NOTHING, 0.0, anytime=False, hapairs_own=True),
    Disturbance(
        "the guard is frozen for good",
        _guard_frozen_for_good,
        NOTHING,
        0.0,
        "answers nothing",
        anytime=False,
        hapairs_own=True,
    ),
    Disturbance("the guard is killed", _guard_killed, NOTHING, 0.0, anytime=False, hapairs_own=True),
    Disturbance("a bad reload", _bad_reload, NOTHING, 0.0, failed=0, hapairs_own=True),
    Disturbance("a storm of reloads", _reload_storm, NOTHING, 0.0, failed=0, hapairs_own=True),
    Disturbance(
        "another priority by reload", _priority_by_reload, MOMENT, BRIEF, anytime=False, hapairs_own=True
    ),
)
