"""Content codings that a response is put into on its way (RFC 9110 section 8.4.1).

One encoder for each response, told of the body as it passes.  What goes in has come
out by the time `take` returns: a page that its server writes bit by bit arrives bit by bit.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from hapair.config.model import Algo

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_BITS: Final = 13
MEMORY_LEVEL: Final = 6
"""32 KiB of window and 32 KiB of hashes for each response; zlib's own choice is four times as much."""
LEVEL: Final = 1
"""HAProxy's `tune.comp.maxlevel`: what more would save in bytes it costs in latency of everybody else."""
QUALITY: Final = 3
"""The same for brotli, of 11."""

NAMES: Final = {
    Algo.IDENTITY: b"",
    Algo.GZIP: b"gzip",
    Algo.DEFLATE: b"deflate",
    Algo.RAW_DEFLATE: b"deflate",
    Algo.BR: b"br",
    Algo.ZSTD: b"zstd",
}
"""What Accept-Encoding and Content-Encoding call them."""


class Encoder:
    """The identity: what comes in goes out.  Base of the others."""

    def take(self, data: bytes, *, last: bool) -> bytes:
        """The coded bytes for all of `data`; `last` ends the body."""
        del last
        return data


class Deflate(Encoder):
    """zlib, in one of its three wrappings."""

    def __init__(self, bits: int) -> None:
        """`bits` as zlib wants them: negative for none, from 16 on for gzip's."""
        self._compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, bits, MEMORY_LEVEL)

    def take(self, data: bytes, *, last: bool) -> bytes:
        """The coded bytes for all of `data`; `last` ends the body."""
        if not data and not last:
            return b""
        begun = self._compressor.compress(data)
        return begun + self._compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class Brotli(Encoder):
    """RFC 7932."""

    def __init__(self) -> None:
        library: Any = import_module("brotli")
        self._compressor = library.Compressor(quality=QUALITY, lgwin=16)

    def take(self, data: bytes, *, last: bool) -> bytes:
        """The coded bytes for all of `data`; `last` ends the body."""
        if not data and not last:
            return b""
        begun: bytes = self._compressor.process(data)
        rest: bytes = self._compressor.finish() if last else self._compressor.flush()
        return begun + rest


class Zstd(Encoder):
    """RFC 8878."""

    def __init__(self) -> None:
        library: Any = import_module("zstandard")
        parameters = library.ZstdCompressionParameters.from_level(LEVEL, window_log=16)
        self._compressor = library.ZstdCompressor(compression_params=parameters).compressobj()
        self._block = library.COMPRESSOBJ_FLUSH_BLOCK
        self._finish = library.COMPRESSOBJ_FLUSH_FINISH

    def take(self, data: bytes, *, last: bool) -> bytes:
        """The coded bytes for all of `data`; `last` ends the body."""
        if not data and not last:
            return b""
        begun: bytes = self._compressor.compress(data)
        rest: bytes = self._compressor.flush(self._finish if last else self._block)
        return begun + rest


_MAKERS: Final[dict[Algo, Callable[[], Encoder]]] = {
    Algo.IDENTITY: Encoder,
    Algo.GZIP: lambda: Deflate(16 + WINDOW_BITS),
    Algo.DEFLATE: lambda: Deflate(WINDOW_BITS),
    Algo.RAW_DEFLATE: lambda: Deflate(-WINDOW_BITS),
    Algo.BR: Brotli,
    Algo.ZSTD: Zstd,
}


def encoder(algo: Algo) -> Encoder:
    """A new one for one response; its library is there, or the configuration would have been refused."""
    return _MAKERS[algo]()
