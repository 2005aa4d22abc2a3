"""`show table`, `set table`, `clear table`, as HAProxy's clients read them."""

from __future__ import annotations

import re

import pytest

from hapair.api.stick_commands import StickCommands
from hapair.config.model import StickTable
from hapair.tables.directory import make_tables


@pytest.fixture
def commands():
    tables = make_tables(
        {
            "flood": StickTable(size=100, expire=60.0, store=("gpc0", "conn_rate(10s)", "gpt(2)")),
            "ids": StickTable(type="string", length=9, store=("server_id",)),
        },
        {},
    )
    return StickCommands(lambda: tables)


def test_tables_are_listed_with_their_use(commands):
    commands.set(["ids", "key", "abc", "data.server_id", "2"])
    assert commands.show([]) == (
        "# table: flood, type: ip, size:100, used:0\n# table: ids, type: string, size:102400, used:1\n"
    )


def test_an_entry_is_made_shown_changed_and_forgotten(commands):
    assert commands.set("flood key 192.0.2.1 data.gpc0 7 data.conn_rate 9".split()) == ""
    shown = commands.show(["flood"]).splitlines()[1]
    found = re.fullmatch(
        r"0x1: key=192\.0\.2\.1 use=0 exp=(\d+) gpc0=7 conn_rate\(10000\)=9 gpt0=0 gpt1=0", shown
    )
    assert found is not None, shown
    assert 59_000 < int(found[1]) <= 60_000
    commands.set("flood key 192.0.2.1 data.gpc0 1".split())
    assert "gpc0=1 conn_rate(10000)=9" in commands.show(["flood"])
    assert commands.clear("flood key 192.0.2.1".split()) == ""
    assert commands.show(["flood"]).count("\n") == 1


def test_entries_are_chosen_by_what_they_hold(commands):
    for number in range(1, 6):
        commands.set(f"flood key 192.0.2.{number} data.gpc0 {number}".split())
    assert commands.show("flood data.gpc0 gt 3".split()).count("key=") == 2
    assert commands.clear("flood data.gpc0 le 3".split()) == ""
    assert commands.show(["flood"]).count("key=") == 2


@pytest.mark.parametrize(
    ("verb", "words", "answer"),
    [
        ("show", "nope", "No such table\n"),
        ("show", "flood data.nope gt 1", "Data type not stored in this table\n"),
        ("show", "flood gpc0", 'Optional argument only supports "data.<store_data_type>" or key <key>\n'),
        ("set", "flood", "Required arguments: <table> key <key>\n"),
        ("set", "flood key x", "Invalid key\n"),
        ("set", "flood key 192.0.2.1 data.nope 1", '"data.nope" is not stored in this table\n'),
        ("set", "flood key 192.0.2.1 data.gpc0 -1", "Require a valid integer value to store\n"),
        ("set", "flood key 192.0.2.1 data.gpc0", '"data.<type>" followed by a value expected\n'),
        ("clear", "", "No such table\n"),
    ],
)
def test_mistakes(commands, verb, words, answer):
    assert getattr(commands, verb)(words.split()) == answer
    assert commands.show(["flood"]).count("key=") == 0


def test_an_entry_that_is_tracked_stays(commands):
    commands.set("flood key 192.0.2.1".split())
    table = commands._tables()["flood"].table
    table.hold(0)
    assert commands.clear("flood key 192.0.2.1".split()) == "Entry currently in use, cannot remove\n"
    assert "use=1 exp=60000" in commands.show(["flood"])
