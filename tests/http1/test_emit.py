"""Our own responses, read by an independent parser."""

from __future__ import annotations

import h11
import pytest

from hapair.http1.emit import REASONS, answer, error


def parsed(wire: bytes) -> tuple[h11.Response, bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return response, body


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("status", REASONS)
def test_every_error_page_is_one_whole_response(status: int, close: bool) -> None:
    response, body = parsed(error(status, close=close))
    headers = dict(response.headers)
    assert response.status_code == status
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"content-type"] == b"text/html"
    assert headers.get(b"connection") == (b"close" if close else None)
    assert str(status).encode() in body


def test_the_503_page_is_word_for_word_haproxys() -> None:
    _, body = parsed(error(503, close=True))
    assert body == (
        b"<html><body><h1>503 Service Unavailable</h1>\n"
        b"No server is available to handle this request.\n</body></html>\n"
    )


def test_405_says_what_is_allowed() -> None:
    response, _ = parsed(error(405, close=False))
    assert b"GET" in dict(response.headers)[b"allow"]


def test_an_answer_has_its_headers_and_length() -> None:
    response, body = parsed(answer(200, [b"x-a: b"], b"12345", close=False))
    assert dict(response.headers) == {b"content-length": b"5", b"x-a": b"b"}
    assert body == b"12345"
