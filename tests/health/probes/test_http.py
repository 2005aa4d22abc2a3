"""The HTTP check: 2xx and 3xx pass; whatever else a server sends is told, never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import HttpCheck
from hapair.health.probes.dialogue import MAX_ANSWER
from hapair.health.probes.http import HttpProbe, request_bytes
from hapair.health.probes.outcome import Finding

GOOD = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"


def fed(*pieces: bytes) -> bytes | Finding:
    """What the probe says after the last piece; the earlier ones must not have been enough."""
    probe = HttpProbe(b"")
    *early, last = pieces
    for piece in early:
        assert probe.received(piece) == b""
    return probe.received(last)


def test_the_default_request_is_haproxys():
    assert request_bytes(HttpCheck()) == b"OPTIONS / HTTP/1.0\r\n\r\n"
    assert HttpProbe(b"OPTIONS / HTTP/1.0\r\n\r\n").connected() == b"OPTIONS / HTTP/1.0\r\n\r\n"


def test_an_http_1_1_request_says_that_it_is_the_only_one():
    check = HttpCheck("GET", "/health", "HTTP/1.1", (("Host", "www"),))
    assert request_bytes(check) == b"GET /health HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "code", "info"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "L7OK", 200, ""),
        (b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", "L7OK", 302, ""),
        (b"HTTP/1.1 399\r\n\r\n", "L7OK", 399, ""),
        (b"HTTP/1.1 200 OK\nServer: a few lines of shell\n\n", "L7OK", 200, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "L7OK", 200, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "L7STS", 404, "Not Found"),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "L7STS", 503, "Service Unavailable"),
        (b"HTTP/1.1 503\r\n\r\n", "L7STS", 503, ""),
        (b'HTTP/1.1 503 "down", DOWN.\r\n\r\n', "L7STS", 503, ".down., DOWN."),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "L7STS", 100, "Continue"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "L7STS", 101, "Switching Protocols"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "L7RSP", 0, "not an HTTP answer: SSH-2.0-OpenSSH_9.2.."),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "L7RSP", 0, "invalid status line"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "L7RSP", 0, "not an HTTP answer: HTTP/2.0 200 OK...."),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "L7RSP", 0, "not an HTTP answer: ..HTTP/1.1 200 OK...."),
        (b"HTTP/1.1 200" + b"x" * MAX_ANSWER, "L7RSP", 0, "the head of the answer is too long"),
    ],
)
def test_answers(answer, status, code, info):
    found = fed(answer)
    assert found == Finding(status, info, code)
    assert found.ok == (status == "L7OK")


@pytest.mark.parametrize(
    "header",
    [
        b"no colon",
        b"bad name: x",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"X: a\0b",
        b"Content-Length: +1",
    ],
)
def test_a_head_that_the_data_plane_would_refuse_is_not_well(header):
    found = fed(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")
    assert isinstance(found, Finding)
    assert (found.status, found.code) == ("L7RSP", 0)
    assert found.info


@pytest.mark.parametrize("head", [GOOD, GOOD.replace(b"\r\n", b"\n"), b"HTTP/1.1 204 N\r\nA: b\n\r\n"])
def test_it_waits_for_the_whole_head_however_it_arrives(head):
    assert fed(head) == Finding("L7OK", code=204)
    assert fed(head + b"body") == Finding("L7OK", code=204)
    assert fed(*(head[i : i + 1] for i in range(len(head)))) == Finding("L7OK", code=204)
    for cut in range(1, len(head)):
        assert fed(head[:cut], head[cut:]) == Finding("L7OK", code=204)


def test_a_server_that_closes_before_the_end_of_the_head_is_not_up():
    assert HttpProbe(b"").ended() == Finding("L7RSP", "no answer")
    probe = HttpProbe(b"")
    probe.received(b"HTTP/1.1 200 OK\r\n")
    assert probe.ended() == Finding("L7RSP", "the head of the answer is incomplete")


@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1), st.booleans())
def test_arbitrary_bytes_give_a_finding_or_wait_and_cannot_forge_a_log_line(pieces, like_http):
    probe = HttpProbe(b"")
    found = probe.received(b"HTTP/1.1 200 ") if like_http else b""
    for piece in pieces:
        if found == b"":
            found = probe.received(piece)
    if found == b"":
        found = probe.ended()
    assert isinstance(found, Finding)
    assert found.status in ("L7OK", "L7STS", "L7RSP")
    assert found.info.isprintable()
    assert found.info.isascii()
    assert '"' not in found.info


@given(
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 No\n", b"HTTP/1"]),
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"A: b", b" c", b":", b"\0", b"HTTP/1."]), min_size=1),
    st.integers(1, 60),
)
def test_how_an_answer_arrives_does_not_change_the_finding(start, rest, cut):
    answer = start + b"".join(rest)
    whole, parts = HttpProbe(b""), HttpProbe(b"")
    one = whole.received(answer)
    two = parts.received(answer[:cut])
    if two == b"" and answer[cut:]:
        two = parts.received(answer[cut:])
    # What is quoted of a wrong start may be longer when more of it was there.
    if isinstance(one, Finding) and one.info.startswith("not an HTTP"):
        assert isinstance(two, Finding)
        assert one.info.startswith(two.info)
    else:
        assert one == two


@given(st.integers(1, 2000))
def test_an_answer_without_end_is_given_up_within_the_bound(size):
    probe, count, found = HttpProbe(b""), 0, b""
    piece = (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 400)[:size]
    while found == b"":
        found = probe.received(piece if count == 0 else b"z" * size)
        count += size
    assert found.status == "L7RSP"
    assert count < MAX_ANSWER + size
