"""What is remembered of servers comes back as it was, and anything else is not believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.health.saved import Saved, decode, encode

NAMES = st.text(st.sampled_from("aB0_.:-"), min_size=1, max_size=5)
SAVED = st.builds(
    Saved,
    administrative=st.sampled_from(["ready", "drain", "maint"]),
    weight=st.none() | st.integers(0, 256),
    question=st.text(max_size=30),
    value=st.integers(0, 1000),
)


@given(st.dictionaries(st.tuples(NAMES, NAMES), SAVED))
def test_it_comes_back_as_it_was(servers):
    assert decode(encode(servers)) == servers


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_else_is_in_the_file_is_a_value_error_or_something_sound(content):
    try:
        found = decode(content if isinstance(content, bytes) else content.encode())
    except ValueError:
        return
    assert all(isinstance(one, Saved) for one in found.values())


@pytest.mark.parametrize(
    "change", [{"administrative": "gone"}, {"weight": 257}, {"weight": True}, {"value": -1}, {"value": "2"}]
)
def test_a_value_out_of_range_is_not_believed(change):
    tree = json.loads(encode({("b", "s"): Saved()}))
    tree["servers"][0] |= change
    with pytest.raises(ValueError, match="is no"):
        decode(json.dumps(tree).encode())


def test_another_version_is_not_believed():
    with pytest.raises(ValueError, match="version 2"):
        decode(b'{"version": 2, "servers": []}')
