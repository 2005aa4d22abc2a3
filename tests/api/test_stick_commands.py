"""`show table`, `set table`, `clear table`, as HAProxy's clients read them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import pytest

from hapair.api.stick_commands import AT_ONCE, StickCommands
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
    assert "".join(commands.show([])) == (
        "# table: flood, type: ip, size:100, used:0\n# table: ids, type: string, size:102400, used:1\n"
    )


def test_an_entry_is_made_shown_changed_and_forgotten(commands):
    assert commands.set("flood key 192.0.2.1 data.gpc0 7 data.conn_rate 9".split()) == ""
    shown = "".join(commands.show(["flood"])).splitlines()[1]
    found = re.fullmatch(
        r"0x1: key=192\.0\.2\.1 use=0 exp=(\d+) gpc0=7 conn_rate\(10000\)=9 gpt0=0 gpt1=0", shown
    )
    assert found is not None, shown
    assert 59_000 < int(found[1]) <= 60_000
    commands.set("flood key 192.0.2.1 data.gpc0 1".split())
    assert "gpc0=1 conn_rate(10000)=9" in "".join(commands.show(["flood"]))
    assert "".join(commands.clear("flood key 192.0.2.1".split())) == ""
    assert "".join(commands.show(["flood"])).count("\n") == 1


def test_entries_are_chosen_by_what_they_hold(commands):
    for number in range(1, 6):
        commands.set(f"flood key 192.0.2.{number} data.gpc0 {number}".split())
    assert "".join(commands.show("flood data.gpc0 gt 3".split())).count("key=") == 2
    assert "".join(commands.clear("flood data.gpc0 le 3".split())) == ""
    assert "".join(commands.show(["flood"])).count("key=") == 2


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
    assert "".join(getattr(commands, verb)(words.split())) == answer
    assert "".join(commands.show(["flood"])).count("key=") == 0


def test_an_entry_that_is_tracked_stays(commands):
    commands.set("flood key 192.0.2.1".split())
    table = commands._tables()["flood"].table
    table.hold(0)
    assert "".join(commands.clear("flood key 192.0.2.1".split())) == "Entry currently in use, cannot remove\n"
    assert "use=1 exp=60000" in "".join(commands.show(["flood"]))


def filled(count):
    tables = make_tables({"big": StickTable(size=count, expire=60.0, store=("gpc0",))}, {})
    commands = StickCommands(lambda: tables)
    for number in range(count):
        assert commands.set(f"big key {IPv4Address(number)} data.gpc0 {number % 2}".split()) == ""
    return commands, tables["big"].table


def test_a_long_table_is_shown_in_parts_and_may_change_in_between():
    commands, table = filled(5 * AT_ONCE)
    parts = commands.show(["big"])
    assert next(parts).startswith("# table: big")
    assert next(parts).count("\n") == AT_ONCE
    for row in range(3 * AT_ONCE):
        assert table.drop(row)
    rest = list(parts)
    assert all(part.count("\n") <= AT_ONCE for part in rest)
    assert "".join(rest).count("key=") == 2 * AT_ONCE


def test_a_long_table_is_cleared_in_parts_too():
    commands, table = filled(3 * AT_ONCE)
    parts = commands.clear("big data.gpc0 eq 1".split())
    next(parts)
    assert len(table) == 3 * AT_ONCE - AT_ONCE // 2
    assert "".join(parts) == ""
    assert len(table) == 3 * AT_ONCE // 2


def test_one_key_of_a_long_table_is_found_without_reading_it_all(monkeypatch):
    commands, table = filled(2 * AT_ONCE)
    monkeypatch.setattr(type(table), "known_key", None)
    assert "".join(commands.show("big key 0.0.0.7".split())).count("key=0.0.0.7 ") == 1
    assert "".join(commands.show("big key 9.0.0.7".split())).count("key=") == 0
    assert "".join(commands.clear("big key 0.0.0.7".split())) == ""
    assert len(table) == 2 * AT_ONCE - 1
