"""What each fetch asks of a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.requests import Request

from hapair.rules.acl import acl_mistake, compile_acl
from hapair.rules.client_hello import Hello
from hapair.rules.samples import elements


def request(**changes) -> Request:
    facts = {
        "method": b"GET",
        "path": b"/static/a.png",
        "query": b"x=1",
        "source": "10.1.2.3",
        "headers": ((b"host", b"www.example.org"), (b"x-a", b'one, "two, three"'), (b"x-a", b"four")),
    }
    return Request(**(facts | changes))


STREAM = request(method=b"", path=b"", query=b"", headers=())
"""What is known in TCP mode."""


def holds(expression: str, facts: Request | None = None) -> bool:
    return compile_acl([expression])(facts if facts is not None else request())


@pytest.mark.parametrize(
    "expression",
    [
        "path /static/a.png",
        "path_beg /static",
        "path_end -i .PNG",
        "path_dir static",
        "path_sub tic/",
        r"path_reg \.png$",
        "path -m beg /static",
        "path_beg -m end .png",
        "path_len 13",
        "path -m found",
        "query x=1",
        "query -m sub x",
        "method GET",
        "method POST GET",
        "hdr(host) www.example.org",
        "hdr(Host) -i WWW.example.org",
        "hdr_dom(host) example",
        "hdr_beg(host) www.",
        "hdr_end(host) .org",
        "hdr(host) -m found",
        "hdr(x-a) one",
        "hdr(x-a) '\"two, three\"'",
        "hdr(x-a) four",
        "req.hdr(x-a) four",
        "req.fhdr(x-a) four",
        "req.fhdr(x-a) -m beg one,",
        "hdr_sub(x-a) thr",
        "hdr_reg(x-a) ^o.e$",
        "hdr_cnt(x-a) 3",
        "hdr_cnt(x-b) 0",
        "req.fhdr_cnt(x-a) 2",
        "src 10.0.0.0/8",
        "src -m ip 10.1.2.3",
        "src -m found",
        "always_true",
        "path -- /static/a.png",
    ],
)
def test_holds(expression):
    assert holds(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "path /static",
        "path_beg /Static",
        "path_end png?x=1",
        "method get",
        "hdr(host) example.org",
        "hdr(x-a) two",
        "req.fhdr(x-a) one",
        "hdr(x-b) -m found",
        "hdr(x-b) one",
        "hdr_cnt(x-a) gt 3",
        "src 11.0.0.0/8 ::1",
        "always_false",
    ],
)
def test_does_not_hold(expression):
    assert not holds(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "path -m found",
        "path_len 0",
        "path_len lt 5",
        "path_reg ^$",
        "query -m found",
        "query -m len 0",
        "hdr(host) -m found",
        "hdr(x-a) -m len 0",
        "method -m found",
    ],
)
def test_a_sample_that_is_not_there_never_matches(expression):
    assert not holds(expression, STREAM)


def test_a_header_that_is_there_but_empty_can_match():
    assert holds("hdr(x-e) -m len 0", request(headers=((b"x-e", b""),)))
    assert holds("hdr(x-e) -m found", request(headers=((b"x-e", b""),)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", [b""]),
        (b"a,,b", [b"a", b"", b"b"]),
        (b"a ,\tb", [b"a", b"b"]),
        (b'"a,b",c', [b'"a,b"', b"c"]),
        (rb'"a\",b",c', [rb'"a\",b"', b"c"]),
        (rb"a\,b", [rb"a\\"[:2], b"b"]),
        (b'a="x,y"z,b', [b'a="x,y"z', b"b"]),
        (b'"a,b', [b'"a,b']),
        (b'x"a,b\\', [b'x"a,b\\']),
    ],
)
def test_lists_are_split_at_commas_outside_quoted_strings(value, expected):
    assert elements(value) == expected


@given(st.lists(st.text('ab" \\', max_size=4).map(str.encode)))
def test_splitting_loses_nothing_but_commas_and_blanks(parts):
    value = b",".join(parts)
    kept = b"".join(elements(value))
    assert kept.translate(None, b", ") == value.translate(None, b", ")


def test_the_name_and_kind_of_a_hello_are_known_of_streams_that_were_looked_into(facts) -> None:
    class Stream:
        hello = Hello(1, b"www.Example.org")

    named = compile_acl(["req.ssl_sni -i www.example.org"])
    found = compile_acl(["req_ssl_sni -m found"])
    below = compile_acl(["req.ssl_sni -i -m end .example.org"])
    tls = compile_acl(["req.ssl_hello_type 1"])
    assert [test(Stream()) for test in (named, found, below, tls)] == [True] * 4
    assert [test(facts) for test in (named, found, below, tls)] == [False] * 4
    assert not compile_acl(["req.ssl_sni www.example.org"])(Stream())


@pytest.mark.parametrize("expression", ["req.ssl_hello_type a", "req.ssl_hello_type", "req.ssl_sni(x) a"])
def test_what_does_not_fit_a_hello_is_refused(expression: str) -> None:
    assert acl_mistake(expression) is not None
