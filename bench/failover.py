"""What each fault costs clients: hapair beside keepalived + HAProxy in the same lab.

    python bench/failover.py [--intervals 100ms,1s] [--rounds 3] [--faults kill-router,partition]
                             [--nodes hapair] [--jobs 1] [--ipv6] [--write]

A pair in network namespaces, a fresh connection with a request every 2 ms, the VIP's holders sampled every
10 ms.  The MASTER is broken half an interval after one of its adverts, its peer takes over, the client asks
by ARP once more who has the VIP, the MASTER comes back and gets the VIP again.  Medians over the rounds; "for
good" is until the broken node is started again.  The table goes to standard output and, when nothing was left
out or `--write` asks for it, to bench/failover.md.  Two pairs at a time, each in namespaces of its own:
hapair beside keepalived on the same fault; they wait most of the time.
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
from lab.nodes import Kind
from lab.processes import LabError
from lab.scenario import PRIORITIES, Handback, Takeover, open_pair
from lab.topology import PAIR, PAIR6, Topology

KINDS: tuple[Kind, ...] = ("hapair", "hapair-1", "keepalived")
NAMES = {"hapair": "hapair", "hapair-1": "hapair, workers = 1", "keepalived": "keepalived + haproxy"}
INTERVALS = {"1s": 1.0, "100ms": 0.1, "10ms": 0.01}
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

DECISIVE = "intervals", "rounds", "faults", "nodes", "ipv6"
"""The options that decide what is measured."""


@attrs.frozen
class Round:
    takeover: Takeover
    two_holders: float
    """Seconds; `inf` when both still have the VIP before the broken node is mended."""
    wrong: float
    """Share of requests that failed, or met the broken node, after the client asked again who has the VIP."""
    handback: Handback | None
    """None when the node did not come back."""


async def measure(
    kind: Kind, interval: float, fault: faults.Fault, rounds: int, topology: Topology
) -> list[Round]:
    """One pair, broken and mended `rounds` times."""
    found: list[Round] = []
    async with open_pair(dict.fromkeys(PRIORITIES, kind), interval, topology=topology) as pair:
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
        NAMES[kind],
        milliseconds([takeover.gap for takeover in takeovers]),
        f"{statistics.median(takeover.failed for takeover in takeovers):.0f}" if takeovers else "never",
        milliseconds([takeover.moved for takeover in takeovers]),
        milliseconds([one.two_holders for one in found], "for good"),
        f"{statistics.median(one.wrong for one in found):.0%}" if found else "never",
        milliseconds([handback.gap for handback in handbacks]),
        f"{statistics.median([handback.failed for handback in handbacks]):.0f}" if handbacks else "never",
    ]
    return "| " + " | ".join(cells) + " |"


@attrs.frozen
class Row:
    interval: str
    fault: faults.Fault
    kind: Kind


def rows(options: argparse.Namespace) -> list[Row]:
    """What was asked for, in the order of the table."""
    return [
        Row(interval, fault, kind)
        for interval in options.intervals.split(",")
        for fault in faults.ALL
        for kind in KINDS
        if fault.name in options.faults.split(",") and kind in options.nodes.split(",")
    ]


async def run(options: argparse.Namespace) -> list[str]:
    """Measure, `options.jobs` pairs at a time, and print each row as soon as those before it are there."""
    wanted = rows(options)
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    print("\n".join(lines), flush=True)
    done: dict[Row, str] = {}
    began = trio.current_time()
    topology = PAIR6 if options.ipv6 else PAIR
    free = trio.CapacityLimiter(options.jobs)

    async def one(asked: Row, *, task_status: trio.TaskStatus[None]) -> None:
        async with free:
            task_status.started()
            interval = INTERVALS[asked.interval]
            try:
                found = await measure(asked.kind, interval, asked.fault, options.rounds, topology)
            except* LabError as errors:
                print(
                    f"{asked.kind}, {asked.interval}, {asked.fault.name}: {errors.exceptions[0]}",
                    file=sys.stderr,
                )
                found = []
        done[asked] = row(asked.kind, asked.interval, asked.fault, found)
        while len(lines) - 2 < len(wanted) and (line := done.get(wanted[len(lines) - 2])):
            lines.append(line)
            print(line, flush=True)
        minutes, seconds = divmod(round(trio.current_time() - began), 60)
        print(f"{len(done)} of {len(wanted)} rows after {minutes}:{seconds:02}", file=sys.stderr)

    async with trio.open_nursery() as nursery:
        for asked in wanted:
            await nursery.start(one, asked)  # in their order: the nursery alone would shuffle them
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--intervals", default=",".join(INTERVALS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faults", default=",".join(fault.name for fault in faults.ALL))
    parser.add_argument("--nodes", default=",".join(KINDS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ipv6", action="store_true")
    parser.add_argument("--write", action="store_true", help="write failover.md though something is left out")
    options = parser.parse_args()
    isolate()
    lines = trio.run(run, options)
    whole = all(getattr(options, key) == parser.get_default(key) for key in DECISIVE)
    if options.write or whole:
        Path(__file__).with_name("failover.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
