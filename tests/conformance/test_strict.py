"""The reader that judges: what it refuses, and that splitting the bytes changes nothing."""

from __future__ import annotations

import pytest
from conformance.strict import Body, Malformed, Request, responses, take_request
from hypothesis import given
from hypothesis import strategies as st

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, steps: list[int] | None = None) -> list[Request]:
    """Every complete request in `data`, fed in pieces of these sizes."""
    buffer, requests, soft = bytearray(), [], []
    taken: tuple[Request, Body] | None = None
    pieces = [data[at:end] for at, end in zip([0, *(steps or [])], [*(steps or []), len(data)], strict=True)]
    for piece in pieces:
        buffer += piece
        while True:
            if taken is None:
                taken = take_request(buffer, soft)
                soft = soft if taken is None else []
            if taken is None or not taken[1].read(buffer, taken[0].soft):
                break
            request, body = taken
            request.body = bytes(body.data)
            requests.append(request)
            taken = None
    return requests


@pytest.mark.parametrize(
    "data",
    [
        b"GET /x HTTP/1.1\nHost: a\r\n\r\n",
        b"GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        HEAD + b"Host: a\r\n\r\n",
        HEAD + b"X: a\r\n b\r\n\r\n",
        HEAD + b"X : a\r\n\r\n",
        HEAD + b"bogus\r\n\r\n",
        HEAD + b"X: a\rb\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: +5\r\n\r\n",
        HEAD + b"Content-Length: 5, 5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nbogus\r\n\r\n",
        CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_what_no_proxy_may_send_is_refused(data):
    with pytest.raises(Malformed):
        read(data)


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (b"\r\n" + HEAD + b"\r\n", "empty line"),
        (CHUNKED + b"1;x\r\na\r\n0\r\n\r\n", "chunk extension"),
        (HEAD + b"X: a\x01b\r\n\r\n", "control character"),
        (HEAD + b"Content-Length: 01\r\n\r\na", "leading zeros"),
        (b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "8-bit"),
        (b"GET / HTTP/1.1\r\n\r\n", "without Host"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    ],
)
def test_what_should_have_been_cleaned_is_remarked_upon(data, remark):
    (request,) = read(data)
    assert any(remark in text for text in request.soft)


@given(st.data())
def test_however_the_bytes_are_split_the_requests_are_the_same(data):
    stream = (
        b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello"
        + CHUNKED + b"5;x\r\nworld\r\n00\r\nT: v\r\n\r\n"
        + b"GET /y HTTP/1.0\r\n\r\n"
    )  # fmt: skip
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    requests = read(stream, cuts)
    assert [str(request) for request in requests] == ["POST /x b5", "POST /x b5", "GET /y b0"]
    assert requests == read(stream)


def test_responses_are_matched_with_what_was_asked():
    received = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Rec: 1\r\nContent-Length: 5\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Rec: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        b"HTTP/1.1 204 No\r\n\r\n"
        b"HTTP/1.1 200 OK\r\n\r\nrest"
    )
    finals, interims, error, _ = responses(received, ended=True, methods={1: "HEAD", 2: "GET"})
    assert error is None
    assert [response.status for response in interims] == [100]
    assert [(r.record, r.framing, r.body) for r in finals] == [
        (1, None, b""),
        (2, "chunked", b"ok"),
        (None, None, b""),
        (None, "close", b"rest"),
    ]


@pytest.mark.parametrize(
    ("received", "error"),
    [
        (b"hello", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\nX: a", "incomplete response head"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\n", "malformed"),
    ],
)
def test_a_broken_response_is_told(received, error):
    assert error in responses(received, ended=True, methods={})[2]


def test_a_body_that_was_cut_off_is_not_complete():
    (response,), *_ = responses(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ended=True, methods={})
    assert not response.complete
