"""The memo of heads: it finds what the parser finds, keeps little, and gives up where nothing repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.errors import BadMessage
from hapair.http1 import head, memo
from hapair.http1.caching import caching
from hapair.http1.head import Limits
from hapair.http1.memo import LONGEST, PAUSE, Memo
from hapair.http1.printable import request_line as logged_line

FIELDS = [
    b"Host: h",
    b"host: other.example:80",
    b"Host: a b",
    b"Cookie: a=b; SERVERID=s1",
    b"Connection: close",
    b"Connection: x-mine, upgrade",
    b"Upgrade: websocket",
    b"X-Mine: 1",
    b"Keep-Alive: 5",
    b"Content-Length: 5",
    b"Content-Length: 007",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Set-Cookie: a=b",
    b"Cache-Control: max-age=9, Public",
    b"cache-control: no-store",
    b"Pragma: no-cache",
    b" folded",
    b"Bad Name: x",
    b"X: \x00",
    b"X: bare\ncr",
    b"no colon",
]
LINES = [
    b"GET / HTTP/1.1",
    b"POST /a?b=c HTTP/1.1",
    b"GET / HTTP/1.0",
    b"GET http://h/x HTTP/1.1",
    b"GET http://other/x HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"CONNECT h:80 HTTP/1.1",
    b"CONNECT / HTTP/1.1",
    b"BREW /pot HTTP/1.1",
    b"G\x00T / HTTP/1.1",
    b"GET /\n HTTP/1.1",
    b"GET /\r HTTP/1.1",
    b"GET /#x HTTP/1.1",
    b"GET  HTTP/1.1",
    b"GET / HTTP/2.0",
    b"GET /",
    b"",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 404 Not Found",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 20 OK",
]
fields = st.lists(st.sampled_from(FIELDS), max_size=4).map(tuple)
blocks = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(LINES), st.sampled_from(LINES[:2])),
        st.one_of(fields, st.sampled_from([(b"Host: h",), (b"Host: h", b"Cookie: a=b")])),
    ).map(lambda parts: b"\r\n".join([parts[0], *parts[1]])),
    max_size=30,
)


def facts(thing: Any) -> dict[str, Any]:
    """Its attributes; a compiled class has no `__slots__` to name them."""
    values = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    return {name: value for name, value in values.items() if not callable(value)}


def said(parse: Callable[[], Any]) -> Any:
    """Everything that a message says, or why it is refused; afterwards its lists are spoilt."""
    try:
        message = parse()
    except BadMessage as mistake:
        return mistake.status, mistake.why
    found = facts(message)
    found["options"] = facts(message.options)
    del found["wire"]  # the lines once more
    if found.pop("cached", 0):
        assert message.cached == caching(message.lines)
    if found.pop("text", b""):
        # Only the memo knows, and only what is not edited.
        assert message.text == logged_line(b"%b %b HTTP/1.1" % (message.method, message.target))
    for seen in ("line_seen", "fields_seen", "as_it_came"):
        found.pop(seen, None)  # only the memo's have them
    for name, values in (found.pop("known") or {}).items():
        assert message.header(name) == values, "they are read from the lines by now"
    copy = {name: list(value) if isinstance(value, list) else value for name, value in found.items()}
    for value in (message.lines, message.cookies, getattr(message, "dropped", [])):
        value.append(b"X-Spoilt: yes")
    return copy


PARSERS = [(head.parse_request, memo.parse_request), (head.parse_response, memo.parse_response)]


@pytest.mark.parametrize(("plain", "remembering"), PARSERS)
@given(sequence=blocks, generation=st.sampled_from([1, 2, 5, 100]))
def test_a_head_means_the_same_whatever_was_seen_before(plain, remembering, sequence, generation) -> None:
    kept = Memo(generation)
    for block in [*sequence, *sequence]:
        assert said(lambda: remembering(block, kept)) == said(lambda: plain(block))  # noqa: B023


def test_the_same_header_lines_are_parsed_once_for_every_request_line() -> None:
    kept = Memo()
    for number in range(5):
        request = memo.parse_request(b"GET /%d HTTP/1.1\r\nHost: h\r\nCookie: a=b" % number, kept)
        assert request.target == b"/%d" % number
    assert len(kept) == 1


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.0", b"GET http://h/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT h:1 HTTP/1.1"]
)
def test_nothing_is_learnt_from_a_request_whose_line_changes_what_its_fields_mean(line: bytes) -> None:
    kept = Memo()
    memo.parse_request(line + b"\r\nHost: " + (b"h:1" if line.startswith(b"CONNECT") else b"h"), kept)
    assert len(kept) == 0


def test_what_was_kept_under_larger_limits_is_refused_under_smaller_ones() -> None:
    many = b"\r\nHost: h" + b"\r\nX: y" * 50
    large, small = Limits(headers=100), Limits(line=20, headers=10)
    kept, lines = Memo(), Memo()
    memo.parse_request(b"GET / HTTP/1.1" + many, kept, lines, large)
    memo.parse_request(b"GET /longer HTTP/1.1\r\nHost: h", kept, lines, large)
    memo.parse_request(b"GET / HTTP/1.1\r\nHost: h", kept, lines, small)
    for block in (b"GET / HTTP/1.1" + many, b"GET /longer! HTTP/1.1\r\nHost: h"):
        with pytest.raises(BadMessage):
            memo.parse_request(block, kept, lines, small)
    answer = b"HTTP/1.1 200 OK" + b"\r\nX: y" * 50
    memo.parse_response(answer, kept, large)
    with pytest.raises(BadMessage):
        memo.parse_response(answer, kept, small)


def test_what_was_refused_and_what_is_long_is_not_kept() -> None:
    kept = Memo()
    with pytest.raises(BadMessage):
        memo.parse_request(b"GET / HTTP/1.1\r\nHost: h\r\nHost: h", kept)
    with pytest.raises(BadMessage):
        memo.parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: x", kept)
    long = b"X: " + b"x" * LONGEST
    memo.parse_request(b"GET / HTTP/1.1\r\nHost: h\r\n" + long, kept)
    memo.parse_response(b"HTTP/1.1 200 OK\r\n" + long, kept)
    assert len(kept) == 0


def test_heads_that_are_asked_for_outlive_those_that_are_not() -> None:
    kept = Memo(generation=10)
    kept.keep(b"often", 1)
    for number in range(100):
        for _ in range(5):
            assert kept.find(b"often") == 1
        kept.keep(b"%d" % number, number)
        assert len(kept) <= 20
    assert kept.find(b"0") is None


def test_where_nothing_repeats_looking_up_is_given_up_for_a_while() -> None:
    kept = Memo(generation=10)
    for number in range(10):
        assert kept.find(b"%d" % number) is None
        kept.keep(b"%d" % number, number)
    for number in range(10 * PAUSE):
        kept.keep(b"new", 1)
        assert kept.find(b"%d" % (number % 10)) is None
    assert [kept.find(b"%d" % number) for number in range(10)] == list(range(10))
    assert kept.find(b"new") is None
