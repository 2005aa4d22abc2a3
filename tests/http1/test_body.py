"""Chunked bodies: every split gives the same body, and broken framing never becomes data."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.errors import BadMessage
from hapair.http1.body import MAX_EXTENSIONS, MAX_LINE, MAX_TRAILERS, ChunkedBody, chunk, last_chunk


def fed(*pieces: bytes) -> tuple[bytes, ChunkedBody]:
    body = ChunkedBody()
    return b"".join(body.feed(piece) for piece in pieces), body


def verdict(pieces: list[bytes]) -> object:
    """What came out, or the status of the refusal."""
    body = ChunkedBody()
    out = b""
    try:
        for piece in pieces:
            if body.done:
                body.rest += piece
            else:
                out += body.feed(piece)
    except BadMessage as mistake:
        return mistake.status
    return out, body.done, body.trailers, body.rest if body.done else None


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in pairwise(edges) if b > a]


GOOD = [
    (b"0\r\n\r\n", b"", []),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"5\r\nhello\r\n006\r\n world\r\n0\r\n\r\n", b"hello world", []),
    (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", []),
    (b"a;x=y\r\n0123456789\r\n0\r\n\r\n", b"0123456789", []),
    (b'2 ; a ; b="c\\"d;" ;e=f\r\nhi\r\n0;z\r\n\r\n', b"hi", []),
    (b"2\r\n\r\n\r\n0\r\nX-A: 1\r\nX-B:\r\n\r\n", b"\r\n", [b"X-A: 1", b"X-B:"]),
    (b"1\r\n\xff\r\n00000\r\n\r\n", b"\xff", []),
]

BAD = [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0_5\r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"G\r\nhello\r\n0\r\n\r\n",
    b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
    b"5;\x00\r\nhello\r\n0\r\n\r\n",
    b'5;a="b\r\nhello\r\n0\r\n\r\n',
    b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"4000000000000000\r\nhello\r\n0\r\n\r\n",
    b"0\r\nno colon\r\n\r\n",
    b"0\r\n X: folded\r\n\r\n",
    b"0\r\nX : space\r\n\r\n",
    b"0\r\n: empty\r\n\r\n",
    b"0\r\nX: \x00\r\n\r\n",
    b"0\r\nX: a\rb\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
    b"0\r\nhost: x\r\n\r\n",
]


@pytest.mark.parametrize(("wire", "body", "trailers"), GOOD)
def test_a_body_comes_out_without_its_framing(wire: bytes, body: bytes, trailers: list[bytes]) -> None:
    out, decoder = fed(wire + b"GET /next")
    assert (out, decoder.done, decoder.trailers, decoder.rest) == (body, True, trailers, b"GET /next")
    assert decoder.received == len(body)


@pytest.mark.parametrize(("wire", "body", "trailers"), GOOD)
def test_byte_by_byte_gives_the_same(wire: bytes, body: bytes, trailers: list[bytes]) -> None:
    out, decoder = fed(*(wire[i : i + 1] for i in range(len(wire))))
    assert (out, decoder.done, decoder.trailers, decoder.rest) == (body, True, trailers, b"")


@pytest.mark.parametrize("wire", [wire for wire, _, _ in GOOD] + BAD)
def test_every_split_in_two_is_judged_like_the_whole(wire: bytes) -> None:
    whole = verdict([wire])
    for i in range(1, len(wire)):
        assert verdict([wire[:i], wire[i:]]) == whole


@pytest.mark.parametrize("wire", BAD)
def test_broken_framing_is_refused_however_it_comes(wire: bytes) -> None:
    assert verdict([wire]) == 400
    assert verdict([wire[i : i + 1] for i in range(len(wire))]) == 400


@pytest.mark.parametrize("cut", range(1, len(GOOD[6][0])))
def test_a_cut_body_is_never_taken_for_done(cut: int) -> None:
    _, decoder = fed(GOOD[6][0][:cut])
    assert not decoder.done


@pytest.mark.parametrize("size", [MAX_LINE - 3, MAX_LINE - 2, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1])
def test_the_longest_line_does_not_depend_on_the_split(size: int) -> None:
    for wire in (b"1;" + b"a" * size + b"\r\nx\r\n0\r\n\r\n", b"0\r\nX:" + b"a" * size + b"\r\n\r\n"):
        whole = verdict([wire])
        assert verdict([wire[i : i + 1] for i in range(len(wire))]) == whole
        assert whole == 400 if size > MAX_LINE - 2 else whole != 400


def test_a_line_that_never_ends_is_refused_before_it_fills_memory() -> None:
    with pytest.raises(BadMessage, match="too long"):
        fed(*[b"1"] * (MAX_LINE + 2))


def test_extensions_may_not_outweigh_the_body() -> None:
    with pytest.raises(BadMessage, match="extensions"):
        fed(*[b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"] * MAX_EXTENSIONS)


def test_a_long_upload_may_have_an_extension_in_every_chunk() -> None:
    body = ChunkedBody()
    piece = b"40;chunk-signature=%064d\r\n" % 0 + b"x" * 64 + b"\r\n"
    for _ in range(100):
        body.feed(piece)
    assert body.received == 6400


def test_trailers_are_bounded() -> None:
    with pytest.raises(BadMessage) as refusal:
        fed(b"0\r\n", *[b"X-Trailer: aaaaaaaaaaaaaa\r\n"] * MAX_TRAILERS)
    assert refusal.value.status == 431


def test_no_data_makes_no_chunk_because_that_would_end_the_body() -> None:
    assert chunk(b"") == b""
    assert chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert last_chunk([]) == b"0\r\n\r\n"
    assert last_chunk([b"A: 1", b"B: 2"]) == b"0\r\nA: 1\r\nB: 2\r\n\r\n"


@given(
    st.lists(st.binary(max_size=300)),
    st.lists(st.from_regex(rb"X-[A-Za-z]{1,8}: [ -~]{0,20}", fullmatch=True), max_size=3),
    st.lists(st.integers(min_value=0)),
    st.binary(max_size=20),
)
def test_what_chunk_writes_is_read_back_under_any_split(
    pieces: list[bytes], trailers: list[bytes], cuts: list[int], behind: bytes
) -> None:
    wire = b"".join(chunk(piece) for piece in pieces) + last_chunk(trailers) + behind
    assert verdict(split_at(wire, cuts)) == (b"".join(pieces), True, trailers, behind)


@given(
    st.lists(
        st.sampled_from([b"5\r\nhello\r\n", b"0\r\n", b"\r\n", b"1;a\r\n", b"x", b"X: y\r\n", b"\n", b"zz"])
    ),
    st.lists(st.integers(min_value=0)),
)
def test_garbage_is_judged_alike_under_any_split(parts: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(parts)
    assert verdict(split_at(wire, cuts)) == verdict([wire])
