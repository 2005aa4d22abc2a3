"""The real keepalived's checkers as an oracle, on kernels with and without ip_vs.

What it thinks of a server is read from its log: "Adding service … to VS …",
"Removing service … from VS …".
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

PRETENCE = Path(__file__).with_name("pretend_ipvs.c")
PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
_MOVED = re.compile(
    r"(Adding|Removing) service \[127\.0\.0\.1\]:tcp:(\d+) (?:to|from) VS \[127\.0\.0\.1\]:tcp:(\d+)"
)


def pretence(folder: Path) -> Path:
    """The library that answers for IPVS, compiled."""
    library = folder / "pretend_ipvs.so"
    if not library.exists():
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, PRETENCE, "-ldl"],
            check=True,
            timeout=60,
        )
    return library


class Checkers:
    """One running `keepalived --check` and what it has logged."""

    def __init__(self, folder: Path, sections: str, library: Path) -> None:
        self.lines: list[str] = []
        self.moves: list[tuple[str, int, int, float]] = []
        """("Adding" or "Removing", port of the server, port of the virtual server, when)."""
        self._heard = trio.Event()
        folder.mkdir()
        config = folder / "keepalived.conf"
        config.write_text(f"global_defs {{\n enable_script_security\n script_user root\n}}\n{sections}")
        self._pids = folder / "checkers.pid"
        self._ping_groups = PING_GROUPS.read_text()
        self._console, other = pty.openpty()  # to a pipe it would write in blocks
        self.process = subprocess.Popen(
            ["keepalived", "--check", "--dont-fork", "--log-console", "--no-syslog", "--log-detail",
             "--use-file", config, "--pid", folder / "keepalived.pid", "--checkers_pid", self._pids],
            stdin=subprocess.DEVNULL, stdout=other, stderr=other, start_new_session=True,
            env={**os.environ, "LD_PRELOAD": str(library)},
        )  # fmt: skip
        os.close(other)
        os.set_blocking(self._console, False)

    async def read(self) -> None:
        """Take note of what it says until it ends."""
        rest = b""
        while True:
            await trio.lowlevel.wait_readable(self._console)
            try:
                data = os.read(self._console, 65536)
            except OSError:  # a console that nobody holds any more
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._note(line.decode(errors="replace").strip())
            self._heard.set()
            self._heard = trio.Event()

    def _note(self, line: str) -> None:
        self.lines.append(line)
        moved = _MOVED.search(line)
        if moved is not None:
            self.moves.append((moved[1], int(moved[2]), int(moved[3]), trio.current_time()))

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Return when that is true of what it has said."""
        with trio.move_on_after(seconds):
            while not condition():
                assert self.process.poll() is None, "\n".join(self.lines)
                await self._heard.wait()
        assert condition(), "\n".join(self.lines)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self._kill()
        os.close(self._console)
        if PING_GROUPS.read_text() != self._ping_groups:  # PING_CHECK's doing
            with contextlib.suppress(OSError):
                PING_GROUPS.write_text(self._ping_groups)

    def _kill(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._pids.read_text()), signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@contextlib.asynccontextmanager
async def running(folder: Path, sections: str, library: Path) -> AsyncIterator[Checkers]:
    """Checkers that end with the block."""
    async with trio.open_nursery() as nursery:
        checkers = Checkers(folder, sections, library)
        nursery.start_soon(checkers.read)
        try:
            yield checkers
        finally:
            checkers.end()
            nursery.cancel_scope.cancel()
