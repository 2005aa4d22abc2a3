"""And, or, not and braces, against Python's own."""

from __future__ import annotations

from itertools import product

import pytest

from hapair.rules.acl import compile_acl, compile_condition, condition_mistake


@pytest.mark.parametrize(
    ("condition", "meaning"),
    [
        ("a", "a"),
        ("a b", "a and b"),
        ("a b c", "a and b and c"),
        ("a || b", "a or b"),
        ("a or b || c", "a or b or c"),
        ("a b || c", "a and b or c"),
        ("a || b c", "a or b and c"),
        ("!a", "not a"),
        ("! a", "not a"),
        ("!!a", "a"),
        ("a !b || ! c", "a and not b or not c"),
        ("a { always_true }", "a"),
        ("!{ always_true } || b", "b"),
        ("! { always_false } c", "c"),
        ("a { path_beg /static } { hdr(host) -i www.example.org }", "a"),
    ],
)
def test_and_binds_tighter_than_or_and_not_tightest(condition, meaning, facts):
    constants = {True: compile_acl(["always_true"]), False: compile_acl(["always_false"])}
    for values in product([True, False], repeat=3):
        acls = {name: constants[value] for name, value in zip("abc", values, strict=True)}
        assert compile_condition(condition, acls)(facts) is eval(
            meaning, dict(zip("abc", values, strict=True))
        ), values


@pytest.mark.parametrize("condition", ["a b", "a b c"])
def test_nobody_asks_further_than_the_answer(condition, facts):
    asked = []

    def acl(name, verdict):
        return lambda _: asked.append(name) or verdict

    acls = {"a": acl("a", False), "b": acl("b", True), "c": acl("c", True)}
    assert not compile_condition(condition, acls)(facts)
    assert asked == ["a"]
    asked.clear()
    assert compile_condition("b || a || c", acls)(facts)
    assert asked == ["b"]


@pytest.mark.parametrize(
    ("condition", "offset", "message"),
    [
        ("", 0, "a condition is missing"),
        ("a ||", 4, "a condition is missing"),
        ("|| a", 0, "a condition is missing"),
        ("a || || b", 5, "a condition is missing"),
        ("a !", 3, "nothing follows"),
        ("! || a", 1, "nothing follows"),
        ("a !blokced", 3, 'did you mean "blocked"?'),
        ("METH_GOT", 0, 'did you mean "METH_GET"?'),
        ("a && b", 2, "side by side"),
        ("a and b", 2, "side by side"),
        ("path_beg /a", 0, "stands in braces: { path_beg ... }"),
        ("{path_beg /a }", 0, "braces need blanks"),
        ("{ path_beg /a", 0, "never closed"),
        ("a { }", 2, "an expression is missing"),
        ("a { path_bge /a }", 4, 'did you mean "path_beg"?'),
        ("a }", 2, "there is no acl '}'"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(condition, offset, message):
    mistake = condition_mistake(condition, ["a", "b", "blocked"])
    assert mistake is not None
    assert mistake[0] == offset
    assert message in mistake[1]
