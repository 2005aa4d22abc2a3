"""The responses that hapair itself makes, as HAProxy words them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

REASONS: Final = {
    200: b"OK",
    400: b"Bad request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Time-out",
    413: b"Payload Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Time-out",
    505: b"HTTP Version Not Supported",
}

_STANDARD: Final = frozenset(int(status) for status in HTTPStatus)

_TEXTS: Final = {
    400: b"Your browser sent an invalid request.",
    408: b"Your browser didn't send a complete request in time.",
    502: b"The server returned an invalid or incomplete response.",
    503: b"No server is available to handle this request.",
    504: b"The server didn't respond in time.",
}


def reason(status: int) -> bytes:
    """The phrase of a status line."""
    known = REASONS.get(status)
    if known is None:
        known = HTTPStatus(status).phrase.encode() if status in _STANDARD else b"Status"
    return known


def answer(status: int, headers: list[bytes], body: bytes, *, close: bool) -> bytes:
    """A whole response with a Content-Length."""
    lines = [
        b"HTTP/1.1 %d %b" % (status, reason(status)),
        b"content-length: %d" % len(body),
        *headers,
    ]
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", body])


def _error(status: int, *, close: bool) -> bytes:
    text = _TEXTS.get(status, b"The request was refused.")
    body = b"<html><body><h1>%d %b</h1>\n%b\n</body></html>\n" % (status, reason(status), text)
    headers = [b"cache-control: no-cache", b"content-type: text/html"]
    if status == 405:
        headers.append(b"allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT")
    return answer(status, headers, body, close=close)


_KEEP: Final = {status: _error(status, close=False) for status in REASONS}
_CLOSE: Final = {status: _error(status, close=True) for status in REASONS}


def error(status: int, *, close: bool) -> bytes:
    """The error page for `status`, made once."""
    pages = _CLOSE if close else _KEEP
    return pages[status] if status in pages else _error(status, close=close)
