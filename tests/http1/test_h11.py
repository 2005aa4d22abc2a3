"""h11 as the judge: what we accept we understand as it does, and what we forward it reads the same.

We are stricter than h11 where RFC 9112 leaves a choice (docs of `http1.head`),
so refusals of ours are only compared on messages made to be plainly valid.
"""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.errors import BadMessage
from hapair.http1.body import ChunkedBody
from hapair.http1.framing import CHUNKED
from hapair.http1.head import Request, parse_request

tokens = st.from_regex(rb"[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,10}", fullmatch=True)
RESERVED = {
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"keep-alive",
    b"proxy-connection",
}
RESERVED |= {b"te", b"http2-settings", b"upgrade", b"expect"}
names = tokens.filter(lambda name: name.lower() not in RESERVED)
texts = st.from_regex(rb"([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?", fullmatch=True)
paths = st.from_regex(rb"/[A-Za-z0-9/._~%&=?!$'()*+,;:@-]{0,30}", fullmatch=True)
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW"])
spaces = st.sampled_from([b"", b" ", b"  ", b"\t", b" \t "])
bodies = st.one_of(
    st.none(),
    st.tuples(st.just("length"), st.binary(max_size=60)),
    st.tuples(st.just("chunked"), st.lists(st.binary(min_size=1, max_size=30), max_size=4)),
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A valid request on the wire, spelled in the many ways that are allowed."""
    headers = [
        name + b":" + draw(spaces) + draw(texts) + draw(spaces) for name in draw(st.lists(names, max_size=6))
    ]
    headers.append(draw(st.sampled_from([b"Host", b"host", b"HOST"])) + b":" + draw(spaces) + b"h.example:80")
    if draw(st.booleans()):
        headers.append(b"Connection: " + draw(st.sampled_from([b"close", b"keep-alive", b"Close, x-y"])))
    body = b""
    match draw(bodies):
        case ("length", bytes(body)):
            headers.append(b"Content-Length: %d" % len(body))
        case ("chunked", list(pieces)):
            headers.append(b"Transfer-Encoding: " + draw(st.sampled_from([b"chunked", b"Chunked"])))
            body = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    line = draw(methods) + b" " + draw(paths) + b" HTTP/1.1"
    return b"\r\n".join([line, *draw(st.permutations(headers)), b"", body])


def read_by_h11(wire: bytes) -> tuple[h11.Request, bytes]:
    """h11's reading of exactly one request."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(wire)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    body = b""
    while isinstance(part := connection.next_event(), h11.Data):
        body += bytes(part.data)
    assert isinstance(part, h11.EndOfMessage)
    assert connection.trailing_data[0] == b""
    return event, body


def read_by_us(wire: bytes) -> tuple[Request, bytes]:
    head, _, rest = wire.partition(b"\r\n\r\n")
    request = parse_request(head)
    if request.length == CHUNKED:
        chunks = ChunkedBody()
        body = chunks.feed(rest)
        assert chunks.done
        assert chunks.rest == b""
    else:
        body = rest[: request.length]
        assert len(rest) == request.length
    return request, body


def headers_of(request: Request) -> list[tuple[bytes, bytes]]:
    pairs = [line.partition(b":") for line in request.lines[1:]]
    return [(name.lower(), value.strip(b" \t")) for name, _, value in pairs]


@given(messages())
def test_a_valid_request_means_to_us_what_it_means_to_h11(wire: bytes) -> None:
    theirs, their_body = read_by_h11(wire)
    ours, our_body = read_by_us(wire)
    assert (ours.method, ours.target, our_body) == (theirs.method, theirs.target, their_body)
    gone = {b"connection"} | ours.options.nominated
    kept = [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in headers_of(ours)]
    assert kept == [(name, value) for name, value in theirs.headers if name not in gone]


@given(messages())
def test_what_we_forward_h11_reads_as_the_same_request(wire: bytes) -> None:
    ours, body = read_by_us(wire)
    _, _, rest = wire.partition(b"\r\n\r\n")
    forwarded, forwarded_body = read_by_h11(b"\r\n".join([*ours.lines, b"", rest]))
    assert (forwarded.method, forwarded.target, forwarded_body) == (ours.method, ours.target, body)
    assert b"h.example:80" in dict(forwarded.headers)[b"host"]


@given(
    messages(),
    st.integers(min_value=0),
    st.sampled_from([b"\x00", b" ", b"\r", b"\n", b":", b"\x7f", b"(", b"\t"]),
)
def test_a_damaged_request_that_we_forward_has_one_reading(wire: bytes, place: int, damage: bytes) -> None:
    """One byte put in anywhere: if we still accept it, so does h11, with the same framing."""
    at = place % (wire.index(b"\r\n\r\n") + 1)
    damaged = wire[:at] + damage + wire[at:]
    head, _, rest = damaged.partition(b"\r\n\r\n")
    try:
        ours = parse_request(head)
    except BadMessage:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"\r\n".join([*ours.lines, b"", rest]))
    event = theirs.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == ours.method
    assert len(event.headers) == len(ours.lines) - 1
    lengths = [int(value) for name, value in event.headers if name == b"content-length"]
    chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
    assert (CHUNKED if chunked else lengths[0] if lengths else 0) == ours.length


@pytest.mark.parametrize("value", [b"a", b"a\tb", b"\xe4\xf6", b"a" * 8000, b"\"'<>"])
def test_odd_but_valid_values_pass_unchanged(value: bytes) -> None:
    request = parse_request(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + value)
    assert request.header(b"x") == [value]
