"""What may be expected of an HTTP answer, beside 2xx and 3xx."""

from __future__ import annotations

import hashlib

import pytest
from health.probes.talk import bytewise, talk

from hapair.config.fields import FieldError
from hapair.config.model import HttpCheck
from hapair.config.tables_check import http_expect
from hapair.health.probes.dialogue import Reconnect
from hapair.health.probes.http import HttpListProbe, HttpProbe, request_bytes
from hapair.health.probes.outcome import Finding


def answer(body: bytes = b"all is up", status: int = 200, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, more, len(body), body)


def judged(expect: str, data: bytes, *, end: bool = False):
    return talk(HttpProbe(b"", HttpCheck(expect=(http_expect(expect),))), *bytewise(data), end=end)[1]


@pytest.mark.parametrize(
    ("expect", "data", "ok"),
    [
        ("status 200-299,404", answer(status=404), True),
        ("status 200-299,404", answer(status=302), False),
        ("! status 500", answer(status=404), True),
        ("rstatus ^4", answer(status=404), True),
        ("string up", answer(), True),
        ("string down", answer(), False),
        ("! string down", answer(), True),
        ("! rstring (?i)UP", answer(), False),
        ("rstring ^all.*up$", answer(), True),
        ("hdr name x-ready value yes", answer(more=b"X-Ready: yes\r\n"), True),
        ("hdr name x-ready value yes", answer(more=b"X-Ready: no\r\n"), False),
        ("hdr name x-ready", answer(), False),
        ("string up", answer(status=500), True),
    ],
)
def test_expectations_decide_alone(expect, data, ok):
    assert judged(expect, data).ok is ok


def test_a_chunked_body_is_judged_without_its_framing():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhea\r\n4\r\nlthy\r\n0\r\n\r\n"
    assert judged("string healthy", data) == Finding("L7OK", code=200)


def test_a_body_until_the_end_is_judged_then():
    data = b"HTTP/1.0 200 OK\r\n\r\nhealthy"
    assert judged("string healthy", data) is None
    assert judged("string healthy", data, end=True) == Finding("L7OK", code=200)


def test_no_body_does_not_hold_what_is_expected():
    assert judged("string x", answer(b"")).info == "HTTP content check could not find a response body"


def test_of_a_huge_body_as_much_is_judged_as_haproxy_would():
    probe = HttpProbe(b"", HttpCheck(expect=(http_expect("string up"),)))
    found = talk(probe, answer(b"x" * 100_000)[:20_000])[1]
    assert found == Finding("L7RSP", "HTTP content check did not match", 200)


def test_a_digest_is_that_of_the_whole_body():
    body = b"y" * 50_000
    right = HttpCheck(digest=hashlib.md5(body, usedforsecurity=False).hexdigest())
    pieces = [answer(body)[i : i + 4096] for i in range(0, len(answer(body)), 4096)]
    assert talk(HttpProbe(b"", right), *pieces)[1] == Finding("L7OK", code=200)
    assert (
        talk(HttpProbe(b"", right), *pieces[:-1], end=True)[1].info == "the body of the answer is incomplete"
    )
    wrong = talk(HttpProbe(b"", right), answer(b"other"))[1]
    assert wrong.status == "L7STS"
    assert wrong.info.startswith("the digest is ")


def test_several_requests_must_all_pass_each_on_its_own_connection():
    probe = HttpListProbe([HttpProbe(b"a"), HttpProbe(b"b")], ["/a", "/b"], tls=True)
    assert probe.connected() == b"a"
    assert probe.received(answer()) == Reconnect(tls=True)
    assert probe.connected() == b"b"
    assert probe.received(answer(status=500)) == Finding("L7STS", "/b: X", 500)


def test_a_body_is_sent_with_its_length():
    text = request_bytes(HttpCheck("POST", "/", "HTTP/1.1", (("Host", "a"),), "hello"))
    assert text == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def test_headers_are_not_shown_since_they_may_hold_credentials():
    request = request_bytes(HttpCheck("GET", "/", "HTTP/1.0", (("Authorization", "Basic eDp5"),)))
    assert HttpProbe(request).excerpt(request, b"x") == (b"GET / HTTP/1.0\r\n", b"x")


@pytest.mark.parametrize("text", ["status 600", "status 2xx", "hdr x", "rstring [", "binary 00"])
def test_an_expectation_with_a_mistake_is_refused(text):
    with pytest.raises(FieldError):
        http_expect(text)
