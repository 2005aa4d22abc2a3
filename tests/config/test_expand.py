"""`${NAME}` in strings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.expand import escape, expand
from hapair.config.fields import Expanded
from hapair.config.locate import locate
from hapair.config.report import Report

ENVIRON = {"A": "1", "EMPTY": "", "NESTED": "${A}"}


def expanded(value, environ=ENVIRON):
    report = Report("f", "", locate(""))
    return expand(value, environ, report), [problem.message for problem in report.errors]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${A-2}", "1"),
        ("${B-2}", "2"),
        ("${B-}", ""),
        ("${EMPTY-2}", ""),
        ("${B-a-b}", "a-b"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A {A} $", "$A {A} $"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced(text, result):
    assert expanded(text) == (result, [])


@pytest.mark.parametrize("text", ["${", "${}", "${B", "${1}", "${A B}", "${A:-x}", "${B}"])
def test_a_bad_or_unset_reference_is_a_problem(text):
    assert len(expanded(text)[1]) == 1


def test_every_string_is_looked_at_and_nothing_else():
    value = {"${A}": ["${A}", 1, True, {"x": "${A}"}], "y": 1.5}
    assert expanded(value)[0] == {"${A}": ["1", 1, True, {"x": "1"}], "y": 1.5}


def test_only_what_was_replaced_is_marked():
    assert isinstance(expanded("${A}")[0], Expanded)
    assert not isinstance(expanded("1")[0], Expanded)


@given(st.text(st.sampled_from("${}A-x"), max_size=12))
def test_an_escaped_text_expands_to_itself(text):
    assert expanded(escape(text)) == (text, [])


def test_a_string_with_a_bad_reference_is_told_once():
    text = 'x = "a${NOPE}"\n'
    report = Report("f", text, locate(text))
    expand({"x": "a${NOPE}"}, {}, report)
    report.error(("x",), "and it is no number either")
    assert [(problem.column, problem.message.split()[0]) for problem in report.errors] == [(7, "NOPE")]
