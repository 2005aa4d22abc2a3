"""The generated bodies are what their checksum says."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import bodies

LONG = 3 * len(bodies.BLOCK)


@given(st.integers(0, LONG))
def test_crc32_is_that_of_the_body(length):
    assert bodies.crc32(length) == zlib.crc32(b"".join(bodies.pieces(length)))


@pytest.mark.parametrize("length", [len(bodies.BLOCK), 7 * len(bodies.BLOCK), 1_000_003])
def test_crc32_of_whole_blocks_is_that_of_the_body(length):
    assert bodies.crc32(length) == zlib.crc32(b"".join(bodies.pieces(length)))


@given(st.integers(0, LONG), st.integers(0, LONG))
def test_a_body_continues_at_any_offset(length, offset):
    assert b"".join(bodies.pieces(length, offset)) == b"".join(bodies.pieces(length))[offset:]


def test_a_swapped_pair_of_blocks_of_any_usual_buffer_size_changes_the_checksum():
    body = b"".join(bodies.pieces(1 << 18))
    for size in (4096, 16384, 65536):
        swapped = body[size : 2 * size] + body[:size] + body[2 * size :]
        assert zlib.crc32(swapped) != bodies.crc32(1 << 18)
