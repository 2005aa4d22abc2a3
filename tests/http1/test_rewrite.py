"""Edits of heads: cookies as browsers write them, and X-Forwarded-For."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import Cookie, CookieMode, Forwarded, ForwardFor, OriginalTo
from hapair.http1.rewrite import (
    cookie_value,
    forwarded_for,
    forwarded_line,
    original_to,
    set_cookie_line,
    sets_cookie,
    without_cookie,
)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([b"Cookie: SID=a"], b"a"),
        ([b"cookie:SID=a;x=y"], b"a"),
        ([b"Cookie: x=y; SID=a"], b"a"),
        ([b"Cookie: x=y;SID = a "], b"a"),
        ([b'Cookie: SID="a"'], b"a"),
        ([b"Cookie: SID=a=b"], b"a=b"),
        ([b"Cookie: SID="], b""),
        ([b"Cookie: SID=a; SID=b"], b"a"),
        ([b"Cookie: x=y", b"Cookie: SID=a"], b"a"),
        ([b"Cookie: SIDE=a"], None),
        ([b"Cookie: XSID=a"], None),
        ([b"Cookie: x=SID"], None),
        ([b"Cookie: sid=a"], None),
        ([b"Cookie: SID"], None),
        ([b"Cookie:"], None),
        ([], None),
    ],
)
def test_a_cookie_is_found_by_its_exact_name(lines: list[bytes], value: bytes | None) -> None:
    assert cookie_value(lines, b"SID") == value


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        (b"Cookie: SID=a", None),
        (b"Cookie: SID=a;", None),
        (b"Cookie: SID=a; SID=b", None),
        (b"Cookie: x=y; SID=a; z=w", b"Cookie: x=y; z=w"),
        (b"cookie:SID=a;x=y", b"cookie: x=y"),
        (b"Cookie: SIDE=a; SID=b", b"Cookie: SIDE=a"),
    ],
)
def test_only_that_cookie_is_taken_out(line: bytes, rest: bytes | None) -> None:
    stripped = without_cookie(line, b"SID")
    assert (stripped.rstrip(b"; ") if stripped is not None else None) == rest


names = st.from_regex(rb"[A-Za-z]{1,6}", fullmatch=True)
values = st.from_regex(rb"[!#-+\--:<-\[\]-~]{0,8}", fullmatch=True)


@given(st.lists(st.tuples(names, values)), names)
def test_stripping_leaves_the_other_cookies_as_they_were(jar: list[tuple[bytes, bytes]], name: bytes) -> None:
    line = b"Cookie: " + b"; ".join(b"%b=%b" % pair for pair in jar)
    stripped = without_cookie(line, name)
    others = [b"%b=%b" % pair for pair in jar if pair[0] != name]
    assert stripped == (b"Cookie: " + b"; ".join(others) if others else None)


def test_a_set_cookie_is_known_by_its_exact_name() -> None:
    assert sets_cookie(b"Set-Cookie: SID=a; Path=/", b"SID")
    assert sets_cookie(b"set-cookie:SID =a", b"SID")
    assert not sets_cookie(b"Set-Cookie: SIDE=a", b"SID")
    assert not sets_cookie(b"Set-Cookie: x=SID=a", b"SID")


def test_the_set_cookie_line_is_haproxys() -> None:
    plain = Cookie("SID", CookieMode.INSERT)
    assert set_cookie_line(plain, b"A") == b"set-cookie: SID=A; path=/"
    assert set_cookie_line(plain, None) == b"set-cookie: SID=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"
    guarded = Cookie("SID", CookieMode.INSERT, domain=("x.y",), httponly=True, secure=True)
    assert set_cookie_line(guarded, b"A") == b"set-cookie: SID=A; path=/; domain=x.y; HttpOnly; Secure"


def test_the_client_address_is_told_unless_excepted() -> None:
    rule = forwarded_for(
        ForwardFor(exceptions=(ip_network("127.0.0.0/8"), ip_network("2001:db8::/32"))), None
    )
    assert rule is not None
    for _ in range(2):  # the second time it is remembered
        assert rule.line("192.0.2.1") == b"X-Forwarded-For: 192.0.2.1"
        assert rule.line("127.9.9.9") is None
        assert rule.line("2001:db8::1") is None
        assert rule.line("2001:db9::1") == b"X-Forwarded-For: 2001:db9::1"
        assert rule.line("unix") is None


def test_either_side_may_ask_for_it_and_the_backends_header_wins() -> None:
    assert forwarded_for(None, None) is None
    both = forwarded_for(ForwardFor(header="X-Client"), ForwardFor(header="X-Real"))
    assert both is not None
    assert both.line("192.0.2.1") == b"X-Real: 192.0.2.1"
    assert both.name == b"x-real"


@pytest.mark.parametrize(
    ("frontend", "backend", "holds"),
    [(True, None, True), (None, True, True), (True, True, True), (True, False, False), (False, True, False)],
)
def test_if_none_holds_only_when_all_agree(frontend: bool | None, backend: bool | None, holds: bool) -> None:
    sides = [None if side is None else ForwardFor(if_none=side) for side in (frontend, backend)]
    rule = forwarded_for(sides[0], sides[1])
    assert rule is not None
    assert rule.if_none is holds


def test_memory_of_addresses_is_bounded() -> None:
    rule = forwarded_for(ForwardFor(), None)
    assert rule is not None
    for i in range(5000):
        rule.line(f"10.0.{i >> 8}.{i & 255}")
    assert len(rule._lines) <= 4096
    assert rule.line("10.9.9.9") == b"X-Forwarded-For: 10.9.9.9"


def test_the_address_that_was_asked_is_told_unless_excepted() -> None:
    assert original_to(None, None) is None
    rule = original_to(
        OriginalTo(exceptions=(ip_network("10.0.0.0/8"),)),
        OriginalTo(header="X-Site", exceptions=(ip_network("192.0.2.9"),)),
    )
    assert rule is not None
    assert rule.line("198.51.100.1") == b"X-Site: 198.51.100.1"
    assert rule.line("10.0.0.1") is rule.line("192.0.2.9") is None


@pytest.mark.parametrize(
    ("tells", "source", "host", "line"),
    [
        ("proto for", "192.0.2.1", b"h", b"proto=http;for=192.0.2.1"),
        ("for for_port", "192.0.2.1", b"h", b'for="192.0.2.1:4711"'),
        ("for", "2001:db8::1", b"h", b'for="[2001:db8::1]"'),
        ("for for_port by", "2001:db8::1", b"h", b'by=198.51.100.1;for="[2001:db8::1]:4711"'),
        ("for", "unix", b"h", b"for=unknown"),
        ("host", "192.0.2.1", b"www.example.org", b"host=www.example.org"),
        ("host", "192.0.2.1", b"www.example.org:8080", b'host="www.example.org:8080"'),
        ("host proto", "192.0.2.1", None, b"proto=http"),
    ],
)
def test_forwarded_is_written_as_rfc_7239_says(
    tells: str, source: str, host: bytes | None, line: bytes
) -> None:
    told = tuple(Forwarded(word) for word in tells.split())
    assert forwarded_line(told, source, 4711, "198.51.100.1", 80, host) == b"Forwarded: " + line
