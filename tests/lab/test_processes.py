"""Machines end with everything in them, whatever it did to escape."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from lab.processes import LabError
from lab.topology import PAIR, open_lab

pytestmark = pytest.mark.netns

NETNS_LAB = str(Path(__file__).parents[2] / "netns-lab")


async def test_a_process_reports_its_lines_and_its_exit_code(lab):
    process = await lab["web1"].spawn(["sh", "-c", "echo one; echo two >&2; exit 3"])
    assert await process.wait_line("two") == "two"
    assert await process.wait() == 3


async def test_a_process_killed_by_a_signal_says_which(lab):
    process = await lab["web1"].spawn(["sleep", "60"])
    process.signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL


async def test_a_missing_program_is_an_error_of_the_lab(lab):
    with pytest.raises(LabError, match="No such file"):
        await lab["web1"].spawn(["/no/such/program"])


async def test_a_line_that_never_comes_is_reported_with_what_was_said_instead(lab):
    process = await lab["web1"].spawn(["echo", "something else"])
    with pytest.raises(LabError, match="something else"):
        await process.wait_line("hello")


async def test_killing_everything_reaches_those_who_left_their_session(lab):
    words = "setsid sh -c 'echo escaped; sleep 60' & wait"
    process = await lab["web1"].spawn(["sh", "-c", words])
    await process.wait_line("escaped")
    lab["web1"].kill_everything(signal.SIGKILL)
    await process.wait()
    with trio.fail_after(2):
        while await _has_others(lab["web1"]):  # noqa: ASYNC110 -- the kernel tells nobody
            await trio.sleep(0.01)


async def _has_others(machine):
    """Whether a machine has processes beside its init and the one that asks."""
    process = await machine.spawn(["sh", "-c", "kill -0 -1 2>/dev/null && echo others || echo none"])
    return await process.wait_line(".") == "others"


async def test_a_stopped_process_continues(lab):
    process = await lab["web1"].spawn(["sh", "-c", "read line; echo got"], stdin=None)
    process.signal(signal.SIGSTOP)
    process.signal(signal.SIGCONT)
    assert await process.wait_line("got") == "got"


async def test_a_closed_lab_leaves_no_process_and_no_file():
    async with open_lab(PAIR) as lab:
        await lab["client"].spawn(["sh", "-c", "setsid sleep 61 & sleep 61"])
        inits = [machine.init_pid for machine in [lab.switch, *lab.machines.values()]]
        scratch = lab.scratch
        (scratch / "some.conf").write_text("text")
    assert _left(scratch, inits) == []


def _left(scratch, pids):
    return [path for path in [scratch, *(f"/proc/{pid}" for pid in pids)] if Path(path).exists()]


PROGRAM = """
import trio
from lab.topology import open_lab
async def main():
    async with open_lab() as lab:
        await lab["client"].spawn(["setsid", "sleep", "62"])
        print(lab.scratch, *(m.init_pid for m in [lab.switch, *lab.machines.values()]), flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def test_a_lab_killed_with_sigkill_leaves_no_process_and_no_file():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": NETNS_LAB},
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        scratch, *inits = program.stdout.readline().split()
        assert len(_left(scratch, inits)) == 1 + len(inits)
        program.kill()
    deadline = time.monotonic() + 5
    while left := _left(scratch, inits):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
