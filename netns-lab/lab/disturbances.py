"""Everything else that happens to a pair: on the wire, to its addresses, links, processes and servers.

A disturbance begins, lasts and is over by itself (`Fault` is what stays until it is healed).
What it may cost is written beside it; the rest is always the same: afterwards the preferred
node is MASTER, alone, and served through.

Longer than most files: it is one list, and each entry stands behind what it does.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from lab.forgery import Forger, advert, garbage
from lab.probers import fetch
from lab.processes import LabError, descendants
from lab.scenario import Pair, start_backend
from lab.topology import BACKENDS, BALANCERS, INTERFACE, netlink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.processes import Machine

SPOKEN_TO = "web1"
"""The machine of the stranger on the segment."""
SLOW = "tbf", "rate", "2mbit", "burst", "5kb", "latency", "50ms"
A_WHILE = 0.8
"""Seconds; more than two master-down times at 100 ms adverts."""


@attrs.frozen
class Disturbance:
    name: str
    act: Callable[[Pair], Awaitable[None]]
    outage: float
    """The longest time without a success, in seconds."""
    two_holders: float
    """The VIP may be on both nodes for so many seconds."""
    logged: str = ""
    """Found in the log of one of the nodes."""
    anytime: bool = True
    """False: it presupposes a pair at peace, and is no part of a sequence."""


async def _run(machine: Machine, *words: str | os.PathLike[str]) -> None:
    process = await machine.spawn([str(word) for word in words])
    if await process.wait():
        raise LabError(f"{' '.join(map(str, words))} on {machine.name}:\n{process.tail()}")


# ---------------------------------------------------------------- the wire


def _filtered(name: str, *rules: str, seconds: float = A_WHILE) -> Callable[[Pair], Awaitable[None]]:
    async def act(pair: Pair) -> None:
        """Have nftables drop what comes in and matches."""
        machine = pair.lab[name]
        await _run(
            machine, "nft", "add table ip wire; add chain ip wire in { type filter hook input priority 0; }"
        )
        for rule in rules:
            await _run(machine, "nft", f"add rule ip wire in {rule} drop")
        await trio.sleep(seconds)
        await _run(machine, "nft", "delete table ip wire")

    return act


def _loss(percent: int) -> Callable[[Pair], Awaitable[None]]:
    rule = f"ip protocol 112 numgen random mod 100 < {percent}"

    async def act(pair: Pair) -> None:
        async with trio.open_nursery() as nursery:
            for name in BALANCERS:
                nursery.start_soon(_filtered(name, rule, seconds=1.5), pair)

    return act


def _speaking(*, as_name: str, priority: int, times: int) -> Callable[[Pair], Awaitable[None]]:
    async def act(pair: Pair) -> None:
        source, vip = _v4(pair.lab.topology[as_name].address), _v4(pair.vip)
        with Forger(pair.lab[SPOKEN_TO].net) as forger:
            for _ in range(times):
                forger.advertise(advert(source, vip, priority=priority))
                await trio.sleep(0.1)

    return act


async def _claiming(pair: Pair) -> None:
    """Again and again for a second and a half; the MASTER answers the first and one more."""
    with Forger(pair.lab[SPOKEN_TO].net) as forger:
        for _ in range(5):
            forger.claim(_v4(pair.vip))
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
    await _run(machine, "tc", "qdisc", "add", "dev", INTERFACE, "root", *SLOW)
    with suppress(LabError):  # its time is over before it has come through: that is what is tried
        with trio.move_on_after(2 * A_WHILE):
            await fetch(pair.lab["client"].net, pair.vip, "/bytes?n=200000")
    await _run(machine, "tc", "qdisc", "delete", "dev", INTERFACE, "root")


async def _noise(pair: Pair) -> None:
    chance, source = Random(1), _v4(pair.lab.topology[SPOKEN_TO].address)
    with Forger(pair.lab[SPOKEN_TO].net) as forger:
        for _ in range(40):
            for _ in range(50):
                forger.advertise(garbage(source, _v4(pair.vip), chance))
            await trio.sleep(0.02)


def _v4(address: object) -> IPv4Address:
    assert isinstance(address, IPv4Address)
    return address


# ----------------------------------------------------------- addresses, links


def _vip(
    name: str, command: str, ifname: str = INTERFACE, prefix: int = 24
) -> Callable[[Pair], Awaitable[None]]:
    async def act(pair: Pair) -> None:
        with netlink(pair.lab[name].net) as inside:
            index = inside.link_lookup(ifname=ifname)[0]
            inside.addr(command, index=index, address=str(pair.vip), prefixlen=prefix)
        await trio.sleep(0.3)

    return act


async def _carrier_flaps(pair: Pair) -> None:
    for _ in range(5):
        for up in (False, True):
            pair.lab.set_carrier("lb-a", up=up)
            await trio.sleep(0.05)


async def _renamed(pair: Pair) -> None:
    with netlink(pair.lab["lb-a"].net) as inside:
        index = inside.link_lookup(ifname=INTERFACE)[0]
        for name in ("eth9", INTERFACE):
            inside.link("set", index=index, state="down")
            inside.link("set", index=index, ifname=name)
            inside.link("set", index=index, state="up")
            await trio.sleep(A_WHILE)


async def _recreated(pair: Pair) -> None:
    pair.lab.unplug("lb-a")
    await trio.sleep(A_WHILE)
    pair.lab.plug("lb-a")


async def _default_route(pair: Pair) -> None:
    with netlink(pair.lab["lb-a"].net) as inside:
        gateway = str(pair.lab.topology["client"].address)
        for command in ("add", "del"):
            inside.route(command, dst="default", gateway=gateway)
            await trio.sleep(0.2)


# ---------------------------------------------------------- processes, servers


def _guards(pair: Pair) -> Sequence[int]:
    """The guard's pid on lb-a, as we see it."""
    found = [
        pid for pid, words in descendants(pair.lab["lb-a"]) if any("guard_child" in word for word in words)
    ]
    if not found:
        raise LabError("lb-a has no guard")
    return found


async def _guard_frozen(pair: Pair) -> None:
    guards = _guards(pair)
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in guards:
            os.kill(pid, number)
        await trio.sleep(A_WHILE)
    if _guards(pair) != guards:
        raise LabError("another guard, although this one is well again")


async def _guard_frozen_for_good(pair: Pair) -> None:
    before = _guards(pair)
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    await pair.until("the guard is another", lambda: not set(_guards_or_none(pair)) & set(before), 4)
    await pair.until("there is a guard", lambda: bool(_guards_or_none(pair)), 4)


async def _guard_killed(pair: Pair) -> None:
    before = _guards(pair)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await pair.until("there is another guard", lambda: bool(set(_guards_or_none(pair)) - set(before)), 5)


def _guards_or_none(pair: Pair) -> Sequence[int]:
    try:
        return _guards(pair)
    except LabError:
        return []


async def _no_descriptors(pair: Pair) -> None:
    """No further connection can be accepted; VRRP has all its sockets already."""
    limits: dict[int, tuple[int, int]] = {}
    for pid, words in descendants(pair.lab["lb-a"]):
        if "hapair" in words:
            soft, hard = limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, _highest_descriptor(pid) + 1), hard))
    await trio.sleep(A_WHILE)
    for pid, before in limits.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _highest_descriptor(pid: int) -> int:
    return max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


async def _log_socket(pair: Pair) -> None:
    """Nobody reads the log, then there is nobody."""
    path = pair.lab.scratch / "log.sock"
    router = pair.nodes["lb-a"].router()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        log.bind(str(path))
        with suppress(BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            while True:
                filler.sendto(b"full", str(path))
        with _edited(pair, 'target = "stdout"', f'target = "{path}"'):
            router.signal(signal.SIGHUP)
            await trio.sleep(A_WHILE)
    path.unlink()
    await trio.sleep(A_WHILE)
    router.signal(signal.SIGHUP)
    await trio.sleep(A_WHILE)


async def _hiccup(pair: Pair) -> None:
    """Shorter than the guard's patience: nobody may notice."""
    router = pair.nodes["lb-a"].router()
    for _ in range(5):
        router.signal_group(signal.SIGSTOP)
        await trio.sleep(0.05)
        router.signal_group(signal.SIGCONT)
        await trio.sleep(0.15)


async def _both_at_once(pair: Pair) -> None:
    """The power comes back in both racks at the same time."""
    for node in pair.nodes.values():
        node.machine.kill_everything(signal.SIGKILL)
    async with trio.open_nursery() as starting:
        for node in pair.nodes.values():
            starting.start_soon(node.start)


async def _hog(pair: Pair) -> None:
    words = ["python3", "-c", "while True: pass"]
    hogs = [await pair.lab["lb-a"].spawn(words) for _ in range(2)]
    await trio.sleep(1.5)
    for hog in hogs:
        hog.signal(signal.SIGKILL)
        await hog.wait()


async def _bad_reload(pair: Pair) -> None:
    with _edited(pair, "advert_interval", "advert_intervall"):
        pair.nodes["lb-a"].router().signal(signal.SIGHUP)
        await pair.nodes["lb-a"].router().wait_line("did you mean", within=5)


async def _reload_storm(pair: Pair) -> None:
    for _ in range(20):
        pair.nodes["lb-a"].router().signal(signal.SIGHUP)
        await trio.sleep(0.03)


async def _priority_by_reload(pair: Pair) -> None:
    router = pair.nodes["lb-a"].router()
    with _edited(pair, "priority = 150", "priority = 50"):
        router.signal(signal.SIGHUP)
        await pair.until_master(pair.nodes["lb-b"], within=5)
    router.signal(signal.SIGHUP)


@contextmanager
def _edited(pair: Pair, old: str, new: str) -> Iterator[None]:
    """lb-a's file, with something else in it."""
    file = pair.lab.scratch / "lb-a.toml"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    try:
        yield
    finally:
        file.write_text(before)


async def _server_crashes(pair: Pair) -> None:
    pair.lab["web1"].kill_everything(signal.SIGKILL)
    await trio.sleep(0.5)
    await start_backend(pair.lab, "web1")


async def _server_hangs(pair: Pair) -> None:
    pair.lab["web1"].kill_everything(signal.SIGSTOP)
    await trio.sleep(1.0)
    pair.lab["web1"].kill_everything(signal.SIGCONT)


async def _no_server(pair: Pair) -> None:
    for name in BACKENDS:
        pair.lab[name].kill_everything(signal.SIGKILL)
    await trio.sleep(1.5)
    for name in BACKENDS:
        await start_backend(pair.lab, name)


NOTHING, MOMENT, BRIEF = 0.15, 0.3, 0.1
"""Seconds: an outage that is none on a busy machine, one of a move, and holding the VIP both."""
DOWN = 0.7
"""Seconds: an outage of a master-down time and something."""
ADVERTS_LOST = A_WHILE + 0.4
"""Seconds: as long as the nodes do not hear each other, both hold it, as they must."""

WIRE = (
    Disturbance("loses 10 % of the adverts", _loss(10), MOMENT, 0.4),
    Disturbance("loses 30 % of the adverts", _loss(30), MOMENT, 1.5),
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
    Disturbance("a stranger claims the VIP", _claiming, 1.6, 0.0, "announcing it again"),
    Disturbance("adverts are replayed", _replayed, NOTHING, 0.0),
    Disturbance("a slow link", _slow, 2 * MOMENT, 0.0, anytime=False),
    Disturbance("garbage instead of adverts", _noise, NOTHING, 0.0, "dropped a packet from"),
)
PLACES = (
    Disturbance("the VIP is deleted by hand", _vip("lb-a", "del"), MOMENT, 0.0, "putting it back"),
    Disturbance("the VIP is added on the BACKUP", _vip("lb-b", "add"), MOMENT, 0.3, "removing it"),
    Disturbance(
        "the VIP is added on the BACKUP's loopback", _vip("lb-b", "add", "lo", 32), MOMENT, 0.3, "removing it"
    ),
    Disturbance("the default route goes", _default_route, NOTHING, 0.0),
    Disturbance("the carrier flaps", _carrier_flaps, 0.5 + DOWN, BRIEF),
    Disturbance("the interface is renamed", _renamed, DOWN, BRIEF, anytime=False),
    Disturbance("the interface is deleted and made again", _recreated, DOWN, BRIEF, anytime=False),
)
PROCESSES = (
    Disturbance("the guard is frozen", _guard_frozen, NOTHING, 0.0, anytime=False),
    Disturbance(
        "the guard is frozen for good", _guard_frozen_for_good, NOTHING, 0.0, "answers nothing", anytime=False
    ),
    Disturbance("the guard is killed", _guard_killed, NOTHING, 0.0, anytime=False),
    Disturbance("no descriptor is left", _no_descriptors, A_WHILE + 1.5, 0.0, anytime=False),
    Disturbance("the log socket is full, then gone", _log_socket, NOTHING, 0.0, anytime=False),
    Disturbance("the node hiccups", _hiccup, MOMENT, BRIEF),
    Disturbance("a bad reload", _bad_reload, NOTHING, 0.0),
    Disturbance("a storm of reloads", _reload_storm, NOTHING, 0.0),
    Disturbance("another priority by reload", _priority_by_reload, MOMENT, BRIEF, anytime=False),
    Disturbance("something eats the CPU", _hog, DOWN, 0.3),
    Disturbance("both nodes lose power", _both_at_once, 8.0, 2.3),
)
SERVERS = (
    Disturbance("a server crashes", _server_crashes, MOMENT, 0.0),
    Disturbance("a server hangs", _server_hangs, MOMENT, 0.0),
    Disturbance("all servers are gone", _no_server, 4.0, 0.3),
)
