"""What happens to the wall clock.

CLOCK_REALTIME has no namespace: to set it is to set it for the whole computer.  So the node's programs are
started with libfaketime, which adds what stands in a file to every reading of that clock, and leaves
CLOCK_MONOTONIC alone, as the kernel does when somebody sets the time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from lab import verdicts
from lab.disturbances.kinds import A_WHILE, BRIEF, MOMENT, Disturbance
from lab.nodes import HapairNode
from lab.processes import LabError

if TYPE_CHECKING:
    from lab.nodes import Node
    from lab.scenario import Pair

DAY = 86_400
REREAD = 1
"""Seconds after which the library looks at its file again."""
PORT = 81
TELLS = f"""
[frontend.time]
mode = "http"
bind = ["*:{PORT}"]
http_request = ["return status 200 hdr X-Time %[date]"]
"""
"""No reload brings it: the library breaks timed waits, and with them the turns that threads take."""


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise LabError("libfaketime is needed: apt-get install faketime")
    return found[0]


async def _jumps(pair: Pair) -> None:
    """A day forth, a day back, and home again: it costs nothing, only the restarts around it may.

    Raises:
        LabError: a request failed meanwhile, or the node's own clock did not jump.
    """
    node, file = pair.nodes["lb-a"], pair.lab.scratch / "clock"
    file.write_text("+0\n")
    node.environ = {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": str(REREAD),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    if isinstance(node, HapairNode):
        node.more = TELLS
    await node.start()
    await pair.until_master(node, within=8)
    start = time.monotonic()
    for jump in (DAY, -DAY, 0):
        file.write_text(f"{jump:+}\n")
        await trio.sleep(REREAD)
        if isinstance(node, HapairNode):
            await _noticed(pair, node, jump)
        await trio.sleep(A_WHILE)
    failed = verdicts.failures(pair.prober.recent(start), start, time.monotonic())
    if failed:
        raise LabError(f"{len(failed)} requests failed while the clock jumped: {failed[0]}\n{pair.log()}")
    if isinstance(node, HapairNode):
        node.more = ""
    node.environ = {}
    await node.start()


async def _noticed(pair: Pair, node: Node, jump: int) -> None:
    """The node's own date says so: else this would prove nothing.

    Raises:
        LabError: it does not.
    """
    with trio.move_on_after(10):
        while abs(await _difference(pair, node) - jump) > 2:  # noqa: ASYNC110 -- nobody else knows
            await trio.sleep(0.1)
        return
    raise LabError(f"the clock has not jumped by {jump} s\n{pair.log()}")


async def _difference(pair: Pair, node: Node) -> float:
    """Seconds between a node's wall clock and ours."""
    asked = await pair.lab["client"].spawn(["curl", "-sim", "2", f"http://{pair.address_of(node)}:{PORT}"])
    await asked.wait()
    told = [line.split()[1] for _, line in asked.lines if line.lower().startswith("x-time:")]
    return float(told[0]) - time.time() if told else float("inf")


CLOCK = (Disturbance("the clock jumps", _jumps, MOMENT, BRIEF, anytime=False),)
