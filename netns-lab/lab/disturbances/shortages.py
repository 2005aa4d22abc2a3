"""What a node may run out of: descriptors, a log, disk, memory, time on the CPU."""

from __future__ import annotations

import resource
import signal
import socket
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from lab.disturbances.kinds import A_WHILE, BRIEF, DOWN, MOMENT, NOTHING, Disturbance, edited, run
from lab.nodes import HapairNode
from lab.processes import LabError, descendants
from lab.scenario import start_backend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.scenario import Pair

DISK = 64
"""KiB: a tmpfs of the machine's own, of two files and no more."""
EATEN = 512
"""MiB that the hog may have at most; other people use this computer too."""
ENDS = 13.0
"""Seconds: ten until the kernel ends what hangs, and then some."""
_GLUTTON = f"""
import mmap, resource
resource.setrlimit(resource.RLIMIT_AS, ({EATEN} << 20, {EATEN} << 20))
while True:
    eaten = mmap.mmap(-1, {EATEN - 128} << 20)
    for page in range(0, len(eaten), 4096):
        eaten[page] = 1
    eaten.close()
"""


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
        with edited(pair, 'target = "stdout"', f'target = "{path}"'):
            router.signal(signal.SIGHUP)
            await trio.sleep(A_WHILE)
    path.unlink()
    await trio.sleep(A_WHILE)
    router.signal(signal.SIGHUP)
    await trio.sleep(A_WHILE)


async def _hog(pair: Pair) -> None:
    words = ["python3", "-c", "while True: pass"]
    hogs = [await pair.lab["lb-a"].spawn(words) for _ in range(2)]
    await trio.sleep(1.5)
    for hog in hogs:
        hog.signal(signal.SIGKILL)
        await hog.wait()


def _mapped(pid: int) -> int:
    """Bytes of its address space."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


async def _memory_hog(pair: Pair) -> None:
    """Half a GiB, again and again: the kernel has pages to find and to clear all the time."""
    hog = await pair.lab["lb-a"].spawn(["python3", "-c", _GLUTTON], name="glutton")
    await trio.sleep(1.5)
    hog.signal(signal.SIGKILL)
    await hog.wait()


async def _no_memory(pair: Pair) -> None:
    """The daemon itself gets no more from the kernel: it serves on, or ends as a whole."""
    node = pair.nodes["lb-a"]
    limits: dict[int, tuple[int, int]] = {}
    for pid, words in descendants(node.machine):
        if "hapair" in words:
            before = limits[pid] = resource.prlimit(pid, resource.RLIMIT_AS)
            resource.prlimit(pid, resource.RLIMIT_AS, (_mapped(pid) + (1 << 16), before[1]))
    async with _hungry_clients(pair, 500):
        await trio.sleep(2 * A_WHILE)
    for pid, before in limits.items():
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, before)
    # It may be on its way out; however it hangs there, it must arrive.
    if "lb-a" not in pair.sampler.holders:
        with trio.move_on_after(ENDS):
            await node.router().ended.wait()
        if node.speaks:
            raise LabError(f"it has not ended within {ENDS:.0f} s\n{pair.log()}")
        await node.start()


@asynccontextmanager
async def _hungry_clients(pair: Pair, count: int) -> AsyncIterator[None]:
    """So many requests whose heads do not end: each wants some KiB."""
    begun = b"GET / HTTP/1.1\r\nHost: hungry\r\nX-Filler: " + b"f" * 12_000
    with ExitStack() as connections:
        clients = []
        for _ in range(count):
            with pair.lab["client"].net.entered():
                clients.append(connections.enter_context(socket.socket()))
            clients[-1].setblocking(False)
            with suppress(BlockingIOError):
                clients[-1].connect((str(pair.vip), 80))
        await trio.sleep(0.2)
        for client in clients:
            with suppress(OSError):  # it is not served any more, or not yet
                client.send(begun)
        yield


async def _disk_full(pair: Pair) -> None:
    """The file system of the log and of the servers' state has no byte left, also when the node ends."""
    node, disk = pair.nodes["lb-a"], pair.lab.scratch / "disk"
    disk.mkdir(exist_ok=True)
    await run(node.machine, "mount", "-t", "tmpfs", "-o", f"size={DISK}k", "tmpfs", disk)
    assert isinstance(node, HapairNode)
    node.more = f'state_file = "{disk}/state"'
    await node.start()
    await pair.until_master(node, within=8)
    await run(node.machine, "sh", "-c", 'cat /dev/zero >"$0/filler" 2>/dev/null; true', disk)
    pair.lab["web1"].kill_everything(signal.SIGKILL)  # something to write down
    await node.router().wait_line("state cannot be written", within=8)
    with edited(pair, 'target = "stdout"', f'target = "file:{disk}/log"'):
        node.router().signal(signal.SIGHUP)
        await start_backend(pair.lab, "web1")
        await trio.sleep(2 * A_WHILE)
    node.router().signal(signal.SIGHUP)
    await trio.sleep(A_WHILE)
    await node.stop()
    node.more = ""
    await node.start()
    await run(node.machine, "umount", disk)


SHORTAGES = (
    Disturbance(
        "no descriptor is left", _no_descriptors, A_WHILE + 1.5, BRIEF, anytime=False, hapairs_own=True
    ),
    Disturbance(
        "the log socket is full, then gone", _log_socket, NOTHING, 0.0, anytime=False, hapairs_own=True
    ),
    Disturbance("the disk is full", _disk_full, MOMENT, BRIEF, anytime=False, hapairs_own=True),
    Disturbance("no memory is left", _no_memory, DOWN, 0.3, anytime=False, hapairs_own=True),
    Disturbance("something eats half a GiB", _memory_hog, DOWN, 0.3),
    Disturbance("something eats the CPU", _hog, DOWN, 0.3),
)
