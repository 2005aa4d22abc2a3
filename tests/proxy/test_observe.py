"""What traffic tells of a server: so many errors in a row, at the layer that is observed."""

from __future__ import annotations

import pytest

from hapair.config import model
from hapair.proxy.backend import Backend


def suspects(observe: int | None, told: str) -> list[str]:
    """Who is suspected after these reports: c and C a bad and a good connection, a and A such an answer."""
    config = model.Server("s", 1, "192.0.2.1", 80, observe=observe, error_limit=3)
    backend = Backend(model.Backend("b", (config,)), {"s": None}, [])
    for one in told:
        backend.servers[0].observed(4 if one in "cC" else 7, one.isupper(), one)
    return [what for _, what in backend.suspected]


@pytest.mark.parametrize(
    ("observe", "told", "last"),
    [
        (4, "ccc", ["c"]),
        (4, "ccCccC", []),
        (4, "ccccccc", ["c", "c"]),
        (4, "aaaa", []),
        (7, "aaa", ["a"]),
        (7, "aca", ["a"]),
        (7, "aaAaa", []),
        (7, "caC" + "c", ["c"]),
        (None, "cccaaa", []),
    ],
)
def test_errors_in_a_row_make_a_suspect(observe, told, last):
    """At layer 7 a failed connection counts as well, and a good one does not make up for bad answers."""
    assert suspects(observe, told) == last
