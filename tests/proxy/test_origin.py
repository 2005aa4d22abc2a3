"""Whom a connection to a server stands for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hapair.config.sources import source
from hapair.proxy.origin import Origin


def session(*lines: bytes, client="192.0.2.9", port=40000):
    return SimpleNamespace(
        source=client, port=port, request=SimpleNamespace(header=lambda _name: list(lines))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", None),
        ("0.0.0.0 usesrc client", ("192.0.2.9", 40000)),
        ("0.0.0.0 usesrc clientip", ("192.0.2.9", 0)),
        ("0.0.0.0 usesrc hdr_ip(x)", ("2001:db8::3", 0)),
        ("0.0.0.0 usesrc hdr_ip(x,1)", ("198.51.100.1", 0)),
        ("0.0.0.0 usesrc hdr_ip(x,-2)", ("198.51.100.2", 0)),
        ("0.0.0.0 usesrc hdr_ip(x,4)", None),
    ],
)
def test_whose_address_it_is(text, expected):
    asked = session(b"198.51.100.1, 198.51.100.2", b"2001:db8::3")
    assert Origin(source(text)).of(asked) == expected


@pytest.mark.parametrize("value", [b"", b"unknown", b"198.51.100.1:80", b"\xff"])
def test_a_header_that_names_nobody_leaves_it_to_the_node(value):
    assert Origin(source("0.0.0.0 usesrc hdr_ip(x)")).of(session(value)) is None


def test_who_came_by_a_unix_socket_has_no_address():
    assert Origin(source("0.0.0.0 usesrc client")).of(session(client="unix", port=0)) is None


def test_a_range_is_all_of_its_ports():
    assert list(Origin(source("*:1024-1026")).free) == [1024, 1025, 1026]
