"""Is what the router tracks well?  Usable servers against `track = [...]`.

Pure: health is somebody else's; the names come in, one verdict with its reason goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from hapair.config.model import Track

NOBODY: Mapping[str, frozenset[str]] = MappingProxyType({})


@attrs.frozen
class Verdict:
    ok: bool
    why: str
    """Names every track that fails; empty while all is well."""


def judge(
    tracks: tuple[Track, ...],
    usable: Mapping[str, frozenset[str]],
    doubted: Mapping[str, frozenset[str]] = NOBODY,
) -> Verdict:
    """Return whether every tracked backend has enough usable servers, and none in doubt.

    One doubted server is enough to wait: balancing would send it its share before its
    checks find out.  A doubt ends by itself, with a check that passes or with DOWN.
    `usable` must know every tracked backend: a name that is missing is a bug of the
    caller (the configuration was checked), so it raises KeyError rather than guess.
    """
    failing = []
    for track in tracks:
        servers = usable[track.backend]
        unchecked = servers & doubted.get(track.backend, frozenset())
        if unchecked:
            failing.append(f"backend {track.backend} waits for a check of {', '.join(sorted(unchecked))}")
        elif len(servers) < track.least:
            failing.append(f"backend {track.backend} has {len(servers)} usable servers, needs {track.least}")
    return Verdict(ok=not failing, why="; ".join(failing))
