"""hapair's side of the guard process: start it, feed it, notice when it struck.

`protect` and `release` only write to the pipe, `strikes` only reads from it: they
are plain calls, cheap enough (a microsecond) to be made before everything that
only a MASTER may do.  A guard that is killed, or answers no heartbeats, is replaced
and its successor given all plans again; until then the lifetimes of the addresses
are the only net.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import NoReturn

import trio

from hapair.errors import KernelError
from hapair.kernel import guard_child
from hapair.vrrp.guard import Plan
from hapair.vrrp.transparent import is_netfilter

log = logging.getLogger("hapair.kernel")

HEARTBEATS_PER_TIMEOUT = 4
START_TIMEOUT = 10.0
END_TIMEOUT = 2.0
RESPAWN_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Between tries to start another: each lasts twice as long as the last."""
ANSWER_TIMEOUT = 1.5
"""Seconds, each, except the heartbeats."""

_PIPE_BUFFER = 1 << 20

Lifelines = Sequence[tuple[int, int]]
"""Descriptors for each worker: the leash by which it is told, and its pidfd."""


class GuardProcess:
    """One guard for all instances of a node (`kernel.ports.Guard`)."""

    def __init__(self, timeout: float, lifelines: Callable[[], Lifelines] = tuple) -> None:
        """With workers, they serve on until somebody else is heard to be MASTER (guard_child.py: relief)."""
        self.timeout = timeout
        self._lifelines = lifelines
        self._plans: dict[str, Plan] = {}
        self._strikes = 0
        self._process: trio.Process | None = None
        self._resting = trio.CancelScope()
        """Between two heartbeats."""
        self._pipe: socket.socket | None = None
        self._broken = False
        self._unanswered = 0
        """Heartbeats since the guard was heard.  Counted, not timed: we may have been frozen ourselves."""
        self._reason = ""
        """Why no other guard can be started."""
        self._pause = RESPAWN_PAUSE

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def set_timeout(self, seconds: float) -> None:
        """Have it strike after so long a silence from now on."""
        if seconds != self.timeout:
            self.timeout = seconds
            self._send(patience_message(seconds))
            self._resting.cancel()  # by the new measure the next heartbeat may be late already

    def protect(self, name: str, plan: Plan) -> None:
        """From now on, if we fall silent, do this; replaces the plan of that name."""
        if self._plans.get(name) != plan:
            self._plans[name] = plan
            self._send(plan_message(name, plan))

    def release(self, name: str) -> None:
        """That instance holds nothing any more."""
        if self._plans.pop(name, None) is not None:
            self._send(guard_child.RELEASE + _name(name))

    def strikes(self) -> int:
        """How often the guard has played its plans back; looked up now, not remembered."""
        while self._pipe is not None:
            try:
                message = self._pipe.recv(1)
            except BlockingIOError:
                break
            except ConnectionResetError:
                message = b""
            if message == guard_child.STRUCK:
                self._strikes += 1
                self._plans.clear()  # as the guard has
            elif message == guard_child.ALIVE:
                self._unanswered = 0
            elif not message:
                self._broken = True
                break
        return self._strikes

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Keep a guard watching until cancelled.

        Raises:
            KernelError: the first guard cannot be started; a later one is tried again and again.
        """
        try:
            await self._start()
            task_status.started()
            while True:
                if self._broken:
                    await self._replace()
                    continue
                self._send(guard_child.HEARTBEAT)
                self._unanswered += 1
                interval = self.timeout / HEARTBEATS_PER_TIMEOUT
                with trio.move_on_after(interval) as self._resting:
                    await trio.sleep_forever()
                self.strikes()  # notices a guard that is gone, too
                if self._unanswered > max(2, ceil(ANSWER_TIMEOUT / interval)):
                    log.warning("the guard is alive, and answers nothing")
                    self._broken = True
        finally:
            # The guard plays what is still protected, at once: we are about to end our workers.
            self._send(guard_child.END)
            self._close_pipe()
            with trio.move_on_after(END_TIMEOUT, shield=True):
                await self._reap()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lines = self._lifelines()
        command = [sys.executable, "-I", "-S", str(Path(guard_child.__file__)), str(self.timeout)]
        command += [f"{leash}:{pidfd}" for leash, pidfd in lines]
        try:
            with theirs:
                # A session of its own: a signal to our process group must not take both.
                self._process = await trio.lowlevel.open_process(
                    command,
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    pass_fds=[descriptor for line in lines for descriptor in line],
                )
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_BUFFER)
            with trio.fail_after(START_TIMEOUT):
                await trio.lowlevel.wait_readable(ours)
            ready = ours.recv(1) == guard_child.READY
        except (OSError, trio.TooSlowError) as error:
            ours.close()
            raise KernelError("start the guard", getattr(error, "errno", None) or 0, str(error)) from error
        except BaseException:
            ours.close()
            raise
        if not ready:
            ours.close()
            raise KernelError("start the guard", 0, "it ended at once")
        self._pipe, self._broken, self._unanswered = ours, False, 0
        self._send(patience_message(self.timeout))  # which may have changed while it started
        for name, plan in self._plans.items():
            self._send(plan_message(name, plan))

    async def _replace(self) -> None:
        """Try once.  In a chroot it will never succeed: each reason is said once."""
        if not self._reason:
            log.warning(
                "the guard is gone: until a new one watches, only their lifetimes end orphaned addresses"
            )
        # Killed before its pipe is closed: a guard that is merely stuck must not strike when it sees the end.
        if self._process is not None:
            self._process.kill()
            await self._reap()
        self._close_pipe()
        try:
            await self._start()
        except KernelError as error:
            if str(error) != self._reason:
                log.error("%s; trying again and again", error)
            self._reason = str(error)
            await trio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self._reason, self._pause = "", RESPAWN_PAUSE
            log.info("a new guard watches (pid %s)", self.pid)

    async def _reap(self) -> None:
        if self._process is None:
            return
        try:
            await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                with trio.CancelScope(shield=True):  # cannot last: SIGKILL is not negotiable
                    await self._process.wait()
        self._process = None

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _send(self, message: bytes) -> None:
        if self._pipe is None or self._broken:
            return
        try:
            self._pipe.send(message)
        except OSError:
            self._broken = True  # dead, or so stuck that its buffer is full: `run` starts another


def patience_message(seconds: float) -> bytes:
    return guard_child.PATIENCE + guard_child.SECONDS.pack(seconds)


def plan_message(name: str, plan: Plan) -> bytes:
    records = [
        (guard_child.FILTER if is_netfilter(request) else guard_child.NETLINK, request)
        for request in plan.requests
    ]
    records += [(guard_child.PACKET, packet) for packet in plan.packets]
    if plan.relief:
        addresses = " ".join(map(str, plan.addresses)).encode()
        records.append(
            (guard_child.RELIEF, guard_child.MILLISECONDS.pack(round(plan.relief * 1000)) + addresses)
        )
    return b"".join(
        (
            guard_child.PLAN,
            _name(name),
            *(guard_child.RECORD.pack(kind, plan.ifindex, len(data)) + data for kind, data in records),
        )
    )


def _name(name: str) -> bytes:
    encoded = name.encode()[:255]
    return bytes((len(encoded),)) + encoded
