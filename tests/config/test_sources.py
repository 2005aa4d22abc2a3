"""`source` in HAProxy's words."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.fields import FieldError
from hapair.config.model import Source
from hapair.config.sources import source


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.0.0.1", (ip_address("10.0.0.1"), None)),
        ("10.0.0.1:1024", (ip_address("10.0.0.1"), (1024, 1024))),
        ("*:1024-2000", (None, (1024, 2000))),
        ("[2001:db8::1]:1024-2000", (ip_address("2001:db8::1"), (1024, 2000))),
        ("2001:db8::1", (ip_address("2001:db8::1"), None)),
        ("0.0.0.0 usesrc client", (None, None, "client")),
        ("0.0.0.0:1024-2000 usesrc clientip", (None, (1024, 2000), "clientip")),
        (":: usesrc hdr_ip(X-Client)", (None, None, "hdr_ip", "x-client", -1)),
        ("* usesrc hdr_ip(x-forwarded-for,2)", (None, None, "hdr_ip", "x-forwarded-for", 2)),
    ],
)
def test_what_it_means(text, meant):
    assert source(text) == Source(text, *meant)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("10.0.0.1:2000-1024", 9, "ports do not ascend"),
        ("10.0.0.256", None, "not an IPv4 address"),
        ("0.0.0.0 usesrc clint", 15, '"clint" is not'),
        ("0.0.0.0 usesrc hdr_ip(x,0)", None, "counted from 1"),
        ("10.0.0.1:80 usesrc client", 8, "the port is the client's"),
        ("0.0.0.0", None, "says nothing"),
        ("web.example.org", None, "no address"),
        ("10.0.0.1 via 10.0.0.2", None, "expected"),
    ],
)
def test_mistakes(text, offset, message):
    with pytest.raises(FieldError, match=message) as caught:
        source(text)
    if offset is not None:
        assert caught.value.offset == offset


@given(st.text(alphabet="0123456789abcdef.:[]*- usrclientiphd_(),", max_size=40))
def test_whatever_is_written_is_understood_or_refused(text):
    try:
        found = source(text)
    except FieldError:
        return
    assert source(found.text) == found
