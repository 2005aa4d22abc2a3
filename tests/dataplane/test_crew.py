"""What the control process tells workers and hears of them; the workers here are the other ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from hapair.dataplane.channel import Channel
from hapair.dataplane.crew import PING_EVERY, READY, UNANSWERED, Crew
from hapair.dataplane.messages import End, Execute, Ping, Report, unpacked
from hapair.errors import StartError, WorkerLost


class Played:
    """A crew whose workers are played by the test; `sleep` stands for each process."""

    def __init__(self, workers: int) -> None:
        self.crew = Crew(workers)
        self.ends = []
        self.processes = []
        for worker in self.crew.workers:
            ours, theirs = socket.socketpair()
            process = subprocess.Popen(["sleep", "60"])
            worker.channel, worker.pid = Channel(ours), process.pid
            worker.pidfd = os.pidfd_open(process.pid)
            self.ends.append(Channel(theirs))
            self.processes.append(process)

    def told(self, worker: int) -> list:
        return [unpacked(frame.payload) for frame in self.ends[worker].receive()]

    def say(self, worker: int, report: Report) -> None:
        self.ends[worker].send(report.encoded())

    def ready(self) -> None:
        for worker in range(len(self.ends)):
            self.say(worker, Report(100))  # whatever it was told by then


@pytest.fixture
async def played():
    made = Played(2)
    yield made
    for process in made.processes:
        process.kill()
    await made.crew.end()
    for end in made.ends:
        end.close()
    for process in made.processes:
        process.poll()  # `end` has reaped it


async def test_everybody_is_told_in_one_order(played):
    tickets = [played.crew.tell(Execute(f"set server be/s state {up}")) for up in ("maint", "ready")]
    for worker in (0, 1):
        assert played.told(worker) == [
            (t, Execute(f"set server be/s state {up}"))
            for t, up in zip(tickets, ("maint", "ready"), strict=True)
        ]


async def test_it_is_done_when_the_last_has_done_it(played):
    ticket = played.crew.tell(Ping())
    played.say(0, Report(ticket))
    (late,) = played.crew.done_within(ticket, 0.01)
    assert late.index == 1
    played.say(1, Report(ticket + 5))
    assert played.crew.done_within(ticket, 5) == []


async def test_the_dead_are_not_waited_for(played):
    ticket = played.crew.tell(Ping())
    played.ends[0].close()
    played.say(1, Report(ticket))
    assert played.crew.done_within(ticket, 5) == []


async def test_a_problem_is_told_with_its_ticket_and_silence_is_one(played):
    ticket = played.crew.tell(Ping())
    played.say(0, Report(ticket, "no socket"))
    played.crew.done_within(ticket, 0.01)
    assert played.crew.problems(ticket) == [
        "no socket",
        f"worker {played.crew.workers[1].name} does not answer",
    ]


async def test_refusals_are_summed_up(played):
    played.say(0, Report(9, refusals={"fe": {"bad": 2}}))
    played.say(1, Report(9, refusals={"fe": {"bad": 3, "long": 1}}))
    played.crew.done_within(9, 5)
    assert played.crew.refusals("fe") == {"bad": 5, "long": 1}
    assert played.crew.refusals("other") == {}


async def test_it_runs_when_all_are_ready(played, nursery):
    played.ready()
    await nursery.start(played.crew.run)


async def test_one_that_cannot_begin_is_an_error(played):
    played.say(0, Report(READY, "node.chroot: cannot use /nowhere"))
    played.say(0, Report(100))
    played.say(1, Report(100))
    with pytest.RaisesGroup(pytest.RaisesExc(StartError, match="/nowhere"), flatten_subgroups=True):
        await played.crew.run(task_status=trio.TASK_STATUS_IGNORED)


async def test_a_death_ends_the_run_and_says_how(played):
    played.ready()
    with pytest.RaisesGroup(
        pytest.RaisesExc(WorkerLost, match="was killed by SIGKILL"), flatten_subgroups=True
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(played.crew.run)
            played.processes[1].send_signal(signal.SIGKILL)
            played.ends[1].close()


async def test_one_that_owes_too_many_answers_is_lost(played, autojump_clock):
    del autojump_clock
    for worker in played.crew.workers:
        worker.reported = 100
    begun = trio.current_time()
    with pytest.RaisesGroup(
        pytest.RaisesExc(WorkerLost, match="has answered nothing"), flatten_subgroups=True
    ):
        await played.crew.run(task_status=trio.TASK_STATUS_IGNORED)
    assert trio.current_time() - begun == pytest.approx((UNANSWERED + 1) * PING_EVERY)


async def test_who_makes_a_large_configuration_is_not_stuck(played, nursery, autojump_clock):
    played.ready()
    await nursery.start(lambda task_status: played.crew.run(task_status=task_status))
    with played.crew.patience():
        await trio.sleep(3 * UNANSWERED * PING_EVERY)
    await trio.sleep(UNANSWERED * PING_EVERY - PING_EVERY)
    nursery.cancel_scope.cancel()


async def test_the_end_is_told_and_enforced(played, autojump_clock):
    del autojump_clock
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(played.crew.end)
            await wait_all_tasks_blocked()
            assert [message for _, message in played.told(0)] == [End()]
    assert not exists(played.processes[0].pid), "killed, and reaped"


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
