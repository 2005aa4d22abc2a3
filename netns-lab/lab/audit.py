"""Whether a pair is as it should be when nobody does anything to it: asked from outside.

Outside means the kernel and the client, and hapair's own word only where it is held against theirs.
"""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import trio

from lab import verdicts
from lab.nodes import HapairNode
from lab.probers import fetch
from lab.processes import LabError, descendants
from lab.scenario import Pair
from lab.topology import INTERFACE, netlink

BODY = 300_000
"""Bytes."""
SPARE = {"descriptors": 160, "threads": 4, "tasks": 12, "processes": 0, "KiB": 24 * 1024}
"""What a node may hold more than at the start: it is busy at either moment, and pools and caches fill."""
CALM = 6.0
"""Seconds until what a disturbance has opened is closed again."""

Held = dict[str, int]


class Auditor:
    """Knows what the pair held before anything was done to it."""

    def __init__(self, pair: Pair, before: dict[str, Held]) -> None:
        self._pair = pair
        self._before = before
        self._since = time.monotonic()
        """When it looked last: nothing is held against a pair twice."""

    @classmethod
    async def of(cls, pair: Pair) -> Auditor:
        """For a pair at peace."""
        return cls(pair, {node.settings.name: await held(node) for node in _hapairs(pair)})

    async def audit(self) -> list[str]:
        """What is wrong: who answers ARP, bodies, exceptions, what is held, what is said."""
        pair = self._pair
        problems = []
        answers = await pair.who_has_the_vip()
        if len(answers) != 1:
            problems.append(f"{sorted(answers)} answer ARP")
        since, self._since = self._since, time.monotonic()
        streams = [stream for stream in pair.streamer.streams if stream.end > since]
        problems += sorted({*verdicts.wrong(pair.prober.recent(since)), *verdicts.wrong(streams)})
        status, fields, body = await fetch(pair.lab["client"].net, pair.vip, f"/bytes?n={BODY}")
        if (status, len(body), f"{zlib.crc32(body):08x}") != (200, BODY, fields.get("x-body-crc32")):
            problems.append("a wrong body")
        for node in _hapairs(pair):
            if node.said("Traceback", since):
                problems.append(f"an exception on {node.settings.name}")
            problems += [f"{node.settings.name}: {one}" for one in await contradictions(pair, node)]
            problems += await self._more_than_before(node)
        return problems

    async def _more_than_before(self, node: HapairNode) -> list[str]:
        before = self._before[node.settings.name]
        deadline = trio.current_time() + CALM
        while True:
            now = await held(node)
            more = [
                f"{node.settings.name} holds {now[what]} {what}, and {before[what]} before"
                for what, spare in SPARE.items()
                if now[what] > before[what] + spare
            ]
            if not more or trio.current_time() > deadline:
                return more
            await trio.sleep(0.2)


def _hapairs(pair: Pair) -> list[HapairNode]:
    return [node for node in pair.nodes.values() if isinstance(node, HapairNode)]


async def held(node: HapairNode) -> Held:
    """By the kernel's word for every process of the node; tasks by its own."""
    total: Counter[str] = Counter()
    for pid, _ in descendants(node.machine):
        try:
            status = Path(f"/proc/{pid}/status").read_text()  # noqa: ASYNC240 -- procfs does not block
            total["descriptors"] += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())  # noqa: ASYNC240
        except OSError:
            continue  # it has just ended
        total["processes"] += 1
        total["threads"] += _number(status, "Threads")
        total["KiB"] += _number(status, "VmRSS")
    total["tasks"] = _number(await ask(node, "show info"), "Tasks")
    return dict(total)


def _number(text: str, key: str) -> int:
    return int((text.partition(f"{key}:")[2].split() or ["0"])[0])


async def contradictions(pair: Pair, node: HapairNode) -> list[str]:
    """Where the daemon's state is not the kernel's; again and again, for they are not read at one instant."""
    found: list[str] = []
    for _ in range(5):
        said = json.loads(await ask(node, "show status"))
        found = [one for router in said["vrrp"] for one in _of_router(pair, node, router)]
        if not found:
            break
        await trio.sleep(0.1)
    return found


def _of_router(pair: Pair, node: HapairNode, router: dict[str, Any]) -> list[str]:
    name, vip = router["name"], str(pair.vip)
    master = router["state"] == "MASTER"
    with netlink(node.machine.net) as inside:
        index = inside.link_lookup(ifname=INTERFACE)[0]
        addresses = {message.get_attr("IFA_ADDRESS") for message in inside.get_addr(index=index)}
    opened = any(is_open for at, is_open in router["gates"].items() if at.split("/")[0] == vip)
    facts = {
        "the address is on the interface": vip in addresses,
        "the gate is open": opened,
        "the kernel listens on it": _listens(node, pair.vip.packed, 80),
    }
    return [
        f"{name} is {router['state']}, and {what}: {'yes' if fact else 'no'}"
        for what, fact in facts.items()
        if fact != master
    ]


def _listens(node: HapairNode, address: bytes, port: int) -> bool:
    """Whether a socket of the machine is in state LISTEN there (proc_net_tcp)."""
    words = [address[at : at + 4][::-1] for at in range(0, len(address), 4)]  # host order: little-endian
    local = "".join(word.hex() for word in words).upper() + f":{port:04X}"
    table = Path(f"/proc/{node.machine.init_pid}/net/{'tcp' if len(address) == 4 else 'tcp6'}").read_text()
    return any(line.split()[1] == local and line.split()[3] == "0A" for line in table.splitlines()[1:])


async def ask(node: HapairNode, command: str) -> str:
    """The runtime socket's answer.

    Raises:
        LabError: none within 5 s.
    """
    answer = b""
    with trio.move_on_after(5):
        try:
            async with await trio.open_unix_socket(str(node.socket)) as stream:
                await stream.send_all(command.encode() + b"\n")
                async for part in stream:
                    answer += part
        except (OSError, trio.BrokenResourceError) as error:
            raise LabError(f"{node.settings.name} cannot be asked: {error}") from error
        return answer.decode()
    raise LabError(f"{node.settings.name} does not answer {command!r}")
