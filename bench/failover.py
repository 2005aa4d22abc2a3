"""What each fault costs clients: hapair beside keepalived + HAProxy in the same lab.

    python bench/failover.py [--intervals 100ms,1s] [--rounds 3] [--faults kill-router,partition]

A pair in network namespaces, a fresh connection with a request every 2 ms, the VIP's holders sampled every
10 ms.  The MASTER is broken half an interval after one of its adverts, its peer takes over, the client asks
by ARP once more who has the VIP, the MASTER comes back and gets the VIP again.  Medians over the rounds; "for
good" is until the broken node is started again.  The table goes to standard output and to bench/failover.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from math import inf
from pathlib import Path

import attrs
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
COLUMNS = (
    "fault",
    "adverts",
    "nodes",
    "gap ms",
    "failed",
    "VIP moved after ms",
    "two holders ms",
    "wrong after new ARP",
    "hand-back gap ms",
    "failed",
)


@attrs.frozen
class Round:
    takeover: Takeover
    two_holders: float
    """Seconds; `inf` when both still have the VIP before the broken node is mended."""
    wrong: float
    """Share of requests that failed, or met the broken node, after the client asked again who has the VIP."""
    handback: Handback | None
    """None when the node did not come back."""


async def measure(kind: str, interval: float, fault: faults.Fault, rounds: int) -> list[Round]:
    """One pair, broken and mended `rounds` times."""
    found: list[Round] = []
    async with open_pair(dict.fromkeys(PRIORITIES, kind), interval) as pair:
        preferred = pair.nodes["lb-a"]
        await pair.until_master(preferred, within=WITHIN)
        for _ in range(rounds):
            # Checks that were under way in the last fault may still end badly: wait for peace.
            await trio.sleep(PEACE)
            await pair.until_master(preferred, within=WITHIN)
            takeover = await pair.take_over(fault, within=WITHIN)
            wrong = await pair.ask_again(preferred)
            still_two = len(pair.sampler.holders) > 1
            handback = None
            try:
                handback = await pair.hand_back(preferred, fault, within=WITHIN)
            except LabError as error:
                print(f"{kind}, {fault.name}: {error}", file=sys.stderr)
            found.append(Round(takeover, inf if still_two else takeover.two_holders, wrong, handback))
            if handback is None:
                break
    return found


def milliseconds(values: list[float], endless: str = "never") -> str:
    middle = statistics.median(values) if values else inf
    return endless if middle == inf else f"{middle * 1000:.0f}"


def row(kind: str, interval: str, fault: faults.Fault, found: list[Round]) -> str:
    takeovers = [one.takeover for one in found]
    handbacks = [one.handback for one in found if one.handback is not None]
    cells = [
        fault.what,
        interval,
        "keepalived + haproxy" if kind == "keepalived" else kind,
        milliseconds([takeover.gap for takeover in takeovers]),
        f"{statistics.median(takeover.failed for takeover in takeovers):.0f}",
        milliseconds([takeover.moved for takeover in takeovers]),
        milliseconds([one.two_holders for one in found], "for good"),
        f"{statistics.median(one.wrong for one in found):.0%}",
        milliseconds([handback.gap for handback in handbacks]),
        f"{statistics.median([handback.failed for handback in handbacks]):.0f}" if handbacks else "never",
    ]
    return "| " + " | ".join(cells) + " |"


async def run(options: argparse.Namespace) -> list[str]:
    wanted = options.faults.split(",") if options.faults else [fault.name for fault in faults.ALL]
    chosen = [fault for fault in faults.ALL if fault.name in wanted]
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
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
    parser.add_argument("--intervals", default="1s,100ms,10ms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faults", default="")
    options = parser.parse_args()
    isolate()
    lines = trio.run(run, options)
    Path(__file__).with_name("failover.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
