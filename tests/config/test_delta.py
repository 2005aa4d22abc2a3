"""What a reload changes."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.delta import LIVE, Names, delta
from hapair.config.model import Api, Backend, Node, NodeConfig, Server

NODE = Node("a")


def backends(weights: dict[str, int]) -> NodeConfig:
    return NodeConfig(
        NODE,
        backends={
            name: Backend(name, (Server("s", 1, "127.0.0.1", 80, weight),))
            for name, weight in weights.items()
        },
    )


WEIGHTS = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2))


@given(WEIGHTS, WEIGHTS)
def test_each_name_is_added_removed_changed_or_the_same(old, new):
    names = delta(backends(old), backends(new)).backends
    assert set(names.added) == new.keys() - old.keys()
    assert set(names.removed) == old.keys() - new.keys()
    assert set(names.changed) == {name for name in old.keys() & new.keys() if old[name] != new[name]}
    assert set(names.same) == {name for name in old.keys() & new.keys() if old[name] == new[name]}


@given(WEIGHTS)
def test_nothing_changes_between_equals(weights):
    change = delta(backends(weights), backends(dict(reversed(weights.items()))))
    assert change.summary() == "nothing changed"
    assert (change.restart_keys, change.live_keys) == ((), ())


@pytest.mark.parametrize("field", attrs.fields(Node), ids=lambda field: field.name)
def test_every_key_of_the_node_is_followed_or_waits_for_a_restart(field):
    changed = NodeConfig(attrs.evolve(NODE, **{field.name: "something else"}))
    change = delta(NodeConfig(NODE), changed)
    key = (f"node.{field.name}",)
    assert (change.live_keys, change.restart_keys) == ((key, ()) if field.name in LIVE else ((), key))


def test_the_api_waits_for_a_restart():
    change = delta(NodeConfig(NODE), NodeConfig(NODE, Api(socket="/run/x", listen=("127.0.0.1", 1))))
    assert change.restart_keys == ("api.socket", "api.listen")


def test_the_summary_names_what_happens():
    change = delta(backends({"a": 1, "b": 1, "c": 1}), backends({"b": 2, "c": 1, "d": 1}))
    assert change.backends == Names(("d",), ("a",), ("b",), ("c",))
    assert change.summary() == "backend d added; backend a removed; backend b changed"
