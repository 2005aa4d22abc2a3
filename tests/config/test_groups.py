"""What a sync group shares."""

from __future__ import annotations

from ipaddress import IPv4Interface

from hapair.config.groups import sharing_tracks
from hapair.config.model import SyncGroup, Track, VrrpInstance


def test_what_one_tracks_counts_for_all_of_its_group():
    chk, web = Track("script", "chk", weight=-20), Track("backend", "web")

    def instance(name: str, *tracks: Track) -> VrrpInstance:
        return VrrpInstance(name, "eth0", 1, (IPv4Interface("192.0.2.9/24"),), track=tracks)

    instances = {"a": instance("a", chk, web), "b": instance("b", web), "c": instance("c")}
    shared = sharing_tracks(instances, [SyncGroup("g", ("a", "b"))])
    assert {name: one.track for name, one in shared.items()} == {"a": (chk, web), "b": (chk, web), "c": ()}
