"""Variants: a response is given to nobody who would have got another."""

from __future__ import annotations

import pytest

from hapair.cache.vary import asked, variant

GZIP = [b"HTTP/1.1 200 OK", b"Vary: Accept-Encoding", b"Content-Encoding: gzip"]
PLAIN = [b"HTTP/1.1 200 OK", b"Vary: Accept-Encoding"]


@pytest.mark.parametrize(
    ("header", "gzip", "plain"),
    [
        (None, True, True),
        (b"gzip", True, True),
        (b"GZIP;q=0.5, br", True, True),
        (b"x-gzip", True, True),
        (b"br", False, True),
        (b"gzip;q=0", False, True),
        (b"gzip, identity;q=0", True, False),
        (b"*", True, True),
        (b"*;q=0", False, False),
        (b"gzip, *;q=0", True, False),
        (b"identity, *;q=0.0", False, True),
        (b"", False, True),
    ],
)
def test_codings(header, gzip, plain):
    request = asked([] if header is None else [b"Accept-Encoding: " + header])
    for lines, suits in ((GZIP, gzip), (PLAIN, plain)):
        made = variant(lines, asked([]))
        assert made is not None
        assert made.answers(request) is suits


def test_referers():
    made = variant([b"Vary: Referer"], asked([b"Referer: a"]))
    assert made is not None
    assert made.answers(asked([b"referer: a"]))
    assert not made.answers(asked([b"Referer: b"]))
    assert not made.answers(asked([]))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Vary: *"],
        [b"Vary: Cookie"],
        [b"Vary: Accept-Encoding, User-Agent"],
        [b"Vary: Accept-Encoding", b"Content-Encoding: unheard-of"],
    ],
)
def test_what_cannot_be_told_apart(lines):
    assert variant(lines, asked([])) is None


def test_what_does_not_vary_is_for_all():
    made = variant([b"Content-Encoding: gzip"], asked([]))
    assert made is not None
    assert made.answers(asked([b"Accept-Encoding: identity"]))
