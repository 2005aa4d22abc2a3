"""Each kind of tracker against what it watches."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
import trio
import trio.testing

from hapair.config.model import TrackFile, TrackProcess, TrackRoute, TrackScript
from hapair.track.findings import Found
from hapair.track.service import TrackerService

SCRIPT = ("script", "chk")
FILE = ("file", "f")
PROCESS = ("process", "p")
ROUTE = ("route", "r")
WELL = Found(ok=True)


class Watch:
    """A service, and what it reported."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.send, self._receive = trio.open_memory_channel(1000)
        self.problems: list[str] = [""]
        self.runs = 0
        self.service = TrackerService(
            lambda kind, name, found: self.send.send_nowait(((kind, name), found)), self._run, proc
        )

    async def _run(self, words, seconds, user):
        await trio.lowlevel.checkpoint()
        assert (words, seconds, user) == (("/bin/check",), 0.5, "checker")
        self.runs += 1
        return self.problems.pop(0) if len(self.problems) > 1 else self.problems[0]

    async def next(self):
        with trio.fail_after(5):
            return await self._receive.receive()

    def nothing(self) -> bool:
        try:
            self._receive.receive_nowait()
        except trio.WouldBlock:
            return True
        return False


@pytest.fixture
def watch():
    return Watch()


def script(**more) -> TrackScript:
    return TrackScript("chk", ("/bin/check",), "checker", interval=0.01, timeout=0.5, **more)


async def test_a_script_is_heard_when_it_changes_its_mind(watch, nursery):
    watch.problems = ["", "", "it ended with 3", "it ended with 3", ""]
    watch.service.replace({SCRIPT: script()}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (SCRIPT, WELL)
    assert await watch.next() == (SCRIPT, Found(ok=False, why="fails: it ended with 3"))
    assert await watch.next() == (SCRIPT, WELL)


async def test_rise_and_fall_are_those_of_health_checks(watch, nursery):
    watch.problems = ["", "bad", "", "bad", "bad", "", ""]
    watch.service.replace({SCRIPT: script(rise=2, fall=2)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (SCRIPT, WELL)
    assert (await watch.next())[1] == Found(ok=False, why="fails: bad")
    assert watch.runs >= 5
    assert (await watch.next())[1].why == "fails: not well often enough"
    assert await watch.next() == (SCRIPT, WELL)
    assert watch.runs >= 7


async def test_a_reload_starts_and_ends_watches_and_leaves_the_others_alone(watch, nursery):
    other = ("script", "other")
    watch.service.replace({SCRIPT: script()}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (SCRIPT, WELL)
    watch.service.replace({SCRIPT: script(), other: script()}, ())
    assert await watch.next() == (other, WELL)
    watch.service.replace({other: script()}, ())
    runs = watch.runs
    watch.problems = ["bad"]
    assert (await watch.next())[0] == other
    assert watch.runs > runs
    watch.service.replace({}, ())
    await trio.testing.wait_all_tasks_blocked()
    assert watch.nothing()


async def test_a_file_counts_by_its_number_and_0_when_it_is_not_there(watch, nursery, tmp_path, caplog):
    path = tmp_path / "f"
    watch.service.replace({FILE: TrackFile("f", str(path), interval=0.01)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (FILE, Found(ok=True, value=0))
    path.write_text("-20\n")
    assert await watch.next() == (FILE, Found(ok=False, value=-20))
    while "holds no number" not in caplog.text:
        path.write_text("minus twenty")
        await trio.sleep(0.01)
    path.unlink()
    assert await watch.next() == (FILE, Found(ok=True, value=0)), "garbage changed nothing"


async def test_a_file_that_cannot_be_understood_at_first_holds_nobody_up(watch, nursery, tmp_path):
    watch.service.replace({FILE: TrackFile("f", str(tmp_path), interval=0.01)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (FILE, Found(ok=True, value=0))


async def test_processes_are_counted_by_name(nursery, tmp_path):
    def start(pid: int, name: str) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")

    watch = Watch(tmp_path)
    (tmp_path / "self").mkdir()
    (tmp_path / "77").mkdir()  # has just ended
    start(1, "init")
    start(20, "nginx")
    watch.service.replace({PROCESS: TrackProcess("p", "nginx", quorum=2, interval=0.01)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (PROCESS, Found(ok=False, why="has 1 running (nginx), needs 2"))
    start(21, "nginx")
    assert await watch.next() == (PROCESS, WELL)


def own_name() -> str:
    return Path(f"/proc/{os.getpid()}/comm").read_text().rstrip("\n")


async def test_our_own_process_is_found_in_the_real_proc(watch, nursery):
    name = own_name()
    watch.service.replace({PROCESS: TrackProcess("p", name, interval=0.01)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (PROCESS, WELL)


def kernel_has(proc: Path, **tables: str) -> None:
    for name, table in {"1/comm": "init\n", "net/route": "", **tables}.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(table)


DEFAULT_ROUTE = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
"""


@pytest.mark.parametrize(
    ("key", "tracker"),
    [
        (PROCESS, TrackProcess("p", "init", interval=0.01)),
        (ROUTE, TrackRoute("r", IPv4Network("0.0.0.0/0"), interval=0.01)),
    ],
    ids=["process", "route"],
)
async def test_while_nothing_can_be_seen_what_was_found_stays_and_that_is_said_once(
    nursery, tmp_path, caplog, key, tracker
):
    proc = tmp_path / "proc"
    kernel_has(proc, **{"net/route": DEFAULT_ROUTE})
    watch = Watch(proc)
    watch.service.replace({key: tracker}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (key, WELL)
    for _ in range(2):
        caplog.clear()
        proc.rename(tmp_path / "hidden")
        with trio.fail_after(5):
            while "cannot be read: No such file or directory; what was found before stays" not in caplog.text:  # noqa: ASYNC110
                await trio.sleep(0.01)
        await trio.sleep(0.05)  # a few looks more
        assert (caplog.text.count("cannot be read"), watch.nothing()) == (1, True)
        (tmp_path / "hidden").rename(proc)
        kernel_has(proc, **{"1/comm": "other\n"})
        assert not (await watch.next())[1].ok
        kernel_has(proc, **{"net/route": DEFAULT_ROUTE})
        assert await watch.next() == (key, WELL)


@contextmanager
def no_free_descriptor():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_what_can_never_be_looked_at_fails_until_it_can_and_the_node_lives_on(
    nursery, tmp_path, caplog
):
    kernel_has(tmp_path, **{"net/route": DEFAULT_ROUTE})
    watch = Watch(tmp_path)
    await nursery.start(watch.service.run)
    with no_free_descriptor():
        watch.service.replace(
            {
                PROCESS: TrackProcess("p", "init", interval=0.01),
                ROUTE: TrackRoute("r", IPv4Network("0.0.0.0/0"), interval=0.01),
            },
            (),
        )
        unknown = Found(ok=False, why="is not known")
        assert dict([await watch.next(), await watch.next()]) == {PROCESS: unknown, ROUTE: unknown}
    assert dict([await watch.next(), await watch.next()]) == {PROCESS: WELL, ROUTE: WELL}
    assert caplog.text.count("Too many open files; what was found before stays") == 2


async def test_a_kernel_without_ipv6_has_no_such_route(nursery, tmp_path):
    kernel_has(tmp_path)
    watch = Watch(tmp_path)
    watch.service.replace({ROUTE: TrackRoute("r", IPv6Network("::/0"), interval=0.01)}, ())
    await nursery.start(watch.service.run)
    assert await watch.next() == (ROUTE, Found(ok=False, why="is missing (::/0)"))


async def test_interfaces_are_up_down_or_not_there(watch, nursery):
    watch.service.replace({}, ["lo", "no-such-link"])
    await nursery.start(watch.service.run)
    found = dict([await watch.next(), await watch.next()])
    assert found["interface", "no-such-link"] == Found(ok=False, why="is not there")
    assert ("interface", "lo") in found
