"""`compression`: what is compressed, and how."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from hapair.config import fields
from hapair.config.fields import FieldError
from hapair.config.model import Algo, Compression
from hapair.config.shape import one_or_more, switch, table

_LIBRARIES: Final = {Algo.BR: "brotli", Algo.ZSTD: "zstandard"}
"""Packages that are not always there."""
_algo_named = fields.member(Algo)


def _algo(value: object) -> Algo:
    """A coding that this installation can make."""
    algo = _algo_named(value)
    library = _LIBRARIES.get(algo)
    if library is not None and find_spec(library) is None:
        raise FieldError(f'"{algo.value}" needs the package {library}: pip install "hapair[{algo.value}]"')
    return algo


compression = switch(
    table(
        Compression,
        algo=one_or_more(_algo, at_least=1),
        type=one_or_more(
            fields.matching(
                r"[!#$&^_.+0-9A-Za-z-]+/?[!#$&^_.+0-9A-Za-z-]*",
                'the beginning of a Content-Type such as "text/"',
                127,
            ),
            at_least=1,
        ),
        offload=fields.boolean,
    )
)
