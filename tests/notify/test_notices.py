"""The words of every form in which something is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import Email, SyncGroup, VrrpInstance
from hapair.notify.notices import (
    Kind,
    Notice,
    ServerChange,
    commands,
    event_line,
    fifo_line,
    group_notice,
    notice_of,
    record,
    server_mail,
    state_mail,
)
from hapair.vrrp.reports import (
    AddressConflict,
    DuplicateMaster,
    DuplicateMasterGone,
    GuardStrike,
    PriorityChanged,
    Transition,
)
from hapair.vrrp.status import RouterState

AT = datetime(2026, 11, 24, 2, 11, 34, 123456, tzinfo=UTC)
EMAIL = Email(("192.0.2.25", 25), "lb@example.org", ("ops@example.org", "boss@example.org"))
SILENT = VrrpInstance("web", "eth0", 51, (), priority=150)
LOUD = attrs.evolve(
    SILENT,
    notify=("/any", "x"),
    notify_master=("/master", "one", "two"),
    notify_backup=("/backup",),
    notify_fault=("/fault",),
    notify_stop=("/stop",),
)


def entered(after: RouterState, priority: int = 150) -> Notice:
    return notice_of(Transition("web", RouterState.BACKUP, after, "why", 150, priority))


@pytest.mark.parametrize(
    ("after", "own", "word"),
    [
        (RouterState.MASTER, ("/master", "one", "two"), "MASTER"),
        (RouterState.BACKUP, ("/backup",), "BACKUP"),
        (RouterState.FAULT, ("/fault",), "FAULT"),
        (RouterState.INITIALIZE, ("/stop",), "STOP"),
    ],
)
def test_only_the_general_script_is_given_arguments_and_it_comes_last(after, own, word):
    assert commands(entered(after), LOUD) == (own, ("/any", "x", "INSTANCE", "web", word, "150"))


def test_without_scripts_there_is_no_command():
    for after in RouterState:
        assert commands(entered(after), SILENT) == ()


def test_the_priority_that_is_told_is_the_effective_one():
    assert commands(entered(RouterState.MASTER, 7), LOUD)[-1][-1] == "7"
    assert fifo_line(entered(RouterState.MASTER, 7)) == b'INSTANCE "web" MASTER 7\n'


def test_a_group_is_told_as_such():
    group = Notice(Kind.GROUP, "both", "FAULT", 0)
    assert fifo_line(group) == b'GROUP "both" FAULT 0\n'
    assert commands(group, LOUD)[-1][-4:] == ("GROUP", "both", "FAULT", "0")


@pytest.mark.parametrize(
    ("after", "subject", "owning"),
    [
        (RouterState.MASTER, "Entering MASTER state", "now"),
        (RouterState.BACKUP, "Entering BACKUP state", "no longer"),
        (RouterState.FAULT, "Entering FAULT state", "no longer"),
    ],
)
def test_mail_about_a_state_has_keepaliveds_subject_and_first_line(after, subject, owning):
    sent = state_mail(EMAIL, "lb-a", entered(after), AT)
    read = message_from_bytes(sent.as_bytes(), policy=policy.default)
    assert read["Subject"] == f"[lb-a] VRRP Instance web - {subject}"
    assert read["From"] == "lb@example.org"
    assert read["To"] == "ops@example.org, boss@example.org"
    assert read["Date"].datetime == AT.replace(microsecond=0)
    assert read.get_content() == f"=> VRRP Instance is {owning} owning VRRP VIPs <=\n\nCause: why\n"


def test_no_mail_is_sent_about_a_stop():
    assert state_mail(EMAIL, "lb-a", entered(RouterState.INITIALIZE), AT) is None


def test_mail_about_a_server_says_which_and_why():
    sent = server_mail(EMAIL, "lb-a", ServerChange("web", "web1", False, "Layer4 timeout"), AT)
    assert sent["Subject"] == "[lb-a] Server web/web1 - DOWN"
    assert sent.get_content() == "=> CHECK failed on service <=\n\nCause: Layer4 timeout\n"


def test_a_transition_in_the_event_log():
    values = record(Transition("web", RouterState.BACKUP, RouterState.MASTER, "no word", 150, 130))
    assert event_line("lb-a", AT, values) == (
        '{"time": "2026-11-24T02:11:34.123Z", "node": "lb-a", "event": "transition", "instance": "web", '
        '"from": "BACKUP", "to": "MASTER", "cause": "no word", "priority": 150, "effective_priority": 130}'
    )


def test_other_events():
    assert record(PriorityChanged("web", 150, 130, "ping")) == {
        "event": "priority",
        "instance": "web",
        "from": 150,
        "to": 130,
        "cause": "ping",
    }
    assert record(GuardStrike("web", "frozen")) == {
        "event": "guard_strike",
        "instance": "web",
        "cause": "frozen",
    }
    assert record(DuplicateMaster("web", "192.0.2.2", 100)) == {
        "event": "duplicate_master",
        "instance": "web",
        "other": "192.0.2.2",
        "priority": 100,
    }
    assert record(DuplicateMasterGone("web", "192.0.2.2", 1.23456)) == {
        "event": "duplicate_master_gone",
        "instance": "web",
        "other": "192.0.2.2",
        "seconds": 1.235,
    }
    assert record(AddressConflict("web", "192.0.2.100", "02:00:00:00:00:99", 3)) == {
        "event": "address_conflict",
        "instance": "web",
        "address": "192.0.2.100",
        "mac": "02:00:00:00:00:99",
        "times": 3,
    }
    assert record(ServerChange("b", "s", True, "ok")) == {
        "event": "server",
        "backend": "b",
        "server": "s",
        "from": "DOWN",
        "to": "UP",
        "cause": "ok",
    }


@given(st.text())
def test_whatever_the_cause_an_event_is_one_line_of_ascii_and_says_it(cause):
    line = event_line("lb-a", AT, {"event": "reload", "cause": cause})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["cause"] == cause


@given(st.text())
def test_whatever_the_cause_it_stays_in_the_body_of_a_mail(cause):
    sent = server_mail(EMAIL, "lb-a", ServerChange("b", "s", False, cause), AT)
    read = message_from_bytes(sent.as_bytes(), policy=policy.default)
    assert read.keys() == sent.keys()
    assert read["Subject"] == "[lb-a] Server b/s - DOWN"


EDGE = SyncGroup("edge", ("web", "inside"))


def test_a_group_is_told_a_state_when_all_have_entered_it_and_once():
    assert group_notice(EDGE, {"web": "MASTER"}, "", "c") is None
    assert group_notice(EDGE, {"web": "MASTER", "inside": "BACKUP"}, "BACKUP", "c") is None
    notice = group_notice(EDGE, {"web": "MASTER", "inside": "MASTER", "other": "FAULT"}, "BACKUP", "c")
    assert notice == Notice(Kind.GROUP, "edge", "MASTER", 0, "c")
    assert group_notice(EDGE, {"web": "MASTER", "inside": "MASTER"}, "MASTER", "c") is None


def test_mail_about_a_group_has_keepaliveds_words():
    sent = state_mail(EMAIL, "lb-a", Notice(Kind.GROUP, "edge", "FAULT", 0, "why"), AT)
    assert sent["Subject"] == "[lb-a] VRRP Group edge - Entering FAULT state"
    assert sent.get_content().splitlines()[0] == "=> All VRRP group instances are now in FAULT state <="
