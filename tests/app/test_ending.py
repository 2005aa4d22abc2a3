"""Whatever hangs at the end, the process ends."""

import signal
import subprocess
import sys

PROGRAM = """
import trio
from hapair.app.ending import end_in_time, ended

async def hang():
    with trio.CancelScope(shield=True):
        await trio.sleep({shielded})

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_in_time, {longest})
        nursery.start_soon(hang)
        await trio.testing.wait_all_tasks_blocked()
        raise MemoryError

import trio.testing
try:
    trio.run(main)
except* MemoryError:
    ended()
    import signal
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
"""


def _run(*, shielded: str, longest: float) -> int:
    program = PROGRAM.format(shielded=shielded, longest=longest)
    return subprocess.run([sys.executable, "-c", program], timeout=60).returncode


def test_a_task_that_cannot_be_cancelled_does_not_keep_the_process():
    assert _run(shielded="float('inf')", longest=0.2) == -signal.SIGALRM


def test_who_ends_in_time_is_left_alone_afterwards():
    assert _run(shielded="0.01", longest=5.0) == 0
