"""What each fault costs clients: hapair beside keepalived + HAProxy in the same lab.

    python bench/failover.py [--intervals 100ms,1s] [--rounds 3] [--faults kill-router,partition]

A pair in network namespaces, a fresh connection with a request every 2 ms, the VIP's holders sampled every
10 ms.  The MASTER is broken, its peer takes over, the MASTER comes back and gets the VIP again.  Medians over
the rounds.  The table goes to standard output and to bench/failover.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from math import inf
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "netns-lab"))

from lab import faults
from lab.namespaces import isolate
from lab.processes import LabError
from lab.scenario import PRIORITIES, Handback, Takeover, open_pair

KINDS = ("hapair", "keepalived")
INTERVALS = {"10ms": 0.01, "100ms": 0.1, "1s": 1.0}
WITHIN = 20.0
PEACE = 1.5
"""Seconds."""


async def measure(
    kind: str, interval: float, fault: faults.Fault, rounds: int
) -> list[tuple[Takeover, Handback | None]]:
    """One pair, broken and mended `rounds` times."""
    found: list[tuple[Takeover, Handback | None]] = []
    async with open_pair(dict.fromkeys(PRIORITIES, kind), interval) as pair:
        preferred = pair.nodes["lb-a"]
        await pair.until_master(preferred, within=WITHIN)
        for _ in range(rounds):
            # Checks that were under way in the last fault may still end badly: wait for peace.
            await trio.sleep(PEACE)
            await pair.until_master(preferred, within=WITHIN)
            takeover = await pair.take_over(fault, within=WITHIN)
            try:
                handback = await pair.hand_back(preferred, fault, within=WITHIN)
            except LabError:
                # As with keepalived after a kill: the address stayed, the node cannot come back cleanly.
                found.append((takeover, None))
                break
            found.append((takeover, handback))
    return found


def milliseconds(values: list[float]) -> str:
    middle = statistics.median(values) if values else inf
    return "never" if middle == inf else f"{middle * 1000:.0f}"


def row(kind: str, interval: str, fault: faults.Fault, found: list[tuple[Takeover, Handback | None]]) -> str:
    takeovers = [takeover for takeover, _ in found]
    handbacks = [handback for _, handback in found if handback is not None]
    cells = [
        fault.what,
        interval,
        "keepalived + haproxy" if kind == "keepalived" else kind,
        milliseconds([takeover.gap for takeover in takeovers]),
        f"{statistics.median(takeover.failed for takeover in takeovers):.0f}",
        milliseconds([takeover.two_holders for takeover in takeovers]),
        milliseconds([handback.gap for handback in handbacks]),
        f"{statistics.median([handback.failed for handback in handbacks]):.0f}" if handbacks else "never",
    ]
    return "| " + " | ".join(cells) + " |"


async def run(options: argparse.Namespace) -> list[str]:
    wanted = options.faults.split(",") if options.faults else [fault.name for fault in faults.ALL]
    chosen = [fault for fault in faults.ALL if fault.name in wanted]
    lines = [
        "| fault | adverts | nodes | gap ms | failed | two holders, ms | hand-back gap ms | failed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for interval in options.intervals.split(","):
        for fault in chosen:
            for kind in KINDS:
                lines.append(
                    row(
                        kind, interval, fault, await measure(kind, INTERVALS[interval], fault, options.rounds)
                    )
                )
                print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--intervals", default="100ms,1s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faults", default="")
    options = parser.parse_args()
    isolate()
    lines = trio.run(run, options)
    Path(__file__).with_name("failover.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
