"""Ten minutes of mixed traffic and of faults: does a node keep anything that it should have let go?

    python bench/soak.py [--minutes 10] [--seed 1]

One `hapair run` on loopback between clients (`soak_traffic`) and two servers (`soak_server`) that are killed
and stopped; log sinks stall and vanish; reloads change and break the configuration.  Afterwards

- memory has grown by less than 1 MiB (from the first rounds of faults on; the median of each round);
- descriptors, tasks and threads are as many as before the traffic, give or take two;
- no body was wrong in either direction, and most requests were answered with 200.

The exit code is 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import trio
from soak_traffic import Traffic
from soak_world import Node, Servers, Sinks, ports

GROWTH = 1024
"""KiB of memory that a run may cost."""
SPARE = 2
"""Descriptors, tasks or threads that may be more (or fewer) at one moment than at another."""
CALM = 20.0
"""Seconds at most until everything has ended that the traffic left."""
WARM_UP = 0.25
"""The part of the run whose memory does not count: caches and pools fill."""
ANSWERED = 0.7
"""The least part of honest requests whose answer is 200; a tenth asks for a fault."""


async def round_of_faults(node: Node, servers: Servers, sinks: Sinks, chance: random.Random) -> None:
    """Each fault once, in any order."""
    faults: list[Callable[[], Awaitable[None]]] = [
        lambda: servers.kill("a"),
        lambda: servers.kill("b"),
        lambda: servers.hang("a"),
        lambda: servers.hang("b"),
        sinks.stall,
        sinks.vanish,
        lambda: node.reload(extra=True),
        node.break_configuration,
        lambda: node.reload(extra=False),
    ]
    chance.shuffle(faults)
    for fault in faults:
        await fault()
        await trio.sleep(0.3)
    await node.reload(extra=False)


async def sample(node: Node, samples: list[tuple[float, int]]) -> None:
    """Memory, each half second."""
    while True:
        samples.append((trio.current_time(), node.memory()))
        await trio.sleep(0.5)


async def calm(node: Node, before: dict[str, int]) -> dict[str, int]:
    """What it holds when the traffic has ended, as soon as that is no more than before."""
    held = before
    with trio.move_on_after(CALM):
        while True:
            await trio.sleep(0.5)
            held = await node.held()
            if all(abs(held[key] - before[key]) <= SPARE for key in before):
                break
    return held


@contextlib.asynccontextmanager
async def traffic_and_sampling(
    node: Node, clients: Traffic, samples: list[tuple[float, int]]
) -> AsyncIterator[None]:
    """While the block runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clients.run)
        nursery.start_soon(sample, node, samples)
        yield
        nursery.cancel_scope.cancel()


async def soak(minutes: float, seed: int, folder: Path) -> list[str]:
    """Run it; returns what is wrong."""
    free = ports()
    chance = random.Random(seed)
    report = folder / "servers.log"
    samples: list[tuple[float, int]] = []
    edges: list[float] = []
    with contextlib.ExitStack() as stack:
        sinks = Sinks(folder)
        stack.callback(sinks.close)
        names = {name: (free[f"http_{name}"], free[f"echo_{name}"]) for name in "ab"}
        servers = Servers(names, report)
        stack.callback(servers.close)
        node = Node(folder, {**free, "syslog": sinks.port})
        stack.callback(node.close)
        clients = Traffic(free["http"], free["stream"], seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sinks.drain)
            await node.ready()
            await trio.sleep(2)
            await node.reload(extra=False)
            await trio.sleep(1)
            before = await node.held()
            start = trio.current_time()
            async with traffic_and_sampling(node, clients, samples):
                while trio.current_time() < start + minutes * 60:
                    edges.append(trio.current_time())
                    await round_of_faults(node, servers, sinks, chance)
                    print(f"{trio.current_time() - start:5.0f} s: {node.memory()} KiB", flush=True)
            after = await calm(node, before)
            connections = (await node.info())["CurrConns"]
            code = node.close()
            nursery.cancel_scope.cancel()
    problems = [f"{key}: {before[key]} before, {after[key]} after" for key in before]
    print(*problems, f"connections left: {connections}", f"log reads: {sinks.lines}", sep="\n")
    for outcome, count in sorted(clients.outcomes.items()):
        print(f"{count:8} {outcome}")
    problems = [
        problem
        for key, problem in zip(before, problems, strict=True)
        if abs(after[key] - before[key]) > SPARE
    ]
    problems += (
        grown(samples, edges) + clients.wrong[:10] + report.read_text().replace("ready\n", "").splitlines()
    )
    answers = {key: count for key, count in clients.outcomes.items() if key.startswith("answers ")}
    if clients.outcomes["answers 200"] < ANSWERED * sum(answers.values()) or not answers:
        problems.append(f"too few were answered with 200: {answers}")
    if connections != "0":
        problems.append(f"{connections} client connections are left")
    if code:
        problems.append(f"exit code {code}")
    if "Traceback" in node.text():
        problems.append("an exception:\n" + node.text().partition("Traceback")[2][:3000])
    return problems


def grown(samples: list[tuple[float, int]], edges: list[float]) -> list[str]:
    """What is wrong with the memory of the rounds that count."""
    begun, ended = samples[0][0], samples[-1][0]
    edges = [edge for edge in edges if edge >= begun + WARM_UP * (ended - begun)]
    if len(edges) < 2:
        return ["too short a run to tell whether memory grows"]
    medians = [
        statistics.median([size for at, size in samples if low <= at < high])
        for low, high in zip(edges, [*edges[1:], ended], strict=True)
    ]
    line = statistics.linear_regression(range(len(medians)), medians)
    growth = line.slope * (len(medians) - 1)
    seconds = ended - edges[0]
    print(f"memory: {medians[0]:.0f} KiB, {growth:+.0f} KiB in {seconds:.0f} s ({len(medians)} rounds)")
    allowed = GROWTH * max(1.0, seconds / 600)
    return [f"memory grew by {growth:.0f} KiB in {seconds:.0f} s"] if growth > allowed else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="hapair-soak-") as folder:
        problems = trio.run(soak, options.minutes, options.seed, Path(folder))
    for problem in problems:
        print(f"WRONG: {problem}")
    print("nothing is left behind" if not problems else f"{len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    raise SystemExit(main())
