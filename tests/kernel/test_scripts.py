"""Programs of the operator: real ones, kept short."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from app.test_privileges import needs_root

from hapair.kernel.scripts import Script, run_script

US = os.geteuid()


@pytest.fixture
def program(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


def script(*words: str, timeout: float = 10.0) -> Script:
    return Script(words, US, os.getegid(), (), timeout)


async def test_a_script_that_ends_well_has_no_problem(program):
    result = await run_script(script(program("exit 0")))
    assert (result.exit_code, result.signal, result.timed_out, result.problem) == (0, None, False, "")


async def test_how_it_ended_is_told(program):
    assert (await run_script(script(program("exit 3")))).problem == "it ended with 3"
    assert (await run_script(script(program("kill -9 $$")))).problem == "it was ended by signal 9"


async def test_words_and_arguments_arrive_as_they_are_without_a_shell(program):
    path = program("printf '[%s]' \"$@\"")
    result = await run_script(script(path, "a b", "$HOME"), "", "*;'")
    assert result.output_tail == "[a b][$HOME][][*;']"


async def test_it_finds_a_small_environment_an_empty_input_and_no_descriptor_of_ours(program):
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    path = program("env | cut -d= -f1 | sort | tr '\\n' ' '; cat; ls /proc/self/fd | tr '\\n' ' '; pwd")
    result = await run_script(script(path), environ={"EXTRA": "1"})
    os.close(inherited)
    assert result.output_tail == "EXTRA LANG PATH PWD 0 1 2 3 /\n"  # 3 is ls reading the directory


async def test_of_what_it_prints_the_end_is_kept_and_it_is_never_held_up(program):
    result = await run_script(script(program("head -c 1000000 /dev/zero | tr '\\0' x; echo end")))
    assert result.exit_code == 0
    assert result.output_tail == "x" * 4092 + "end\n"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pid: int) -> None:
    with trio.fail_after(5):
        while alive(pid):  # noqa: ASYNC110 - it is nobody's child here
            await trio.sleep(0.005)


async def test_after_its_time_it_is_killed_with_all_that_it_has_started(program, tmp_path):
    path = program(f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    result = await run_script(script(path, timeout=0.3))
    assert result.timed_out
    assert re.fullmatch(r"it was killed, because it had not ended after \d\.\d s", result.problem)
    await gone(int((tmp_path / "pid").read_text()))


async def test_when_we_are_cancelled_it_is_killed_with_all_that_it_has_started(program, tmp_path):
    path = program(f"sleep 60 & echo $! > {tmp_path}/begun; mv {tmp_path}/begun {tmp_path}/pid; wait")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_script, script(path))
        with trio.fail_after(5):
            while not (tmp_path / "pid").exists():  # noqa: ASYNC110
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_script_that_leaves_something_running_is_not_waited_for(program, tmp_path):
    path = program(f"sleep 60 & echo $! > {tmp_path}/pid; echo done")
    with trio.fail_after(5):
        result = await run_script(script(path))
    assert (result.exit_code, result.output_tail) == (0, "done\n")
    os.kill(int((tmp_path / "pid").read_text()), 9)


async def test_what_cannot_be_started_is_told(program, tmp_path):
    missing = await run_script(script(str(tmp_path / "none")))
    assert missing.problem == f"it cannot be started: {tmp_path}/none: No such file or directory"
    lost = tmp_path / "lost"
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)
    assert "No such file or directory" in (await run_script(script(str(lost)))).problem
    lost.chmod(0o644)
    assert (await run_script(script(str(lost)))).problem.endswith("lost is not executable")
    assert (await run_script(script(str(tmp_path)))).problem.endswith("is not a file")


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_no_descriptor_and_no_child_is_left(program):
    path = program("exit 0")
    await run_script(script(path))
    before = descriptors()
    for words in ((path,), ("/none",)):
        await run_script(script(*words))
    with trio.move_on_after(0.02):
        await run_script(script(program("sleep 60")))
    assert descriptors() == before


CAPABLE = """
import sys, trio
from hapair.app.privileges import become
from hapair.kernel.script_safety import account
from hapair.kernel.scripts import Script, run_script
become("nobody", None, may_chroot=False)
assert "CapAmb:\\t0000000000003400" in open("/proc/self/status").read()
who = account(None, "nobody")
script = Script(("/usr/bin/grep", "Cap", "/proc/self/status"), who.uid, who.gid, who.groups, 10)
print(trio.run(run_script, script).output_tail)
"""
AS_OTHER = """
import trio
from hapair.kernel.script_safety import account
from hapair.kernel.scripts import Script, run_script
who = account("nobody", None)
for words in (("/usr/bin/id", "-u"), ("/usr/bin/id", "-G"), ("/usr/bin/grep", "Cap", "/proc/self/status")):
    print(trio.run(run_script, Script(words, who.uid, who.gid, who.groups, 10)).output_tail)
"""


@needs_root
@pytest.mark.parametrize("program", [CAPABLE, AS_OTHER], ids=["after node.user", "as script_user"])
def test_a_script_gets_none_of_our_capabilities(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{name}:\t0000000000000000" in done.stdout
    if program is AS_OTHER:
        assert done.stdout.split()[:2] == ["65534", "65534"]


AND_AFTERWARDS = """
import os, subprocess, trio
from hapair.app.privileges import become
from hapair.kernel.scripts import Script, run_script
become("nobody", None, may_chroot=False)
script = Script(("/usr/bin/true",), os.getuid(), os.getgid(), (), 10)
async def main():
    for _ in range(3):
        assert (await run_script(script)).problem == ""
        done = await trio.run_process(["grep", "Cap[IPEA]", "/proc/self/status"], capture_stdout=True)
        print(done.stdout.decode())
trio.run(main)
"""


@needs_root
def test_nft_and_the_guard_have_our_capabilities_also_after_a_script():
    done = subprocess.run([sys.executable, "-c", AND_AFTERWARDS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert done.stdout.count(f"{name}:\t0000000000003400") == 3, done.stdout
