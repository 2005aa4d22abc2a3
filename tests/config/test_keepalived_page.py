"""docs/keepalived.md: its words are keepalived's, its keys are ours, and no word of a router is left out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import attrs
import pytest

from hapair.config.model import SyncGroup, VrrpInstance

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/keepalived.md").read_text()
REFERENCE = (ROOT / "configs/reference.toml").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
WORD = re.compile(r"`([a-z_0-9]+)`")
NOT_IN_TABLES = {"vrid", "not_a_peer", "duplicate_master"}
"""A reason for a drop, or an event."""


def test_every_row_has_two_columns():
    assert ROWS
    assert {len(row) for row in ROWS} == {2}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: WORD.findall(row[0])[0])
def test_what_stands_on_the_right_is_a_key_of_the_reference(row):
    words = set(WORD.findall(row[1])) - NOT_IN_TABLES
    assert words or re.match(r"none|always|as the|the ", row[1]), "a key, or the reason why there is none"
    for word in words:
        assert re.search(rf"\b{word}\b", REFERENCE), word


@pytest.mark.parametrize("model", [VrrpInstance, SyncGroup])
def test_every_key_of_a_router_is_mentioned(model):
    words = set(WORD.findall(PAGE))
    assert {field.name for field in attrs.fields(model)} - words <= {"name"}


@pytest.mark.interop
def test_what_stands_on_the_left_is_a_word_of_keepalived():
    program = shutil.which("keepalived", path="/usr/sbin:/usr/bin:/sbin")
    assert program is not None, "keepalived is missing"
    binary = Path(program).read_bytes()
    words = {word for row in ROWS for word in WORD.findall(row[0])}
    assert len(words) > 100
    assert {word for word in words if f"{word}\0".encode() not in binary} == set()
