"""Runtime commands answer as HAProxy 2.6 does, to the letter where its clients read them."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("set server be/s9 state drain", "No such server.\n\n"),
        ("set server nope/s1 state drain", "No such backend.\n\n"),
        ("set server be/s1 state drai", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"),
        ("set server be/s1", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"),
        ("set weight be/s1 257", "Absolute weight can only be between 0 and 256 inclusive.\n\n"),
        ("set weight be/s1 +5", "Require <weight> or <weight%>.\n\n"),
        ("set weight be/s1 5_0", "Require <weight> or <weight%>.\n\n"),
        ("get weight be/s1", "10 (initial 10)\n\n"),
        ("show backend", "# name\nbe\n\n"),
        ("", ""),
        (" ; ", ""),
    ],
)
def test_answers(commands, asked, answer):
    assert commands.execute(asked) == answer


def test_a_setter_that_worked_says_nothing_and_is_told_to_whom_it_concerns(commands, plane, changes):
    assert commands.execute("set server be/s1 state drain") == "\n"
    assert plane.backends["be"].by_name["s1"].administrative == "drain"
    assert changes == ["changed"]


def test_a_server_in_maintenance_is_used_by_nobody_and_comes_back(commands, plane):
    commands.execute("set server be/s1 state maint")
    assert plane.usable_servers() == {"be": {"s3"}}  # the backup
    commands.execute("set server be/s1 state ready")
    assert plane.usable_servers() == {"be": {"s1", "s3"}}


def test_weights_are_absolute_or_a_percentage_of_the_first(commands):
    assert commands.execute("set weight be/s1 50%; get weight be/s1") == "\n5 (initial 10)\n\n"
    assert commands.execute("set weight be/s1 20; get weight be/s1") == "\n20 (initial 10)\n\n"
    assert commands.execute("set weight be/s1 101%").startswith("Relative weight can only be")


def test_a_static_algorithm_takes_a_whole_weight_or_none(commands, plane):
    plane.backends["be"].weights_move = False
    assert commands.execute("set weight be/s1 50%").startswith("Backend is using a static LB algorithm")
    assert commands.execute("set weight be/s1 0%; set weight be/s1 100%") == "\n\n"


def test_commands_are_chained_with_semicolons(commands):
    assert commands.execute("get weight be/s1; show backend") == "10 (initial 10)\n\n# name\nbe\n\n"


def test_an_unknown_command_is_answered_with_what_there_is(commands):
    answer = commands.execute("foo")
    assert answer.startswith("Unknown command: 'foo', but maybe one of the following")
    assert "show stat" in answer


def test_identity_is_what_haproxys_clients_look_for(commands):
    lines = dict(line.split(": ", 1) for line in commands.execute("show info").strip().splitlines())
    assert lines["Name"] == "HAProxy"
    assert lines["Version"].startswith("2.6.0-hapair-")
    assert lines["Tasks"] == "7"
    assert lines["node"] == "lb-a"
    needed = "Release_date Nbproc Process_num Pid Uptime Maxconn CurrConns Maxpipes PipesUsed Tasks Run_queue"
    assert set(needed.split()) <= lines.keys()
