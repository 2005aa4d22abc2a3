"""What a router watches, in one string."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hapair.config.fields import FieldError
from hapair.config.model import Track
from hapair.config.tracks import DEFAULT_WEIGHTS, HEAVIEST, track, written


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("backend.web", Track("backend", "web", 1)),
        ("backend.web>=2", Track("backend", "web", 2)),
        ("backend.a.b >= 10", Track("backend", "a.b", 10)),
        ("backend.web>=2 weight -20", Track("backend", "web", 2, -20)),
        ("backend.web weight 0", Track("backend", "web", 1, 0)),
        ("frontend.main", Track("frontend", "main", 1)),
        ("frontend.main>=2 weight -20", Track("frontend", "main", 2, -20)),
        ("interface.eth1", Track("interface", "eth1", weight=0)),
        ("interface.eth1.20 weight -20", Track("interface", "eth1.20", weight=-20)),
        ("interface.eth1 yield", Track("interface", "eth1", weight=None)),
        ("script.chk weight 10", Track("script", "chk", weight=10)),
        ("script.chk weight +10", Track("script", "chk", weight=10)),
        ("ping.gw  weight  -30  reverse", Track("ping", "gw", weight=-30, reverse=True)),
        ("ping.r weight 0 reverse", Track("ping", "r", weight=0, reverse=True)),
        ("file.f", Track("file", "f", weight=1)),
        ("process.p weight 253", Track("process", "p", weight=253)),
    ],
)
def test_a_track_is_a_thing_and_what_it_is_worth(text, meaning):
    assert track(text) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (1, "expected"),
        ("", "expected"),
        ("web", "is not"),
        ("backend.", "is not"),
        ("scirpt.chk", 'did you mean "script"?'),
        ("disk.root", "known here: backend, frontend, interface"),
        ("backend.web>=0", "always holds"),
        ("backend.web>=", '">=" is not'),
        ("backend.web>2", '">2" is not'),
        ("backend.web>=-1", '">=-1" is not'),
        ("interface.eth1>=2", "only a backend"),
        ("script.chk weight", '"weight" is not'),
        ("script.chk weight x", '"weight x" is not'),
        ("script.chk weight 254", "outside -253..253"),
        ("script.chk weight -254", "outside -253..253"),
        ("script.chk reverse", '"reverse" is not'),
        ("script.chk yield reverse", "is not"),
        ("script.chk wieght 3", '"wieght 3" is not'),
        ("script.chk weight 3 ", "is not"),
    ],
)
def test_no_other_track_is_taken(text, complaint):
    with pytest.raises(FieldError) as caught:
        track(text)
    assert complaint in caught.value.message


def test_the_mistake_is_shown_where_it_is():
    with pytest.raises(FieldError) as caught:
        track("script.chk weight -300")
    assert caught.value.offset == len("script.chk weight ")


@given(
    st.builds(
        Track,
        kind=st.sampled_from(sorted(DEFAULT_WEIGHTS)),
        name=st.from_regex(r"\A[a-zA-Z0-9_.:@-]{1,9}\Z"),
        weight=st.none() | st.integers(-HEAVIEST, HEAVIEST),
        reverse=st.booleans(),
    ).filter(lambda one: one.weight is not None or not one.reverse)
)
def test_what_is_shown_means_the_same(one):
    assert track(written(one)) == one
