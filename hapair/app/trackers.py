"""Which trackers are watched, and by whom: pings by the health checks, the others by `hapair.track`."""

from __future__ import annotations

from hapair.config.groups import sharing_tracks
from hapair.config.model import CheckKind, NodeConfig, TrackPing
from hapair.health.plan import CheckPlan
from hapair.track.service import Key, Watched

PINGS = "track ping"
"""Stands for a backend in the health service; no backend can have that name."""


def _tracked(config: NodeConfig) -> set[Key]:
    instances = sharing_tracks(config.vrrp, config.sync_groups.values())
    return {(track.kind, track.name) for instance in instances.values() for track in instance.track}


def pings(config: NodeConfig) -> list[TrackPing]:
    """The addresses that some router needs to answer."""
    tracked = _tracked(config)
    return [one for key, one in config.trackers.items() if key in tracked and isinstance(one, TrackPing)]


def watched(config: NodeConfig) -> dict[Key, Watched]:
    """The scripts, files and processes that some router tracks."""
    tracked = _tracked(config)
    return {
        key: one for key, one in config.trackers.items() if key in tracked and not isinstance(one, TrackPing)
    }


def interfaces(config: NodeConfig) -> set[str]:
    """The interfaces that some router tracks besides its own."""
    return {name for kind, name in _tracked(config) if kind == "interface"}


def ping_plan(tracker: TrackPing) -> CheckPlan:
    """A tracked address is checked like a server."""
    interval = tracker.interval
    return CheckPlan(
        kind=CheckKind.ICMP,
        host=str(tracker.address),
        port=0,
        http=None,
        inter=interval,
        fastinter=interval,
        downinter=interval,
        rise=tracker.rise,
        fall=tracker.fall,
        connect_timeout=tracker.timeout if tracker.timeout is not None else interval,
        read_timeout=None,
    )
