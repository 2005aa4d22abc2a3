"""Is what the router tracks well?  Counts of usable servers against `track = [...]`.

Pure: health is somebody else's; the numbers come in, one verdict with its reason goes out.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hapair.config.model import Track


@attrs.frozen
class Verdict:
    ok: bool
    why: str
    """Names every track that fails; empty while all is well."""


def judge(tracks: tuple[Track, ...], usable: Mapping[str, int]) -> Verdict:
    """Return whether every tracked backend has enough usable servers.

    `usable` must know every tracked backend: a name that is missing is a bug of the
    caller (the configuration was checked), so it raises KeyError rather than guess.
    """
    failing = [
        f"backend {track.backend} has {usable[track.backend]} usable servers, needs {track.least}"
        for track in tracks
        if usable[track.backend] < track.least
    ]
    return Verdict(ok=not failing, why="; ".join(failing))
