"""What routers track without saying so: the interfaces of their VIPs, and what their sync group tracks.

A router whose VIP cannot be where it belongs is in FAULT, as with its own interface.

A member of a group tracks whatever any of them tracks: their priorities so move together;
with weights of its own a member would tear the group apart (keepalived sets them to zero
unless told otherwise).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from hapair.config.model import SyncGroup, Track, VrrpInstance


def sharing_tracks(
    instances: Mapping[str, VrrpInstance], groups: Iterable[SyncGroup]
) -> dict[str, VrrpInstance]:
    """The instances with all that they track."""
    shared = {name: _with_devices(instance) for name, instance in instances.items()}
    for group in groups:
        tracks: dict[Track, None] = {}
        for name in group.instances:
            tracks.update(dict.fromkeys(shared[name].track))
        for name in group.instances:
            shared[name] = attrs.evolve(shared[name], track=tuple(tracks))
    return shared


def _with_devices(instance: VrrpInstance) -> VrrpInstance:
    tracked = {track.name for track in instance.track if track.kind == "interface"}
    devices = {vip.dev for vip in instance.held if vip.dev} - {instance.interface} - tracked
    implied = tuple(Track("interface", name, 1, 0, False) for name in sorted(devices))
    return attrs.evolve(instance, track=instance.track + implied) if implied else instance
