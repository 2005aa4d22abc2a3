"""The HTTP check: 2xx and 3xx pass; whatever else a server sends is told, never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import HttpCheck
from hapair.health.probes.http import MAX_ANSWER, judge, request_bytes


def test_the_default_request_is_haproxys():
    assert request_bytes(HttpCheck()) == b"OPTIONS / HTTP/1.0\r\n\r\n"


def test_an_http_1_1_request_says_that_it_is_the_only_one():
    check = HttpCheck("GET", "/health", "HTTP/1.1", (("Host", "www"),))
    assert request_bytes(check) == b"GET /health HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"HTTP/1.1 200 OK\r\n", "L7OK", 200),
        (b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", "L7OK", 302),
        (b"HTTP/1.1 399\r\n", "L7OK", 399),
        (b"HTTP/1.1 404 Not Found\r\n", "L7STS", 404),
        (b"HTTP/1.1 503 Service Unavailable\r\n", "L7STS", 503),
        (b"HTTP/1.1 101 Switching Protocols\r\n", "L7STS", 101),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "L7RSP", 0),
        (b"HTTP/1.1 2000 OK\r\n", "L7RSP", 0),
        (b"HTTP/2.0 200 OK\r\n", "L7RSP", 0),
        (b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n", "L7RSP", 0),
        (b"HTTP/1.1 200" + b"x" * MAX_ANSWER, "L7RSP", 0),
    ],
)
def test_answers(answer, status, code):
    found = judge(answer, ended=False)
    assert found is not None
    assert found[:2] == (status, code)


def test_every_prefix_of_a_good_answer_waits_for_more():
    line = b"HTTP/1.1 200 OK\r\n"
    assert all(judge(line[:end], ended=False) is None for end in range(len(line)))
    assert judge(line, ended=False) == ("L7OK", 200, "OK")


def test_a_server_that_closes_early_is_not_up():
    assert judge(b"", ended=True) == ("L7RSP", 0, "the server closed without an answer")
    assert judge(b"HTTP/1.1 20", ended=True) == ("L7RSP", 0, "incomplete status line")


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_give_a_verdict_or_wait_and_cannot_forge_a_log_line(answer, ended):
    found = judge(answer, ended=ended)
    if found is None:
        assert not ended
    else:
        assert found[0] in ("L7OK", "L7STS", "L7RSP")
        assert found[2].isprintable()
        assert '"' not in found[2]
