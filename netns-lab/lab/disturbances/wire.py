"""What happens on the wire: loss, partitions of every shape, strangers."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import trio

from lab.disturbances.kinds import (
    A_WHILE,
    ADVERTS_LOST,
    BRIEF,
    DOWN,
    MOMENT,
    NOTHING,
    SPOKEN_TO,
    Act,
    Disturbance,
    run,
    v4,
)
from lab.forgery import Forger, advert, garbage
from lab.probers import fetch
from lab.processes import LabError
from lab.topology import BALANCERS, INTERFACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.scenario import Pair

SLOW = "tbf", "rate", "2mbit", "burst", "5kb", "latency", "50ms"
DEAF = 3.5
"""Seconds; two checks that time out, and then some."""


def _filtered(name: str, *rules: str, seconds: float = A_WHILE) -> Act:
    async def act(pair: Pair) -> None:
        """Have nftables drop what comes in and matches."""
        machine = pair.lab[name]
        await run(
            machine, "nft", "add table ip wire; add chain ip wire in { type filter hook input priority 0; }"
        )
        for rule in rules:
            await run(machine, "nft", f"add rule ip wire in {rule} drop")
        await trio.sleep(seconds)
        await run(machine, "nft", "delete table ip wire")

    return act


def _loss(percent: int) -> Act:
    rule = f"ip protocol 112 numgen random mod 100 < {percent}"

    async def act(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            for name in BALANCERS:
                nursery.start_soon(_filtered(name, rule, seconds=1.5), pair)

    return act


def _speaking(*, as_name: str, priority: int, times: int) -> Act:
    async def act(pair: Pair) -> None:
        source, vip = v4(pair.lab.topology[as_name].address), v4(pair.vip)
        with Forger(pair.lab[SPOKEN_TO].net) as forger:
            for _ in range(times):
                forger.advertise(advert(source, vip, priority=priority))
                await trio.sleep(0.1)

    return act


async def _claiming(pair: Pair) -> None:
    """Again and again for a second and a half; the MASTER answers the first and one more."""
    with Forger(pair.lab[SPOKEN_TO].net) as forger:
        for _ in range(5):
            forger.claim(v4(pair.vip))
            await trio.sleep(0.3)


async def _replayed(pair: Pair) -> None:
    """Every advert of the MASTER comes a second time, and many times more."""
    with Forger(pair.lab[SPOKEN_TO].net) as forger:
        heard = [await forger.overhear() for _ in range(3)]
        for _ in range(20):
            for packet in heard:
                forger.advertise(packet)
            await trio.sleep(0.05)


async def _slow(pair: Pair) -> None:
    """2 Mbit/s, and a queue in which an advert waits for 50 ms, on the MASTER's way out."""
    machine = pair.lab["lb-a"]
    await run(machine, "tc", "qdisc", "add", "dev", INTERFACE, "root", *SLOW)
    with suppress(LabError):  # its time is over before it has come through: that is what is tried
        with trio.move_on_after(2 * A_WHILE):
            await fetch(pair.lab["client"].net, pair.vip, "/bytes?n=200000")
    await run(machine, "tc", "qdisc", "delete", "dev", INTERFACE, "root")


async def _noise(pair: Pair) -> None:
    chance, source = Random(1), v4(pair.lab.topology[SPOKEN_TO].address)
    with Forger(pair.lab[SPOKEN_TO].net) as forger:
        for _ in range(40):
            for _ in range(50):
                forger.advertise(garbage(source, v4(pair.vip), chance))
            await trio.sleep(0.02)


def _loss_of_everything(percent: int) -> Act:
    """At the ports of both nodes, in both directions."""
    rules = [
        f'{way} "{name}" numgen random mod 100 < {percent} drop'
        for name in BALANCERS
        for way in ("iifname", "oifname")
    ]

    async def act(pair: Pair) -> None:
        await _at_the_switch(pair, rules, 1.5)

    return act


def _port(rule: str, seconds: float = A_WHILE) -> Act:
    """Have the switch drop the frames of one direction at one port."""

    async def act(pair: Pair) -> None:
        await _at_the_switch(pair, [f"{rule} drop"], seconds)

    return act


async def _at_the_switch(pair: Pair, rules: Sequence[str], seconds: float) -> None:
    switch = pair.lab.switch
    text = "; ".join(f"add rule bridge wire through {rule}" for rule in rules)
    chain = "{ type filter hook forward priority 0; }"
    await run(switch, "nft", f"add table bridge wire; add chain bridge wire through {chain}; {text}")
    await trio.sleep(seconds)
    await run(switch, "nft", "delete table bridge wire")


async def _unplugged(pair: Pair) -> None:
    """The switch forgets the MASTER's port, and it keeps its carrier."""
    pair.lab.set_forwarding("lb-a", on=False)
    await trio.sleep(A_WHILE)
    pair.lab.set_forwarding("lb-a", on=True)


async def _isolated(pair: Pair) -> None:
    """Everybody hears both nodes, and they do not hear each other."""
    pair.lab.set_isolated(*BALANCERS, on=True)
    await trio.sleep(A_WHILE)
    pair.lab.set_isolated(*BALANCERS, on=False)


WIRE = (
    Disturbance("loses 10 % of the adverts", _loss(10), MOMENT, 0.4),
    Disturbance("loses 30 % of the adverts", _loss(30), MOMENT, 1.5),
    Disturbance("loses 60 % of the adverts", _loss(60), MOMENT, 1.9),
    Disturbance("loses 20 % of everything", _loss_of_everything(20), DOWN, 1.5),
    Disturbance("nobody hears the MASTER", _port('iifname "lb-a"'), DOWN, ADVERTS_LOST),
    # It speaks on, and is MASTER, until its checks have found out that no server answers.
    Disturbance("the MASTER hears nobody", _port('oifname "lb-a"', DEAF), DEAF + 1, DEAF, anytime=False),
    Disturbance("the MASTER is cut off", _unplugged, DOWN, ADVERTS_LOST),
    Disturbance("the nodes do not hear each other", _isolated, MOMENT, ADVERTS_LOST),
    Disturbance("the BACKUP is deaf", _filtered("lb-b", "ip protocol 112"), MOMENT, ADVERTS_LOST),
    Disturbance("the MASTER is deaf", _filtered("lb-a", "ip protocol 112"), NOTHING, 0.0),
    Disturbance(
        "a stranger is MASTER with priority 255",
        _speaking(as_name=SPOKEN_TO, priority=255, times=5),
        0.5 + DOWN,
        BRIEF,
        "claims to own the addresses",
    ),
    Disturbance("a stranger says goodbye", _speaking(as_name=SPOKEN_TO, priority=0, times=5), MOMENT, BRIEF),
    Disturbance(
        "the MASTER's goodbye is forged", _speaking(as_name="lb-a", priority=0, times=3), MOMENT, 0.3
    ),
    # Clients believe the last whom they have heard: each claim costs until the next defence.
    Disturbance("a stranger claims the VIP", _claiming, 2.3, 0.0, "announcing it again"),
    Disturbance("adverts are replayed", _replayed, NOTHING, 0.0),
    # Adverts wait and are lost in the same queue as everything else: the BACKUP may believe itself alone.
    Disturbance("a slow link", _slow, 2 * MOMENT, BRIEF, anytime=False),
    Disturbance("garbage instead of adverts", _noise, NOTHING, 0.0, "dropped a packet from"),
)
