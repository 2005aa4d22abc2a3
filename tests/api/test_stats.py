"""Rows that HAProxy's tools can read: its columns, in its order, with its words."""

from __future__ import annotations

import csv
import io
import subprocess
import time

import pytest

from hapair.api.stats import COLUMNS, rows, status_of, to_csv
from hapair.health.service import Verdict


def by_name(plane, verdicts):
    return {(row["pxname"], row["svname"]): row for row in rows(plane, verdicts)}


def test_there_is_a_row_for_every_frontend_server_and_backend_in_haproxys_order(plane, verdicts):
    names = [(row["pxname"], row["svname"]) for row in rows(plane, verdicts)]
    assert names == [("fe", "FRONTEND"), ("be", "s1"), ("be", "s2"), ("be", "s3"), ("be", "BACKEND")]


def test_a_server_says_what_its_checks_found(plane, verdicts):
    plane.set_server_up("be", "s2", up=False)
    table = by_name(plane, verdicts)
    assert table["be", "s1"]["status"] == "UP"
    assert (table["be", "s1"]["check_status"], table["be", "s1"]["check_code"]) == ("L7OK", 200)
    assert table["be", "s2"]["status"] == "DOWN"
    assert "Connection refused" in str(table["be", "s2"]["check_desc"])
    assert "check_code" not in table["be", "s2"]
    assert table["be", "s3"]["status"] == "no check"
    assert (table["be", "s3"]["act"], table["be", "s3"]["bck"], table["be", "s3"]["slim"]) == (0, 1, 7)


@pytest.mark.parametrize(
    ("up", "health", "administrative", "status"),
    [
        (True, "3/3 UP", "ready", "UP"),
        (True, "2/3 UP", "ready", "UP 2/3"),
        (True, "2/3 UP", "drain", "DRAIN 2/3"),
        (True, "3/3 UP", "maint", "MAINT"),
        (False, "0/2 DOWN", "ready", "DOWN"),
        (False, "1/2 DOWN", "drain", "DOWN 1/2"),
    ],
)
def test_a_server_on_its_way_says_how_far_it_is(plane, verdicts, up, health, administrative, status):
    """HAProxy's words: `UP 2/3` has had a failed check, `DOWN 1/2` a good one."""
    server = plane.backends["be"].by_name["s1"]
    plane.set_server_up("be", "s1", up=up)
    server.administrative = administrative
    outcome = verdicts["be", "s1"].outcome
    assert status_of(server, Verdict(up, False, outcome, health, 0.0)) == status


def test_a_server_that_its_agent_took_down_says_so(plane, verdicts):
    plane.agent_state("be", "s1", up=False, checked_up=True, why="")
    assert by_name(plane, verdicts)["be", "s1"]["status"] == "DOWN (agent)"
    plane.agent_state("be", "s1", up=True, checked_up=True, why="")
    assert by_name(plane, verdicts)["be", "s1"]["status"] == "UP"


def test_a_backend_is_down_when_none_of_its_servers_is_left(plane, verdicts):
    for name in ("s1", "s2", "s3"):
        plane.set_server_up("be", name, up=False)
    backend = by_name(plane, verdicts)["be", "BACKEND"]
    assert (backend["status"], backend["act"], backend["bck"]) == ("DOWN", 0, 0)


def test_the_csv_has_one_cell_for_every_column_in_every_row(plane, verdicts):
    header, *lines = to_csv(rows(plane, verdicts)).splitlines()
    assert header == "# " + ",".join(COLUMNS) + ","
    for cells in csv.reader(io.StringIO("\n".join(lines))):
        assert len(cells) == len(COLUMNS) + 1
        assert cells[COLUMNS.index("-")] == "-"


def test_a_text_with_commas_and_quotes_stays_one_cell(plane, verdicts):
    table = rows(plane, verdicts)
    table[0]["check_desc"] = 'a "quoted", text'
    line = to_csv(table).splitlines()[1]
    (cells,) = csv.reader([line])
    assert cells[COLUMNS.index("check_desc")] == 'a "quoted", text'


@pytest.mark.interop
def test_the_columns_are_haproxy_2_6_s(tmp_path):
    """Its static block, up to the `-` column; modules append theirs behind it."""
    path, sock = tmp_path / "haproxy.cfg", tmp_path / "sock"
    path.write_text(f"global\n stats socket {sock}\nlisten l\n bind unix@{tmp_path}/l\n mode http\n")
    with subprocess.Popen(["haproxy", "-db", "-f", str(path)], stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 10
            while not sock.exists():
                assert time.monotonic() < until
                assert process.poll() is None
            asked = subprocess.run(
                ["socat", "-", f"UNIX-CONNECT:{sock}"], input=b"show stat\n", capture_output=True, timeout=10
            )
        finally:
            process.terminate()
    header = asked.stdout.decode().splitlines()[0].removeprefix("# ").split(",")
    assert tuple(header[: len(COLUMNS)]) == tuple(COLUMNS)
