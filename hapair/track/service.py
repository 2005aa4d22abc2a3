"""A task for each tracked script, file, process and interface; whoever wants to know is told of changes.

Control plane: a handful of trackers, one look each second or so.  Files and /proc
are read in threads: a file may be on a server that hangs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from hapair.config.model import TrackFile, TrackProcess, TrackRoute, TrackScript
from hapair.health import rise_fall
from hapair.kernel.links import Links
from hapair.track.findings import Found, file_says, ipv4_routes, ipv6_routes, processes_say, routes_say

logger = logging.getLogger("hapair.track")

Key = tuple[str, str]
"""Kind and name."""
Watched = TrackScript | TrackFile | TrackProcess | TrackRoute

RunCommand = Callable[[tuple[str, ...], float, str | None], Awaitable[str]]
"""Words, seconds that it may take, the account to run it as (None: the usual one) -> what went wrong."""

UNKNOWN = Found(ok=False, why="is not known")
MAX_FILE = 64
"""Bytes of a tracked file that are looked at."""
MAX_LOOKS = 8
"""Threads that read files and /proc at once."""


@attrs.frozen
class _Watch:
    what: Watched | None
    """None for an interface."""
    scope: trio.CancelScope


class TrackerService:
    """Watches what the routers track."""

    def __init__(
        self,
        report: Callable[[str, str, Found], None],
        run_command: RunCommand,
        proc: Path = Path("/proc"),
    ) -> None:
        """`report` is told the first finding and every change."""
        self._report = report
        self._run_command = run_command
        self._proc = proc
        self._wanted: dict[Key, Watched | None] = {}
        self._watches: dict[Key, _Watch] = {}
        self._known: dict[Key, Found] = {}
        self._links: Links | None = None
        self._nursery: trio.Nursery | None = None
        self._threads = trio.CapacityLimiter(MAX_LOOKS)

    def replace(self, trackers: Mapping[Key, Watched], interfaces: Collection[str]) -> None:
        """Watch these from now on; those that stay as they are go on undisturbed."""
        self._wanted = {**trackers, **{("interface", name): None for name in interfaces}}
        for key, watch in list(self._watches.items()):
            if key not in self._wanted or self._wanted[key] != watch.what:
                watch.scope.cancel()
                del self._watches[key]
        self._known = {key: found for key, found in self._known.items() if key in self._watches}
        if self._nursery is not None:
            self._start()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Watch until cancelled."""
        self._links = Links()
        try:
            async with trio.open_nursery() as self._nursery:
                await self._nursery.start(self._links.run)
                self._start()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._watches.clear()
            self._links.close()
        raise AssertionError("a nursery that sleeps for ever has ended")

    def _start(self) -> None:
        assert self._nursery is not None
        for key, what in self._wanted.items():
            if key not in self._watches:
                self._watches[key] = _Watch(what, trio.CancelScope())
                self._nursery.start_soon(self._watch, key, self._watches[key])

    async def _watch(self, key: Key, watch: _Watch) -> None:
        with watch.scope:
            match watch.what:
                case None:
                    await self._interface(key)
                case TrackScript() as script:
                    await self._script(key, script)
                case TrackFile() as file:
                    look = partial(_read, Path(file.file))
                    await self._look(key, file.interval, Found(ok=True, value=0), look)
                case TrackProcess() as process:
                    await self._look(key, process.interval, UNKNOWN, partial(_processes, self._proc, process))
                case TrackRoute() as route:
                    await self._look(key, route.interval, UNKNOWN, partial(_routes, self._proc, route))

    def _found(self, key: Key, found: Found) -> None:
        if self._known.get(key) == found:
            return
        news = key in self._known
        self._known[key] = found
        if news or not found.ok:
            logger.info("%s %s %s", *key, found.why or ("is well" if found.value is None else found.value))
        self._report(*key, found)

    async def _interface(self, key: Key) -> None:
        assert self._links is not None
        link = self._links.follow(key[1])

        def look(up: bool) -> None:
            self._found(key, Found(up, "" if up else "is down" if link.index else "is not there"))

        unsubscribe = link.subscribe(look, lambda _index, _address: None)
        try:
            look(link.up)
            await trio.sleep_forever()
        finally:
            unsubscribe()

    async def _script(self, key: Key, script: TrackScript) -> None:
        health = rise_fall.Health.initial(script.rise, script.fall)
        timeout = script.timeout if script.timeout is not None else script.interval
        while True:
            problem = await self._run_command(script.script, timeout, script.user)
            health = rise_fall.after(health, not problem)
            why = "" if health.up else f"fails: {problem or 'not well often enough'}"
            self._found(key, Found(health.up, why))
            await trio.sleep(script.interval)

    async def _look(self, key: Key, interval: float, unknown: Found, look: Callable[[], Found | str]) -> None:
        """Look again and again; while that is impossible what was found before stays true, or `unknown`."""
        complained = False
        while True:
            found = await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._threads)
            if isinstance(found, Found):
                complained = False
                self._found(key, found)
            else:
                if key not in self._known:  # the routers wait for it
                    self._found(key, unknown)
                if not complained:
                    logger.warning("%s %s: %s; what was found before stays", *key, found)
                complained = True
            await trio.sleep(interval)


def _routes(proc: Path, wanted: TrackRoute) -> Found | str:
    """Whether it is in the main table; nothing is in that of a family that the kernel has not."""
    six = wanted.destination.version == 6
    net = proc / "net"
    try:
        if six and not (net / "ipv6_route").exists() and net.exists():
            return routes_say([], wanted)
        table = (net / ("ipv6_route" if six else "route")).read_text()
    except OSError as error:
        return _unreadable(error, net)
    return routes_say(ipv6_routes(table) if six else ipv4_routes(table), wanted)


def _unreadable(error: OSError, path: Path) -> str:
    """For want of a descriptor or a right, or in a chroot or namespace that hides it."""
    return f"{path} cannot be read: {error.strerror}"


def _read(path: Path) -> Found | str:
    """What a tracked file says, or why nothing can be learnt from it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("ascii", "replace")
    except FileNotFoundError:
        return file_says(None) or ""
    except OSError as error:
        return _unreadable(error, path)
    return file_says(text) or f"{path} holds no number"


def _processes(proc: Path, wanted: TrackProcess) -> Found | str:
    """Whether enough have that name."""
    name = wanted.process.encode() + b"\n"
    running = 0
    try:
        for entry in proc.iterdir():
            if entry.name.isdigit():
                with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # ended, or hidden
                    running += (entry / "comm").read_bytes() == name
    except OSError as error:
        return _unreadable(error, proc)
    return processes_say(running, wanted.process, wanted.quorum)
