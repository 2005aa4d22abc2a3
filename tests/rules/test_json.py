"""JSON in samples: whatever somebody sends, a value or none."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.rules.arguments import calls
from hapair.rules.convert_json import CONVERTERS, _look, json_path
from hapair.rules.lexer import RuleError
from hapair.rules.sample import compile_sample

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_every_leaf_is_found_by_its_path(document):
    def leaves(value, steps):
        yield value, steps
        inside = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for step, one in inside:
            yield from leaves(one, [*steps, step])

    text = json.dumps(document).encode()
    for value, steps in leaves(document, []):
        assert _look(text, steps) == value


@given(st.binary(max_size=60))
def test_what_is_no_json_has_no_value(text):
    _look(text, ["a", 0])


def test_nesting_without_end_has_no_value():
    assert _look(b"[" * 100_000, [0]) is None
    assert _look(b'{"a":' + b"9" * 10_000 + b"}", ["a"]) is None


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", []),
        ("$.a", ["a"]),
        ("$.a.b[3].c-d", ["a", "b", 3, "c-d"]),
        (r"$.my\.key", ["my.key"]),
        ("$[0][1]", [0, 1]),
    ],
)
def test_paths(path, steps):
    assert json_path(path) == steps


@pytest.mark.parametrize("path", ["a", "$a", "$.", "$..a", "$.a[", "$.a[x]", "$.a[-1]"])
def test_what_is_no_path(path):
    with pytest.raises(ValueError, match=re.escape(path)):
        json_path(path)


@pytest.mark.parametrize(
    ("sample", "complaint"),
    [
        ("path,json_query", "needs a path"),
        ("path,json_query('a')", "is not a path"),
        ("path,json_query('$.a','str')", "is not int"),
        ("path,jwt_verify(RS256,/etc/key.pem)", "no public-key cryptography"),
        ("path,jwt_verify(HS256)", "needs a key"),
    ],
)
def test_mistakes_are_found_at_load(sample, complaint):
    with pytest.raises(RuleError) as caught:
        compile_sample(sample)
    assert complaint in caught.value.message


def test_a_token_whose_header_is_asked_for_as_a_whole():
    convert = CONVERTERS["jwt_header_query"].make(calls("jwt_header_query", 0)[0], None)
    assert convert(b"eyJhIjoxfQ.e30.x", None) == b'{"a":1}'
