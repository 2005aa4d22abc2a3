"""What a disturbance is, and what those of every room need."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import attrs

from lab.processes import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.processes import Machine
    from lab.scenario import Pair

Act = Callable[["Pair"], Awaitable[None]]

SPOKEN_TO = "web1"
"""The machine of the stranger on the segment."""
A_WHILE = 0.8
"""Seconds; more than two master-down times at 100 ms adverts."""
NOTHING, MOMENT, BRIEF = 0.3, 0.6, 0.3
"""Seconds: an outage that is none on a busy machine, one of a move, and holding the VIP both."""
DOWN = 1.2
"""Seconds: an outage of a master-down time and something."""
ADVERTS_LOST = A_WHILE + 0.4
"""Seconds: as long as the nodes do not hear each other, both hold it, as they must."""
LIFETIME = 2.6
"""Seconds: hapair's VIPs live two unless refreshed; the kernel is up to 0.24 s late (measured)."""
GUARD = 1.0
"""Seconds of silence after which the guard acts (node.guard_timeout)."""


def _always() -> str:
    return ""


@attrs.frozen
class Disturbance:
    name: str
    act: Act
    outage: float
    """The longest time without a success, in seconds."""
    two_holders: float
    """The VIP may be on both nodes for so many seconds."""
    logged: str = ""
    """Found in the log of one of the nodes."""
    anytime: bool = True
    """False: it presupposes a pair at peace, and is no part of a sequence."""
    failed: int | None = None
    """So many requests may fail; None: as many as the outage makes fail."""
    hapairs_own: bool = False
    """It is done to a file or a process of hapair's that keepalived and HAProxy do not have."""
    why_not: Callable[[], str] = _always
    """Why it cannot be done on this machine; empty when it can."""


async def run(machine: Machine, *words: str | os.PathLike[str]) -> None:
    """Run a command in a machine to its end.

    Raises:
        LabError: it failed.
    """
    process = await machine.spawn([str(word) for word in words])
    if await process.wait():
        raise LabError(f"{' '.join(map(str, words))} on {machine.name}:\n{process.tail()}")


def v4(address: object) -> IPv4Address:
    """The forger and the filters know IPv4 alone."""
    assert isinstance(address, IPv4Address)
    return address


@contextmanager
def edited(pair: Pair, old: str, new: str) -> Iterator[None]:
    """lb-a's file, with something else in it."""
    file = pair.lab.scratch / "lb-a.toml"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    try:
        yield
    finally:
        file.write_text(before)
