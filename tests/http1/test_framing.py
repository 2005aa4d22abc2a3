"""Body lengths and Connection options: one way to read them or none."""

from __future__ import annotations

import pytest

from hapair.errors import BadMessage
from hapair.http1.framing import check_transfer_encoding, connection_options, content_length


@pytest.mark.parametrize(
    "value",
    [b"", b"+2", b"-2", b"2x", b"0x2", b"2.0", b"2e0", b"1_0", b"2 2", b"\xb2", b"\x0b2", b"9" * 19, b"2;3"],
)
@pytest.mark.parametrize("merge", [False, True])
def test_an_oddly_spelled_length_is_refused(value: bytes, merge: bool) -> None:
    with pytest.raises(BadMessage):
        content_length([value], merge=merge)


def test_lengths_are_decimal() -> None:
    assert content_length([b"0"], merge=False) == 0
    assert content_length([b"010"], merge=False) == 10
    assert content_length([b"9" * 18], merge=False) == 10**18 - 1


@pytest.mark.parametrize("values", [[b"5", b"5"], [b"5, 5"], [b"5,5", b"5"]])
def test_a_client_may_state_its_length_once_a_server_may_repeat_it(values: list[bytes]) -> None:
    assert content_length(values, merge=True) == 5
    with pytest.raises(BadMessage):
        content_length(values, merge=False)


@pytest.mark.parametrize("values", [[b"5", b"6"], [b"5, 6"], [b"5,"], [b"5", b""], [b",5"]])
def test_differing_lengths_are_refused_from_anybody(values: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        content_length(values, merge=True)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunked_is_the_one_transfer_coding(value: bytes) -> None:
    check_transfer_encoding([value], 11)


@pytest.mark.parametrize(
    ("values", "version", "status"),
    [
        ([b"chunked"], 10, 400),
        ([b"chunked", b"chunked"], 11, 400),
        ([b"gzip", b"chunked"], 11, 400),
        ([b"gzip, chunked"], 11, 501),
        ([b"chunked, identity"], 11, 501),
        ([b"identity"], 11, 501),
        ([b"xchunked"], 11, 501),
        ([b"\x0bchunked"], 11, 501),
        ([b"chunked,"], 11, 501),
        ([b""], 11, 501),
        ([b'"chunked"'], 11, 501),
        ([b"chunked;q=1"], 11, 501),
    ],
)
def test_any_other_transfer_coding_is_refused(values: list[bytes], version: int, status: int) -> None:
    with pytest.raises(BadMessage) as refusal:
        check_transfer_encoding(values, version)
    assert refusal.value.status == status


def test_connection_options_are_tokens_without_case() -> None:
    options = connection_options(b"Keep-Alive,, cLoSe ,X-Secret")
    assert options.close
    assert options.keep_alive
    assert not options.upgrade
    assert options.nominated == {b"x-secret"}


@pytest.mark.parametrize("value", [b"a b", b"close; x", b"(comment)", b"x\x00", b'"close"'])
def test_a_connection_header_of_other_things_is_refused(value: bytes) -> None:
    with pytest.raises(BadMessage):
        connection_options(value)


@pytest.mark.parametrize("value", [b"Host", b"close, content-length", b"Transfer-Encoding"])
def test_what_frames_a_message_cannot_be_nominated_away(value: bytes) -> None:
    with pytest.raises(BadMessage):
        connection_options(value)
