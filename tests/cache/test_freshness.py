"""What heads say to a shared cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.cache.freshness import (
    LONGEST,
    http_date,
    is_known,
    is_private,
    last_modified,
    lifetime,
    may_be_kept,
    number,
    wants_fresh,
)

NOW = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    "text",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_the_three_forms_of_a_date(text):
    assert http_date(text) == NOW


@given(st.binary(max_size=40))
def test_anything_else_is_no_date(text):
    assert http_date(text) is None or text.strip()


@pytest.mark.parametrize(
    ("lines", "good"),
    [
        ([b"Cache-Control: max-age=30"], 30),
        ([b"cache-control: s-maxage=5, max-age=30"], 5),
        ([b"Cache-Control: max-age=30", b"Cache-Control: s-maxage=7"], 7),
        ([b'Cache-Control: max-age="30"'], 30),
        ([b"Cache-Control: max-age=never"], 0),
        ([b"Cache-Control: max-age=99999999999"], LONGEST),
        ([b"Cache-Control: max-age=9", b"Expires: Sun, 06 Nov 1994 08:50:37 GMT"], 9),
        ([b"Expires: Sun, 06 Nov 1994 08:50:37 GMT"], 60),
        ([b"Expires: Sun, 06 Nov 1994 08:40:37 GMT"], 0),
        ([b"Expires: -1"], 0),
        ([], None),
    ],
)
def test_how_long_a_response_is_good(lines, good):
    assert lifetime(lines, NOW) == good


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([b"Cache-Control: max-age=30"], True),
        ([b'ETag: "1"'], True),
        ([b"Last-Modified: x"], True),
        ([b"Expires: x"], True),
        ([b"Cache-Control: public"], False),
        ([b"Cache-Control: max-age=30, private"], False),
        ([b"Cache-Control: NO-STORE, max-age=30"], False),
        ([b"Cache-Control: max-age=0"], False),
        ([b"Cache-Control: s-maxage=0, max-age=30"], False),
        ([b"Pragma: no-cache", b"Cache-Control: max-age=30"], False),
        ([b"Set-Cookie: a=1", b"Cache-Control: public, max-age=30"], False),
        ([], False),
    ],
)
def test_which_responses_are_kept(lines, kept):
    assert may_be_kept(lines) is kept


@pytest.mark.parametrize(
    ("lines", "fresh"),
    [
        ([b"Cache-Control: no-cache"], True),
        ([b"Cache-Control: max-age=0"], True),
        ([b"Cache-Control: max-age=5"], True),
        ([b"Cache-Control: only-if-cached"], False),
        ([b"Pragma: no-cache"], True),
        ([b"Pragma: no-cache", b"Cache-Control: no-transform"], False),
        ([], False),
    ],
)
def test_which_requests_want_the_server(lines, fresh):
    assert wants_fresh(lines) is fresh


def test_whose_answer_is_for_one_client():
    assert is_private([b"Authorization: Basic x"])
    assert is_private([b"cache-control: no-store"])
    assert not is_private([b"Cache-Control: no-cache"])


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ([b'If-None-Match: "a"'], True),
        ([b'If-None-Match: W/"a"'], True),
        ([b'If-None-Match: "b", "a"'], True),
        ([b"If-None-Match: *"], True),
        ([b'If-None-Match: "b"'], False),
        ([b'If-None-Match: "b"', b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], False),
        ([b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], True),
        ([b"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"], False),
        ([b"If-Modified-Since: yesterday"], False),
        ([], False),
    ],
)
def test_what_a_client_has_already(lines, known):
    assert is_known(lines, b'"a"', NOW) is known


def test_no_tag_is_like_no_other():
    assert not is_known([b"If-None-Match: W/"], b"", NOW)


def test_since_when_a_response_is_what_it_is():
    date = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
    assert last_modified([date, b"Last-Modified: Sun, 06 Nov 1994 08:49:36 GMT"], 5) == NOW - 1
    assert last_modified([date], 5) == NOW
    assert last_modified([], 5) == 5


@given(st.binary(max_size=30))
def test_a_number_of_seconds_is_digits(text):
    found = number(text)
    assert found is None or 0 <= found <= LONGEST
    assert (found is not None) == (text.isdigit() and len(text) < 20)
