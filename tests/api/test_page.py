"""The statistics page: for those who may see it, and safe against the names in it."""

from __future__ import annotations

import base64
import json

import pytest

from hapair.api.page import html, stats_responder
from hapair.api.stats import rows
from hapair.config.model import Stats
from hapair.http1.head import parse_request

STATS = Stats(uri="/haproxy?stats", auth=(("admin", "s3cret:with:colons"), ("second", "x")))


@pytest.fixture
def ask(plane, verdicts):
    def asked(target: bytes, *headers: bytes, method: bytes = b"GET", stats: Stats = STATS):
        respond = stats_responder(stats, "hapair on lb-a", lambda: rows(plane, verdicts))
        return respond(
            parse_request(b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: a", *headers]))
        )

    return asked


def basic(credentials: bytes) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(credentials)


def test_another_uri_is_somebody_elses(ask):
    assert ask(b"/index.html") is None


@pytest.mark.parametrize(
    "header",
    [
        [],
        [basic(b"admin:wrong")],
        [basic(b"admin")],
        [b"Authorization: Basic !!!not base64!!!"],
        [b"Authorization: Bearer " + base64.b64encode(b"admin:s3cret:with:colons")],
        [b"Authorization:"],
    ],
)
def test_without_the_password_nothing_is_shown(ask, header):
    answer = ask(b"/haproxy?stats", *header)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: Basic" in answer
    assert b"FRONTEND" not in answer


@pytest.mark.parametrize("credentials", [b"admin:s3cret:with:colons", b"second:x"])
def test_every_configured_pair_opens_it(ask, credentials):
    assert b"FRONTEND" in ask(b"/haproxy?stats", basic(credentials))


def test_csv_and_json_are_asked_for_with_a_suffix(ask):
    open_ = Stats(uri="/haproxy?stats")
    assert b"\r\n\r\n# pxname,svname," in ask(b"/haproxy?stats;csv", stats=open_)
    body = ask(b"/haproxy?stats;json", stats=open_).partition(b"\r\n\r\n")[2]
    assert json.loads(body)[0]["svname"] == "FRONTEND"


def test_only_reading_is_possible(ask):
    answer = ask(b"/haproxy?stats", basic(b"second:x"), method=b"DELETE")
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_the_length_is_the_bodys(ask):
    head, _, body = ask(b"/haproxy?stats", basic(b"second:x")).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head


def test_names_and_check_results_cannot_inject_markup(plane, verdicts):
    table = rows(plane, verdicts)
    table[1]["svname"] = "<script>alert(1)</script>"
    table[1]["check_desc"] = '"><img src=x onerror=alert(1)>'
    page = html("<b>title</b>", table)
    assert "<script>" not in page
    assert "<img" not in page
    assert "<b>title" not in page
