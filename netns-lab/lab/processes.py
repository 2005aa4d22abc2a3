"""Machines, and the processes that run in them.

Law: what we start, we end; by PID or by machine, never by name.  Sending a
signal is a plain call, so that the instant of a fault is known to some
microseconds.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import trio

from lab.namespaces import NetNamespace

_INIT = Path(__file__).with_name("init.py")
_LONGEST = 1 << 17
_KEPT_LINES = 20_000
_ENDING = 10.0
"""Seconds that the kernel may take to end everything in a machine."""


class LabError(Exception):
    """The lab itself, not what is tested in it, cannot go on."""


class Process:
    """One process of a machine, with its output (stdout and stderr, one stream of lines)."""

    def __init__(self, name: str, pid: int, machine: Machine) -> None:
        self.name = name
        self.pid = pid
        """In the machine's own PID namespace."""
        self.machine = machine
        self.lines: list[tuple[float, str]] = []
        """(monotonic seconds when it arrived, line); the oldest of a chatterbox are forgotten."""
        self.status: int | None = None
        """Exit code, or minus the signal that ended it; None while it runs."""
        self.ended = trio.Event()
        self.on_line: Callable[[str], None] | None = None
        """Takes the lines instead of `lines`; set it before the first `await` after `spawn`."""
        self._forgotten = 0
        self._silent = False
        self._news = trio.lowlevel.ParkingLot()

    def signal(self, number: Signals) -> None:
        """Signal this process alone."""
        self.machine.kill(self.pid, number)

    def signal_group(self, number: Signals) -> None:
        """Signal it and all its descendants that did not leave its process group."""
        self.machine.kill(-self.pid, number)

    async def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, then SIGKILL of the group after `grace` seconds; returns the status."""
        self.signal(SIGTERM)
        with trio.move_on_after(grace):
            await self.ended.wait()
        self.signal_group(SIGKILL)
        return await self.wait()

    async def wait(self) -> int:
        await self.ended.wait()
        assert self.status is not None
        return self.status

    async def wait_line(self, pattern: str, *, within: float = 10.0, since: float = 0.0) -> str:
        """Return the first line that arrived after `since` and in which `pattern` is found.

        Raises:
            LabError: no such line in time, or the output has ended without it.
        """
        seen = 0
        with trio.move_on_after(within):
            while True:
                for when, line in self.lines[max(0, seen - self._forgotten) :]:
                    if when >= since and re.search(pattern, line):
                        return line
                seen = self._forgotten + len(self.lines)
                if self._silent:
                    break
                await self._news.park()
        raise LabError(f"{self.name} never said {pattern!r}; it said:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(f"    {line}" for _, line in self.lines[-lines:]) or "    (nothing)"

    async def read_output(self, fd: int) -> None:
        """Collect lines until the last writer is gone."""
        rest = b""
        async with trio.lowlevel.FdStream(fd) as stream:
            while chunk := await stream.receive_some():
                now = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._keep(now, line)
        if rest:
            self._keep(time.monotonic(), rest)
        self._silent = True
        self._news.unpark_all()

    def _keep(self, now: float, line: bytes) -> None:
        if self.on_line is not None:
            self.on_line(line.decode("utf-8", "backslashreplace"))
            return
        if len(self.lines) >= _KEPT_LINES:
            del self.lines[: _KEPT_LINES // 2]
            self._forgotten += _KEPT_LINES // 2
        self.lines.append((now, line.decode("utf-8", "backslashreplace")))
        self._news.unpark_all()


def descendants(machine: Machine) -> list[tuple[int, list[str]]]:
    """The machine's processes: pid as this program sees it, and the words of its command."""
    found: list[tuple[int, list[str]]] = []
    parents, words = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words[int(entry.name)] = (entry / "cmdline").read_text().split("\0")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    for pid, command in words.items():
        above = pid
        while above in parents and above != machine.init_pid:
            above = parents[above]
        if above == machine.init_pid != pid:
            found.append((pid, command))
    return found


class Machine:
    """A network namespace and a PID namespace with an init in them."""

    def __init__(self, name: str, nursery: trio.Nursery, *, remove: Path | None = None) -> None:
        """`remove` is a directory that goes when the machine does."""
        self.name = name
        self.processes: dict[int, Process] = {}
        self._nursery = nursery
        self._ids = count()
        self._asked: dict[int, tuple[str, trio.MemorySendChannel[Process | int]]] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-I", "-S", str(_INIT), str(theirs.fileno())]
            self._outer = subprocess.Popen(
                words if remove is None else [*words, str(remove)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at the terminal is for the lab, not for its machines
            )
        # Blocking, once and for some 20 ms: machines are made before anything is measured.
        data, fds, _, _ = socket.recv_fds(self._control, _LONGEST, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            self._control.close()
            self._outer.wait()
            raise LabError(f"the kernel lets us create no namespaces for {name}; see lab.namespaces")
        self.init_pid: int = json.loads(data)["init"]
        """As this program sees it: for nsenter."""
        self.net = NetNamespace(fds[0])
        self._control.setblocking(False)

    async def listen(self) -> None:
        """Take in what init reports, until the machine is off."""
        while True:
            await trio.lowlevel.wait_readable(self._control)
            data = self._control.recv(_LONGEST)
            if not data:
                return
            message = json.loads(data)
            if "id" in message:
                self._note_start(message)
            else:
                process = self.processes.pop(message["exited"])
                process.status = os.waitstatus_to_exitcode(message["status"])
                process.ended.set()

    def _note_start(self, message: dict[str, Any]) -> None:
        # Here and not in `spawn`: the next message may already be the end of this process.
        name, answer = self._asked.pop(message["id"])
        if "errno" in message:
            answer.send_nowait(message["errno"])
            return
        process = Process(f"{name} on {self.name}", message["pid"], self)
        self.processes[process.pid] = process
        answer.send_nowait(process)

    async def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | None = None,
    ) -> Process:
        """Start a process in its own session; `env` is added to ours.

        Raises:
            LabError: there is no such program.
        """
        words = [str(word) for word in argv]
        number = next(self._ids)
        message = {
            "id": number,
            "argv": words,
            "env": {**os.environ, **(env or {})},
            "cwd": None if cwd is None else str(cwd),
        }
        answer, answered = trio.open_memory_channel[Process | int](1)
        self._asked[number] = name or Path(words[0]).name, answer
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fds = [null if stdin is None else stdin, write_end, write_end]
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)
        finally:
            os.close(null)
            os.close(write_end)
        reply = await answered.receive()
        if isinstance(reply, int):
            os.close(read_end)
            raise LabError(f"{self.name}: cannot start {words[0]}: {os.strerror(reply)}")
        self._nursery.start_soon(reply.read_output, read_end)
        return reply

    def kill(self, pid: int, number: Signals) -> None:
        """As kill(2), with the machine's own PIDs."""
        self._control.send(json.dumps({"pid": pid, "signal": number}).encode())

    def kill_everything(self, number: Signals) -> None:
        """Signal every process of the machine at once; the network stays as it is."""
        self.kill(-1, number)

    def power_off(self) -> None:
        """End the machine and everything in it."""
        self._control.close()
        self.net.close()

    async def gone(self) -> None:
        """Wait until the kernel has ended the last process."""
        with trio.move_on_after(_ENDING, shield=True) as deadline:
            await trio.to_thread.run_sync(self._outer.wait, abandon_on_cancel=True)
        if deadline.cancelled_caught:
            raise LabError(f"{self.name} does not end; its init is PID {self.init_pid}")
