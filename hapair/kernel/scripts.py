"""Programs of the operator, run so that they can neither hold us up nor gain by us.

Law: never a shell.  Each runs as its own user, in a session of its own, with a
small environment, nothing on standard input and none of our capabilities, for a
limited time; when that is over, or we are cancelled, its whole session group is
killed.  What anybody but root and that user may change is not run (`unsafe`).
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import struct
import subprocess
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import attrs
import trio

from hapair.kernel.script_safety import unsafe

logger = logging.getLogger("hapair.scripts")

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
KEPT_OUTPUT = 4096
"""Bytes of the end of what it printed."""
REAPING = 1.0
"""Seconds for the kernel to end what was killed."""
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITY_SETS = struct.Struct("=6I")
"""Effective, permitted, inheritable; and their upper halves (capset(2))."""
_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen
class Script:
    words: tuple[str, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    timeout: float
    """Seconds."""


@attrs.frozen
class Result:
    exit_code: int | None = None
    """None: it did not end by itself."""
    signal: int | None = None
    timed_out: bool = False
    refused: str = ""
    """Why it could not be started."""
    duration: float = 0.0
    output_tail: str = ""

    @property
    def problem(self) -> str:
        """What went wrong, in words; empty when it ended with 0."""
        if self.refused:
            return f"it cannot be started: {self.refused}"
        if self.timed_out:
            return f"it was killed, because it had not ended after {self.duration:.1f} s"
        if self.signal is not None:
            return f"it was ended by signal {self.signal}"
        return f"it ended with {self.exit_code}" if self.exit_code else ""


async def run_script(script: Script, *arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    """Run a script to its end; how that was."""
    refusal = await trio.to_thread.run_sync(unsafe, script.words[0], script.uid)
    if refusal:
        return Result(refused=refusal)
    begun = trio.current_time()
    tail: deque[int] = deque(maxlen=KEPT_OUTPUT)
    try:
        output, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write_end, True)
    except OSError as error:
        return Result(refused=str(error))
    with ExitStack() as stack:
        stack.callback(os.close, output)
        try:
            # Once begun it is not cancelled: a child that nobody knows would be left.
            process = await trio.to_thread.run_sync(_spawn, script, arguments, environ or {}, write_end)
        except (OSError, subprocess.SubprocessError) as error:
            return Result(refused=str(error))
        finally:
            os.close(write_end)
        ended = await _attend(process, output, tail, script.timeout)
    code = process.returncode
    result = Result(
        exit_code=code if ended and code is not None and code >= 0 else None,
        signal=-code if ended and code is not None and code < 0 else None,
        timed_out=not ended,
        duration=trio.current_time() - begun,
        output_tail=bytes(tail).decode("utf-8", "backslashreplace"),
    )
    for line in result.output_tail.splitlines():
        logger.debug("%s: %s", script.words[0], line)
    return result


async def _attend(process: subprocess.Popen[bytes], output: int, tail: deque[int], patience: float) -> bool:
    """Wait for the end and reap; whether it came by itself."""
    ended = False
    pidfd = os.pidfd_open(process.pid)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, output, tail)
            with trio.move_on_after(patience):
                await trio.lowlevel.wait_readable(pidfd)
                ended = True
            nursery.cancel_scope.cancel()
    finally:
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
            with trio.move_on_after(REAPING, shield=True):
                await trio.lowlevel.wait_readable(pidfd)
        _read_rest(output, tail)
        os.close(pidfd)
        process.poll()
    return ended


def _spawn(
    script: Script, arguments: tuple[str, ...], environ: Mapping[str, str], output: int
) -> subprocess.Popen[bytes]:
    """Fork, in a thread that ends with that: capabilities belong to threads.

    The thread that calls us is one of trio's, which starts nft and the guard as well: those need
    what would survive exec.
    """
    with ThreadPoolExecutor(max_workers=1) as once:
        return once.submit(_spawn_without_capabilities, script, arguments, environ, output).result()


def _spawn_without_capabilities(
    script: Script, arguments: tuple[str, ...], environ: Mapping[str, str], output: int
) -> subprocess.Popen[bytes]:
    _pass_on_no_capabilities()
    other = script.uid != os.geteuid()
    return subprocess.Popen(
        [*script.words, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env={**ENVIRONMENT, **environ},
        user=script.uid if other else None,
        group=script.gid if other else None,
        extra_groups=script.groups if other else None,
        start_new_session=True,
    )


def _pass_on_no_capabilities() -> None:
    """Empty this thread's inheritable set, and with it the ambient one (capabilities(7))."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    sets = ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    if _libc.capget(header, sets) == 0:
        effective, permitted, _, effective_high, permitted_high, _ = _CAPABILITY_SETS.unpack(sets.raw[:24])
        kept = (effective, permitted, 0, effective_high, permitted_high, 0)
        if _libc.capset(header, _CAPABILITY_SETS.pack(*kept)) == 0:
            return
    code = ctypes.get_errno()
    raise OSError(code, f"cannot give up capabilities: {os.strerror(code)}")


async def _read(fd: int, tail: deque[int]) -> None:
    """Keep the end of what is printed; whatever is before it is thrown away, so that the pipe never fills."""
    while True:
        await trio.lowlevel.wait_readable(fd)
        data = os.read(fd, 65536)
        if not data:
            return
        tail.extend(data[-KEPT_OUTPUT:])


def _read_rest(fd: int, tail: deque[int]) -> None:
    try:
        tail.extend(os.read(fd, 65536)[-KEPT_OUTPUT:])
    except BlockingIOError:
        pass  # nothing is left
