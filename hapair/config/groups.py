"""What a sync group shares: a member tracks whatever any of them tracks.

Their priorities so move together; with weights of its own a member would tear the
group apart (keepalived sets them to zero unless told otherwise).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from hapair.config.model import SyncGroup, Track, VrrpInstance


def sharing_tracks(
    instances: Mapping[str, VrrpInstance], groups: Iterable[SyncGroup]
) -> dict[str, VrrpInstance]:
    """The instances, where members of a group track what any of them tracks."""
    shared = dict(instances)
    for group in groups:
        tracks: dict[Track, None] = {}
        for name in group.instances:
            tracks.update(dict.fromkeys(instances[name].track))
        for name in group.instances:
            shared[name] = attrs.evolve(instances[name], track=tuple(tracks))
    return shared
