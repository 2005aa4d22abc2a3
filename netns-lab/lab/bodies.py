"""Bodies of any length whose every byte and CRC-32 are known without making them.

The body of length n is the first n bytes of one pseudo-random block, repeated.  The
block's length is prime, so that bytes lost, doubled or mixed in at any buffer size
shift what follows and show.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

BLOCK = hashlib.shake_128(b"hapair lab").digest(65521)


def pieces(length: int, offset: int = 0) -> Iterator[memoryview]:
    """The body from `offset` on, in pieces of at most one block."""
    block = memoryview(BLOCK)
    while offset < length:
        start = offset % len(BLOCK)
        piece = block[start : start + length - offset]
        yield piece
        offset += len(piece)


def crc32(length: int) -> int:
    """CRC-32 of the body of that length; 1 GiB takes milliseconds."""
    whole, rest = divmod(length, len(BLOCK))
    crc, crc_length = 0, 0  # of nothing
    doubled, doubled_length = zlib.crc32(BLOCK), len(BLOCK)
    while whole:
        if whole & 1:
            crc, crc_length = _joined(crc, doubled, doubled_length), crc_length + doubled_length
        doubled, doubled_length = _joined(doubled, doubled, doubled_length), 2 * doubled_length
        whole >>= 1
    return zlib.crc32(BLOCK[:rest], crc)


def _joined(first: int, second: int, second_length: int) -> int:
    """CRC-32 of a concatenation: the first one advanced over the second's zero bytes, XOR the second.

    Advancing by one bit is linear over GF(2), so a matrix, and squaring it doubles the distance.
    """
    matrix = [0xEDB88320, *(1 << bit for bit in range(31))]  # one zero bit (reflected polynomial)
    bits = 8 * second_length
    while bits:
        if bits & 1:
            first = _times(matrix, first)
        matrix = [_times(matrix, column) for column in matrix]
        bits >>= 1
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    total = 0
    for column in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= column
        vector >>= 1
    return total
