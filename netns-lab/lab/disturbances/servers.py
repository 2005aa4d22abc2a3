"""What happens to the servers behind the pair."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import trio

from lab.disturbances.kinds import MOMENT, Disturbance, run
from lab.probers import LIBRARY
from lab.scenario import start_backend
from lab.topology import BACKENDS

if TYPE_CHECKING:
    from lab.scenario import Pair

LATE = 0.3
"""Seconds; less than the patience of the prober."""


async def _ended(pair: Pair, name: str) -> None:
    """Kill the server, and wait until its port is free."""
    machine = pair.lab[name]
    machine.kill_everything(signal.SIGKILL)
    await pair.until(f"{name} is dead", lambda: not machine.processes, within=5)


async def _crashes(pair: Pair) -> None:
    await _ended(pair, "web1")
    await trio.sleep(0.5)
    await start_backend(pair.lab, "web1")


async def _hangs(pair: Pair) -> None:
    pair.lab["web1"].kill_everything(signal.SIGSTOP)
    await trio.sleep(1.0)
    pair.lab["web1"].kill_everything(signal.SIGCONT)


async def _all_gone(pair: Pair) -> None:
    for name in BACKENDS:
        pair.lab[name].kill_everything(signal.SIGKILL)
    await trio.sleep(1.5)
    for name in BACKENDS:
        await start_backend(pair.lab, name)


async def _slow_answers(pair: Pair) -> None:
    """Its checks pass, everything else takes its time."""
    await _ended(pair, "web1")
    await start_backend(pair.lab, "web1", late=LATE)
    await trio.sleep(1.5)
    await _ended(pair, "web1")
    await start_backend(pair.lab, "web1")


async def _half_open(pair: Pair) -> None:
    """It loses power and is back before anybody notices: its old connections are known to one side only."""
    machine = pair.lab["web1"]
    deaf = "add table ip off; "
    for hook in ("input", "output"):
        deaf += f"add chain ip off {hook} {{ type filter hook {hook} priority 0; policy drop; }}; "
    await run(machine, "nft", deaf)
    await _ended(pair, "web1")
    await start_backend(pair.lab, "web1")
    await run(machine, "nft", "delete table ip off")
    await trio.sleep(1.0)


async def _resets(pair: Pair) -> None:
    """Its checks pass; it resets, closes and breaks off everything else."""
    await _ended(pair, "web1")
    machine, address = pair.lab["web1"], str(pair.lab.topology["web1"].address)
    words = [sys.executable, "-m", "lab.hostile_backend", "web1", address, "80"]
    hostile = await machine.spawn(words, name="hostile", env=LIBRARY)
    await hostile.wait_line("ready")
    await trio.sleep(1.5)
    await _ended(pair, "web1")
    await start_backend(pair.lab, "web1")


SERVERS = (
    Disturbance("a server crashes", _crashes, MOMENT, 0.0),
    Disturbance("a server hangs", _hangs, MOMENT, 0.0),
    Disturbance("a server answers late", _slow_answers, MOMENT + LATE, 0.0),
    Disturbance("a server's connections are half-open", _half_open, MOMENT, 0.0),
    Disturbance("a server resets its connections", _resets, MOMENT, 0.0),
    Disturbance("all servers are gone", _all_gone, 4.0, 0.3),
)
