"""Who is told what, in which order, and that nobody ever waits for it."""

from __future__ import annotations

import json
import logging
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import attrs
import pytest
import trio
import trio.testing

from hapair.config.model import Email, Node, NodeConfig, SyncGroup, VrrpInstance
from hapair.notify.mail import RefusedError
from hapair.notify.notices import ServerChange
from hapair.notify.service import MAIL_RETRIES, MAX_SCRIPTS, Notifications
from hapair.vrrp.reports import GuardStrike, Transition
from hapair.vrrp.status import RouterState

INITIALIZE, BACKUP, MASTER, FAULT = (
    RouterState.INITIALIZE,
    RouterState.BACKUP,
    RouterState.MASTER,
    RouterState.FAULT,
)
AT = datetime(2026, 11, 24, 2, 11, 34, tzinfo=UTC)
EMAIL = Email(("192.0.2.25", 25), "lb@example.org", ("ops@example.org",))
WEB = VrrpInstance(
    "web", "eth0", 51, (), notify=("/any",), notify_master=("/master",), notify_stop=("/stop",)
)
DB = VrrpInstance("db", "eth0", 52, (), notify=("/any",))


def to(after: RouterState, name: str = "web") -> Transition:
    return Transition(name, BACKUP, after, "why", 100, 100)


class Told:
    """Commands and mails that were begun, with their times."""

    def __init__(self) -> None:
        self.takes: dict[str, float] = {}
        """Seconds that a command takes, by its first word."""
        self.commands: list[tuple[float, str]] = []
        self.subjects: list[str] = []
        self.problem = ""
        self.refusals: list[Exception] = []
        self.killed: list[str] = []

    async def run(self, words: tuple[str, ...], _seconds: float) -> str:
        self.commands.append((trio.current_time(), " ".join(words)))
        try:
            await trio.sleep(self.takes.get(words[0], 0))
        except trio.Cancelled:
            self.killed.append(words[0])
            raise
        return self.problem

    def send(self, _email, message) -> None:
        self.subjects.append(message["Subject"])
        if self.refusals:
            raise self.refusals.pop(0)

    def lines(self) -> list[str]:
        return [line for _, line in self.commands]


@pytest.fixture
def told():
    return Told()


@asynccontextmanager
async def telling(told, node=Node("lb-a"), email=None, instances=(WEB, DB)):  # noqa: B008 - frozen
    config = NodeConfig(node, email=email, vrrp={one.name: one for one in instances})
    made = Notifications(config, told.run, send_mail=told.send, clock=lambda: AT)
    made.open(config)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            yield made
            nursery.cancel_scope.cancel()
    finally:
        made.close()


async def test_scripts_of_an_instance_run_one_at_a_time_in_the_order_of_its_transitions(told, autojump_clock):
    told.takes = {"/master": 3, "/any": 1}
    start = trio.current_time()
    async with telling(told) as notifications:
        for state in (BACKUP, MASTER, INITIALIZE):
            notifications.report(to(state))
        await notifications.finish()
    assert [(at - start, line) for at, line in told.commands] == [
        (0, "/any INSTANCE web BACKUP 100"),
        (1, "/master"),
        (4, "/any INSTANCE web MASTER 100"),
        (5, "/stop"),
        (5, "/any INSTANCE web STOP 100"),
    ]


async def test_a_script_that_hangs_does_not_keep_another_instance_waiting(told, autojump_clock):
    told.takes = {"/master": 1000}
    start = trio.current_time()
    async with telling(told) as notifications:
        notifications.report(to(MASTER, "web"))
        notifications.report(to(MASTER, "db"))
        await trio.testing.wait_all_tasks_blocked()
        assert (start, "/any INSTANCE db MASTER 100") in told.commands


async def test_of_too_many_transitions_the_last_is_told(told, autojump_clock):
    told.takes = {"/any": 1}
    async with telling(told, instances=[DB]) as notifications:
        for n in range(100):
            notifications.report(to(FAULT if n % 2 else BACKUP, "db"))
        notifications.report(to(MASTER, "db"))
        await notifications.finish()
    assert len(told.commands) == MAX_SCRIPTS
    assert told.lines()[-1] == "/any INSTANCE db MASTER 100"


async def test_whoever_stops_waiting_ends_the_script_that_runs(told, autojump_clock):
    told.takes = {"/stop": 1000}
    async with telling(told) as notifications:
        notifications.report(to(INITIALIZE))
        with trio.move_on_after(10) as patience:
            await notifications.finish()
        assert patience.cancelled_caught
    assert told.killed == ["/stop"]


async def test_a_script_that_fails_is_told_to_the_operator_and_the_next_one_runs(
    told, autojump_clock, caplog
):
    told.problem = "it ended with 3"
    async with telling(told) as notifications:
        notifications.report(to(MASTER))
        await notifications.finish()
    assert told.lines() == ["/master", "/any INSTANCE web MASTER 100"]
    assert "/master: it ended with 3" in caplog.text


async def test_reports_before_the_beginning_and_after_the_end_do_no_harm(told, autojump_clock):
    config = NodeConfig(Node("lb-a"), vrrp={"web": WEB})
    notifications = Notifications(config, told.run, send_mail=told.send, clock=lambda: AT)
    notifications.report(to(MASTER))
    async with telling(told) as running:
        pass
    running.report(to(INITIALIZE))
    await running.finish()
    assert told.commands == []


async def test_a_reload_gives_other_scripts_and_who_leaves_is_still_told_to_stop(told, autojump_clock):
    async with telling(told) as notifications:
        changed = attrs.evolve(DB, notify=("/other",))
        notifications.adopt(NodeConfig(Node("lb-a"), vrrp={"db": changed}))
        notifications.report(to(MASTER, "db"))
        notifications.report(to(INITIALIZE, "web"))
        await notifications.finish()
    assert sorted(told.lines()) == [
        "/any INSTANCE web STOP 100",
        "/other INSTANCE db MASTER 100",
        "/stop",
    ]


async def test_a_group_is_told_after_the_last_of_its_instances(told, autojump_clock):
    group = SyncGroup("edge", ("web", "db"), notify=("/group",), notify_master=("/group-master",))
    async with telling(told) as notifications:
        config = NodeConfig(Node("lb-a"), vrrp={"db": DB}, sync_groups={"edge": group})
        notifications.adopt(config)
        for state in (BACKUP, MASTER, INITIALIZE):
            for name in ("web", "db"):
                notifications.report(to(state, name))
        await notifications.finish()
    assert [line for line in told.lines() if line.startswith("/group")] == [
        "/group GROUP edge BACKUP 0",
        "/group-master",
        "/group GROUP edge MASTER 0",
        "/group GROUP edge STOP 0",
    ]


async def test_the_fifo_gets_a_line_at_once(told, tmp_path):
    path = tmp_path / "fifo"
    async with telling(told, Node("lb-a", notify_fifo=str(path))) as notifications:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        notifications.report(to(MASTER))
        notifications.report(GuardStrike("web", "frozen"))
        assert os.read(fd, 4096) == b'INSTANCE "web" MASTER 100\n'
        os.close(fd)


async def test_the_event_log_holds_everything_in_order(told, tmp_path):
    path = tmp_path / "events.json"
    async with telling(told, Node("lb-a", event_log=str(path))) as notifications:
        notifications.node_event("start", "ready")
        notifications.report(to(MASTER))
        notifications.report(GuardStrike("web", "frozen"))
        notifications.server_changed(ServerChange("web", "web1", False, "timeout"))
        await notifications.finish()
    read = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["event"] for one in read] == ["start", "transition", "guard_strike", "server"]
    assert {(one["time"], one["node"]) for one in read} == {("2026-11-24T02:11:34.000Z", "lb-a")}


async def test_a_rotated_event_log_goes_on_in_a_fresh_file(told, tmp_path):
    path = tmp_path / "events.json"
    async with telling(told, Node("lb-a", event_log=str(path))) as notifications:
        notifications.node_event("start", "ready")
        await notifications.finish()
        path.rename(tmp_path / "old")
        notifications.reopen()
        notifications.node_event("reload", "nothing changed")
        await notifications.finish()
    assert "start" in (tmp_path / "old").read_text()
    assert json.loads(path.read_text())["event"] == "reload"


async def test_an_event_log_that_cannot_be_written_is_told_once(told, caplog):
    async with telling(told, Node("lb-a", event_log="/dev/full")) as notifications:
        for _ in range(3):
            notifications.node_event("reload", "x")
        await notifications.finish()
        assert notifications.lost() == {"scripts": 0, "fifo": 0, "mail": 0, "event_log": 3}
    assert caplog.text.count("events are lost: No space left on device") == 1


async def test_the_event_log_may_go_to_the_targets_of_the_log(told, caplog):
    caplog.set_level(logging.INFO, logger="hapair.events")
    async with telling(told, Node("lb-a", event_log="syslog")) as notifications:
        notifications.report(to(MASTER))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "hapair.events"]
    assert json.loads(line)["to"] == "MASTER"


async def test_mail_is_sent_where_it_is_wanted(told):
    loud = attrs.evolve(WEB, smtp_alert=True)
    async with telling(told, email=EMAIL, instances=[loud, DB]) as notifications:
        for name in ("web", "db"):
            for state in (MASTER, INITIALIZE):
                notifications.report(to(state, name))
        notifications.server_changed(ServerChange("web", "web1", False, "timeout"))
        await notifications.finish()
        assert told.subjects == ["[lb-a] VRRP Instance web - Entering MASTER state"]
        checkers = attrs.evolve(EMAIL, smtp_alert_checker=True)
        notifications.adopt(NodeConfig(Node("lb-a"), email=checkers, vrrp={"web": loud}))
        notifications.server_changed(ServerChange("web", "web1", True, "ok"))
        await notifications.finish()
        assert told.subjects[1:] == ["[lb-a] Server web/web1 - UP"]


@pytest.fixture
def instant(monkeypatch):
    """Threads and a clock that jumps do not go together: what was slept is recorded instead."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr("hapair.notify.service.trio.sleep", sleep)
    return slept


async def test_mail_is_tried_again_with_growing_pauses_and_then_given_up(told, instant, caplog):
    told.refusals = [ConnectionRefusedError(111, "refused") for _ in range(4)]
    loud = attrs.evolve(WEB, smtp_alert=True)
    async with telling(told, email=EMAIL, instances=[loud]) as notifications:
        notifications.report(to(MASTER))
        notifications.report(to(FAULT))
        await notifications.finish()
    assert [subject.split()[-2] for subject in told.subjects] == ["MASTER"] * 4 + ["FAULT"]
    assert tuple(pause for pause in instant if pause) == MAIL_RETRIES
    assert "could not be sent: [Errno 111] refused" in caplog.text


async def test_mail_that_is_refused_is_not_tried_again(told, instant, caplog):
    told.refusals = [RefusedError("550 no")]
    loud = attrs.evolve(WEB, smtp_alert=True)
    async with telling(told, email=EMAIL, instances=[loud]) as notifications:
        notifications.report(to(MASTER))
        await notifications.finish()
        assert notifications.lost()["mail"] == 1
    assert len(told.subjects) == 1
    assert "was refused: 550 no" in caplog.text
