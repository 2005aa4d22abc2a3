"""How late adverts are while clients ask all that the MASTER can answer.

    python bench/lateness.py [--minutes 2] [--interval 100ms] [--nodes hapair,hapair-1] [--connections 50]

A pair in network namespaces; wrk asks the VIP for as long as it is told to, and the adverts are taken from
the wire in the client's namespace, with the kernel's time of arrival.  An advert is late by what it comes
later than an interval after the one before.  Transitions are all that any node logged: each is a false
failover.  The MASTER's CPU is that of all its processes: 100 % is one core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import re
import socket
import struct
import sys
import time
from pathlib import Path

import attrs
import trio

sys.path.insert(0, str(Path(__file__).parent.parent / "netns-lab"))

from lab.namespaces import isolate
from lab.nodes import Kind, Node, Settings, make_node
from lab.probers import AdvertWitness, VipSampler
from lab.processes import LabError, Machine, descendants
from lab.scenario import PRIORITIES, start_backends
from lab.topology import BACKENDS, BALANCERS, PAIR, Lab, open_lab

INTERVALS = {"1s": 1.0, "100ms": 0.1, "10ms": 0.01}
KINDS: tuple[Kind, ...] = ("hapair", "hapair-1", "hapair-2", "keepalived")
PEACE = 2.0
"""Seconds before wrk starts."""
P99_BAR, MAX_BAR = 5.0, 20.0
"""Milliseconds that an advert may be late at most, at 100 ms."""
_TICK = os.sysconf("SC_CLK_TCK")
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")


@attrs.frozen
class Found:
    arrivals: list[float]
    """Seconds, of the MASTER's adverts under load."""
    transitions: int
    requests: int
    cpu: float
    """Of the MASTER; 1.0 is one core."""


class Wire(AdvertWitness):
    """Keeps when every advert of one station came, by the kernel's clock."""

    def __init__(self, lab: Lab, source: str) -> None:
        super().__init__(lab["client"].net)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._wanted = socket.inet_aton(source)
        self.arrivals: list[float] = []

    async def run(self) -> None:
        with self._socket:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                packet, ancillary, _, _ = self._socket.recvmsg(2048, 64)
                if packet[self._source] != self._wanted:
                    continue
                for level, kind, value in ancillary:
                    if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                        seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                        self.arrivals.append(seconds + nanoseconds / 1e9)


def cpu(machine: Machine) -> float:
    """CPU seconds of all its processes."""
    total = 0
    for pid, _ in descendants(machine):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def transitions(nodes: list[Node]) -> int:
    return sum("Entering" in line for node in nodes for _, line in node.router().lines)


async def measure(kind: Kind, interval: float, seconds: float, connections: int) -> Found:
    """One pair under load."""
    async with open_lab(PAIR) as lab:
        await start_backends(lab)
        servers = {name: PAIR[name].address for name in BACKENDS}
        nodes = [
            make_node(
                kind,
                lab[name],
                Settings(name, PRIORITIES[name], interval, PAIR.vip, servers),
                lab.scratch,
            )
            for name in BALANCERS
        ]
        for node in nodes:
            await node.start()
        sampler = VipSampler({name: lab[name].net for name in BALANCERS}, PAIR.vip.ip, every=0.1)
        wire = Wire(lab, str(PAIR["lb-a"].address))
        lab.nursery.start_soon(sampler.run)
        lab.nursery.start_soon(wire.run)
        with trio.fail_after(20):
            while sampler.holders != {"lb-a"}:  # noqa: ASYNC110 - processes tell us nothing else
                await trio.sleep(0.05)
        await trio.sleep(PEACE)
        before, spent, began = transitions(nodes), cpu(lab["lb-a"]), time.monotonic()
        wire.arrivals.clear()
        words = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", f"http://{PAIR.vip.ip}/"]
        wrk = await lab["client"].spawn(words)
        await wrk.wait()
        said = re.search(r"(\d+) requests in", wrk.tail())
        if said is None:
            raise LabError(f"wrk has failed:\n{wrk.tail()}")
        used = (cpu(lab["lb-a"]) - spent) / (time.monotonic() - began)
        found = Found(list(wire.arrivals), transitions(nodes) - before, int(said[1]), used)
        lab.nursery.cancel_scope.cancel()
    return found


def lateness(arrivals: list[float], interval: float) -> list[float]:
    """Milliseconds, in order of size."""
    pairs = itertools.pairwise(arrivals)
    return sorted(max(0.0, after - before - interval) * 1000 for before, after in pairs)


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--interval", choices=INTERVALS, default="100ms")
    parser.add_argument("--nodes", default="hapair,hapair-1")
    parser.add_argument("--connections", type=int, default=50)
    options = parser.parse_args()
    isolate()
    interval, met = INTERVALS[options.interval], True
    print("| nodes | adverts | p50 ms | p99 ms | max ms | transitions | requests/s | CPU of the MASTER |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for kind in KINDS:
        if kind not in options.nodes.split(","):
            continue
        seconds = options.minutes * 60
        found = trio.run(measure, kind, interval, seconds, options.connections)
        late = lateness(found.arrivals, interval)
        middle, most, worst = (quantile(late, share) for share in (0.5, 0.99, 1.0))
        cells = (
            kind,
            str(len(found.arrivals)),
            *(f"{value:.2f}" for value in (middle, most, worst)),
            str(found.transitions),
            f"{found.requests / seconds:,.0f}",
            f"{found.cpu:.0%}",
        )
        print("| " + " | ".join(cells) + " |", flush=True)
        met = met and most <= P99_BAR and worst <= MAX_BAR and not found.transitions
    sys.exit(0 if met else f"missed: p99 {P99_BAR:.0f} ms, max {MAX_BAR:.0f} ms, no transition")


if __name__ == "__main__":
    main()
