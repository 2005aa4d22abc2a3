"""What a sync group shares."""

from __future__ import annotations

from ipaddress import IPv4Interface

from hapair.config.groups import sharing_tracks
from hapair.config.model import SyncGroup, Track, Vip, VrrpInstance


def test_what_one_tracks_counts_for_all_of_its_group():
    chk, web = Track("script", "chk", weight=-20), Track("backend", "web")

    def instance(name: str, *tracks: Track) -> VrrpInstance:
        return VrrpInstance(name, "eth0", 1, (IPv4Interface("192.0.2.9/24"),), track=tracks)

    instances = {"a": instance("a", chk, web), "b": instance("b", web), "c": instance("c")}
    shared = sharing_tracks(instances, [SyncGroup("g", ("a", "b"))])
    assert {name: one.track for name, one in shared.items()} == {"a": (chk, web), "b": (chk, web), "c": ()}


def test_the_interfaces_of_its_vips_are_tracked_like_its_own():
    def instance(*tracks: Track) -> VrrpInstance:
        vips = [
            Vip(IPv4Interface(f"192.0.2.{n}/24"), dev=dev)
            for n, dev in enumerate(("eth0", None, "eth1", "eth1"))
        ]
        return VrrpInstance("a", "eth0", 1, tuple(vips), track=tracks)

    explicit = Track("interface", "eth1", weight=-20)
    assert sharing_tracks({"a": instance()}, [])["a"].track == (Track("interface", "eth1", weight=0),)
    assert sharing_tracks({"a": instance(explicit)}, [])["a"].track == (explicit,)
