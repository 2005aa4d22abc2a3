"""Content codings: whatever the pieces, a client's own decoder gets the body back, as far as it has come."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.model import Algo
from hapair.http1.codings import NAMES, encoder


class Plain:
    def decompress(self, data: bytes) -> bytes:
        return data


class Brotli:
    def __init__(self) -> None:
        self._decoder: Any = brotli.Decompressor()

    def decompress(self, data: bytes) -> bytes:
        return self._decoder.process(data)


DECODERS: dict[Algo, Callable[[], Any]] = {
    Algo.IDENTITY: Plain,
    Algo.GZIP: lambda: zlib.decompressobj(31),
    Algo.DEFLATE: lambda: zlib.decompressobj(15),
    Algo.RAW_DEFLATE: lambda: zlib.decompressobj(-15),
    Algo.BR: Brotli,
    Algo.ZSTD: lambda: zstandard.ZstdDecompressor().decompressobj(),
}
EVERY = pytest.mark.parametrize("algo", list(Algo))


@EVERY
@given(pieces=st.lists(st.binary(max_size=3000) | st.just(b"again and again " * 400), max_size=6))
def test_what_went_in_has_come_out(algo, pieces):
    coder, decoder = encoder(algo), DECODERS[algo]()
    got = b""
    for i, piece in enumerate(pieces):
        got += decoder.decompress(coder.take(piece, last=False))
        assert got == b"".join(pieces[: i + 1]), "a page comes as its server writes it"
    got += decoder.decompress(coder.take(b"", last=True))
    assert got == b"".join(pieces)
    if hasattr(decoder, "eof"):
        assert decoder.eof


@EVERY
def test_the_last_piece_may_have_data(algo):
    coder, decoder = encoder(algo), DECODERS[algo]()
    assert decoder.decompress(coder.take(b"all at once", last=True)) == b"all at once"


@EVERY
def test_nothing_costs_nothing(algo):
    assert encoder(algo).take(b"", last=False) == b"", "an empty chunk would end the body"


@pytest.mark.parametrize("algo", [algo for algo in Algo if NAMES[algo]])
def test_text_becomes_smaller(algo):
    text = b"".join(b"<li>item %d of a list</li>\n" % i for i in range(2000))
    coder = encoder(algo)
    coded = b"".join(coder.take(text[at : at + 16384], last=False) for at in range(0, len(text), 16384))
    assert len(coded) < len(text) / 3
