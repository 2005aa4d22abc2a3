"""No expression that is accepted can be kept busy, whatever a client sends."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from proxy.world import World
from rules.requests import Request
from rules.test_sample import value

from hapair.rules.acl import compile_acl
from hapair.rules.lexer import RuleError, Word
from hapair.rules.matching import text_test
from hapair.rules.patience import LEAST, LONGEST, regular

ENOUGH = 2.0
"""Seconds of this thread's own time: ten times what the worst takes."""


def longest(expression: str, *, where: bool = True) -> int:
    return regular(expression, 0, ignore_case=False, where=where).longest


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$",
        "(a|aa)*b",
        "(a|a)*b",
        "(?:(?:a*)*)*b",
        "((a?){10}){10}b",
        "(?:a?){20,}b",
        r"(\d+,?)+$",
        r"(\w+\s*)+:",
        "(.*,){10}x",
        "(?=(a+)+b)a",
        "(?>(a+)+b)",
        "(?:(a+)+b)++",
    ],
)
def test_what_takes_exponential_time_is_refused(expression):
    with pytest.raises(RuleError, match="busy for ever"):
        regular(expression, 0, ignore_case=False)


@pytest.mark.parametrize(
    "expression",
    [
        r"\.(jpg|jpeg|png|gif)$",
        "^/api/v[0-9]+/users/[0-9]+$",
        r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
        "^(www|api)\\.example",
        "^/static/.*\\.png$",
        "^([a-z]+)=([^;]*);.*$",
        "^([a-z]+,)*x",
        "^(/[a-z]+)*$",
        "^/[^/]*/[^/]*/[^/]*\\.php$",
        "(?i)a{2,9}(b|c)",
        "foo.*",
        ".*",
        r"(\.\./)+",
        r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$",
        "(?:a*)*",
    ],
)
def test_what_takes_linear_time_is_asked_of_every_text(expression):
    assert longest(expression) == LONGEST


@pytest.mark.parametrize(
    ("expression", "least"),
    [
        (r"^/.*/.*/.*\.php$", 150),
        ("select.*from.*where", 400),
        (r"^/(.*)/(.*)/(.*)$", 150),
        ("(bot|crawl|spider).*(google|bing)", 1000),
        ("(?:foo|bar)+x", 1500),
        (r"\s+$", 2000),
        (r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$", 2000),
        ("a.*b.*c.*d", 50),
    ],
)
def test_what_takes_polynomial_time_is_asked_of_texts_of_a_useful_length(expression, least):
    assert least <= longest(expression) < LONGEST


def test_a_beginning_of_anything_costs_nothing_where_only_whether_counts():
    assert longest(".*foo", where=False) == longest("foo") == LONGEST
    assert longest(".*?select.*from", where=False) == longest("select.*from")
    assert longest(".*foo") < LONGEST
    assert text_test("reg", [Word(".*foo", 0)], ignore_case=False)(b"\nxfoo")
    assert not text_test("reg", [Word(".*+foo", 0)], ignore_case=False)(b"xfoo")


@given(
    st.lists(st.sampled_from([".*", ".*?", *"ab^$.|"]), max_size=6).map("".join), st.text("ab\n", max_size=8)
)
def test_leaving_it_out_changes_nothing(expression, text):
    try:
        asked = regular(expression, 0, ignore_case=False, where=False)
    except RuleError:
        return
    assert bool(asked.search(text.encode())) is bool(re.search(expression.encode(), text.encode()))


def test_what_is_sought_behind_each_find_may_be_sought_in_vain():
    """`sub` of Python scans to the end of the text for each x; a search does so once."""
    expression = "x(?:.*y)?"
    assert longest(expression) == LONGEST
    assert regular(expression, 0, ignore_case=False, every=True).longest < 10_000
    assert regular(r"(\.\./)+", 0, ignore_case=False, every=True).longest == LONGEST
    assert regular("foo.*", 0, ignore_case=False, every=True).longest == LONGEST


def test_nothing_is_found_in_a_longer_text():
    expression = regular(r"^/.*/.*/.*\.php$", 0, ignore_case=False)
    fits = b"/" * (expression.longest - 4) + b".php"
    assert expression.search(fits)
    assert expression.search(b"/" + fits) is None
    assert expression.replace(fits, lambda _: b"!", 0) == b"!"
    assert expression.replace(b"/" + fits, lambda _: b"!", 0) == b"/" + fits


SLASHES = b"/" * 16000
HEAVY = r"/.*/.*/.*/.*\.php"


def test_every_sample_that_takes_an_expression_is_patient(tmp_path):
    """Each of these would take hours."""
    started = time.thread_time()
    facts = Request(method=b"GET", path=SLASHES, query=b"", source="10.0.0.1", headers=((b"x", SLASHES),))
    assert not compile_acl([f"path_reg {HEAVY}"])(facts)
    assert not compile_acl([f"hdr(x) -m reg -i {HEAVY}"])(facts)
    (tmp_path / "map").write_text(f"{HEAVY} found\n")
    known = {"variables": {"txn.v": SLASHES}}
    for name in ("map_reg", "map_regm"):
        assert value(f"var(txn.v),{name}({tmp_path}/map,none)", **known) == b"none"
    assert value(f'var(txn.v),regsub("{HEAVY}",x,g)', **known) == SLASHES
    assert time.thread_time() - started < ENOUGH


@pytest.mark.parametrize(
    "rule",
    [
        f"replace-path {HEAVY} /x",
        f"replace-pathq {HEAVY} /x",
        f"replace-uri {HEAVY} /x",
        f"replace-header x {HEAVY} y",
        f"replace-value x {HEAVY} y",
        "del-header a.*a.*a.*a.*b -m reg",
    ],
)
def test_every_edit_that_takes_an_expression_is_patient(rule):
    world = World(frontend={"http_request": (rule,)})
    started = time.thread_time()
    name = b"a" * 2000
    path, header = SLASHES[:5000], SLASHES[:5000]
    client = world.client(b"GET %b HTTP/1.1\r\nHost: a\r\nX: %b\r\n%b: 1\r\n\r\n" % (path, header, name))
    assert path in client.server.got
    assert b": " + header + b"\r\n" in client.server.got
    assert name in client.server.got
    assert time.thread_time() - started < ENOUGH


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "ab", "/", "aa", r"\w", r"\b", "a", "^", "$"])
counts = st.sampled_from(["*", "+", "?", "*?", "+?", "*+", "{2}", "{1,3}", "{0,20}", "{2,}", "{3,}?"])
expressions = st.recursive(
    st.builds("{}{}".format, atoms, counts | st.just("")),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("({}){}".format, inner, counts),
        st.builds("(?={})".format, inner),
        st.builds("(?>{})".format, inner),
        st.builds("(?P<g>{})(?P=g)".format, inner.filter(lambda text: "(?P" not in text)),
    ),
    max_leaves=8,
)
hostile = st.sampled_from(["a", "b", "ab", "aab", "/", "a/", "ba", "aaab", "/a", "ab/"])


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    expressions,
    st.sampled_from(["", "$", "x", "c$", "/x"]),
    hostile,
    st.sampled_from(["", "c", "\n"]),
    st.booleans(),
)
@example(r"^/.*/.*/.*\.php", "$", "/", "", False)
@example(".*select.*from.*where", "", "selectfrom", "", False)
@example("[ab]*?a?\\wb/", "x", "ba", "c", False)
@example("[ab]{1,3}(?:([^b]){0,20}|/)/", "x", "a", "c", False)
@example("([ab]*a[ab]*b)++", "x", "ab", "c", False)
@example("(?:(?=a*b)a)*", "x", "a", "c", False)
@example("a(?:.*y)?", "", "a", "c", True)
def test_no_text_keeps_an_accepted_expression_busy(expression, rest, unit, end, every):
    try:
        asked = regular(expression + rest, 0, ignore_case=False, every=every)
    except RuleError:
        return
    assert asked.longest >= LEAST
    for size in (asked.longest, 16384):
        text = (unit * size)[: min(size, 16384) - len(end)] + end
        started = time.thread_time()
        asked.replace(text.encode(), lambda _: b"", 0 if every else 1)
        assert time.thread_time() - started < ENOUGH
