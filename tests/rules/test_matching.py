"""Matching methods, one by one."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.rules.lexer import RuleError, Word, split
from hapair.rules.matching import TEXT_METHODS, number_test, text_test

words = st.text("aA./?:b", min_size=1, max_size=6)


def matches(method: str, patterns: str, sample: str, *, ignore_case: bool = False) -> bool:
    return text_test(method, split(patterns), ignore_case=ignore_case)(sample.encode())


@pytest.mark.parametrize(
    ("method", "patterns", "yes", "no"),
    [
        ("str", "/a /b", "/b", "/bc"),
        ("beg", "/a /b", "/bc", "c/b"),
        ("end", ".png .jpg", "x.jpg", "x.jpg?"),
        ("sub", "bc", "abcd", "acb"),
        ("sub", "x bc", "abcd", "acb"),
        ("dir", "b", "/a/b/c", "/a/bb/c"),
        ("dir", "/b/", "/a/b", "/ab"),
        ("dir", "b/c", "/b/c?d", "/b/cc"),
        ("dom", "example.org", "www.example.org:80", "www.badexample.org"),
        ("reg", r"^/[0-9]+$", "/42", "/4x"),
        ("reg", "x ^/a", "/a", "/b"),
        ("len", "2:3", "ab", "abcd"),
    ],
)
def test_each_method_matches_what_it_says(method, patterns, yes, no):
    assert matches(method, patterns, yes)
    assert not matches(method, patterns, no)


@pytest.mark.parametrize("method", ["str", "beg", "end", "sub", "dir", "dom", "reg"])
def test_case_counts_unless_told_otherwise(method):
    assert not matches(method, "Abc", "aBC")
    assert matches(method, "Abc", "aBC", ignore_case=True)


def test_only_ascii_letters_have_a_case():
    assert not matches("str", "É", "é", ignore_case=True)


def test_a_pattern_of_delimiters_alone_never_matches_a_directory():
    assert not matches("dir", "/", "/")
    assert not matches("dir", "/ ?", "/a/b?")
    assert matches("dir", "/ a", "/a/b?")


@given(words, st.lists(words, min_size=1, max_size=3), st.sampled_from(["str", "beg", "end", "sub"]))
def test_case_is_folded_in_patterns_and_samples_alike(sample, patterns, method):
    listed = [Word(pattern, 0) for pattern in patterns]
    folded = [Word(pattern.lower(), 0) for pattern in patterns]
    plain = text_test(method, folded, ignore_case=False)(sample.lower().encode())
    assert text_test(method, listed, ignore_case=True)(sample.encode()) == plain


@given(
    words, st.lists(words, min_size=1, max_size=3), st.sampled_from([m for m in TEXT_METHODS if m != "len"])
)
def test_several_patterns_match_when_one_of_them_does(sample, patterns, method):
    if method == "reg":
        patterns = [pattern.replace("?", "") or "a" for pattern in patterns]
    together = text_test(method, [Word(pattern, 0) for pattern in patterns], ignore_case=False)
    alone = [text_test(method, [Word(pattern, 0)], ignore_case=False) for pattern in patterns]
    assert together(sample.encode()) == any(test(sample.encode()) for test in alone)


def by_definition(method: str, pattern: bytes, sample: bytes) -> bool:
    """HAProxy's manual in a regular expression."""
    if method == "sub":
        return pattern in sample
    border = b"[/?]" if method == "dir" else b"[/?.:]"
    bare = pattern.strip(b"/?" if method == "dir" else b"/?.:")
    return bool(bare) and bool(
        re.search(b"(?:^|" + border + b")" + re.escape(bare) + rb"(?:\Z|" + border + b")", sample)
    )


@given(
    st.text("aA./?:b", max_size=20),
    st.lists(words, min_size=1, max_size=30),
    st.sampled_from(["sub", "dir", "dom"]),
    st.booleans(),
)
def test_parts_are_found_as_a_regular_expression_would(sample, patterns, method, ignore_case):
    test = text_test(method, [Word(pattern, 0) for pattern in patterns], ignore_case=ignore_case)
    fold = str.lower if ignore_case else str
    expected = any(
        by_definition(method, fold(pattern).encode(), fold(sample).encode()) for pattern in patterns
    )
    assert test(sample.encode()) is expected


@pytest.mark.parametrize("method", ["sub", "dir", "dom"])
@pytest.mark.parametrize("ignore_case", [True, False])
def test_a_large_file_of_patterns_takes_no_longer_than_a_small_one(method, ignore_case):
    """One expression of 20 000 alternatives took seconds for each request."""
    patterns = [Word(f"p{number:05}", 0) for number in range(20_000)]
    test = text_test(method, patterns, ignore_case=ignore_case)
    started = time.thread_time()
    for sample in (b"/p0" * 5000, b"p0" * 8000, b"/p0000x" * 2300):
        assert not test(sample)
        assert test(sample + b"/p19999")
    assert time.thread_time() - started < 1.0


@pytest.mark.parametrize(
    ("patterns", "members"),
    [
        ("3", {3}),
        ("1 3", {1, 3}),
        ("2:4", {2, 3, 4}),
        (":1", {0, 1}),
        ("4:", {4, 5}),
        ("gt 3", {4, 5}),
        ("ge 3", {3, 4, 5}),
        ("lt 2", {0, 1}),
        ("le 2", {0, 1, 2}),
        ("eq 2 4", {2, 4}),
        ("ne 2", {0, 1, 3, 4, 5}),
        ("lt 1 gt 4", {0, 5}),
    ],
)
def test_numbers_ranges_and_operators(patterns, members):
    test = number_test(split(patterns))
    assert {number for number in range(6) if test(number)} == members


@pytest.mark.parametrize(
    ("patterns", "offset"),
    [("x", 0), ("1 +2", 2), ("--1", 0), (":", 0), ("1 gt", 2), ("gt 2:3", 3), ("1_0", 0), ("٣", 0)],
)
def test_what_is_no_number_is_refused(patterns, offset):
    with pytest.raises(RuleError) as caught:
        number_test(split(patterns))
    assert caught.value.offset == offset


def test_a_broken_regular_expression_is_refused_with_its_place():
    with pytest.raises(RuleError, match="regular expression") as caught:
        text_test("reg", split("^/a [b"), ignore_case=False)
    assert caught.value.offset == 4
