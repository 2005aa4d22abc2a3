"""What health and the trackers know, told to the routers: may this node attract traffic?

A node that comes back from a pulled cable, or has just started, still takes its
servers for up: it would draw the clients and then find out.  So a router that
starts or returns waits, at priority 1, until each of them has passed a fresh check
or is DOWN; whoever is MASTER meanwhile serves.  Other things that it tracks are waited for
until something was heard of them, once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Protocol

from hapair.config.tracks import PROXYING
from hapair.vrrp.tracking import Finding, judge, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import Track, VrrpInstance
    from hapair.health.service import HealthService, ServerKey, Verdict
    from hapair.kernel.ports import Link
    from hapair.vrrp.service import VirtualRouter


class Heard(Protocol):
    """What a tracker found out."""

    @property
    def ok(self) -> bool: ...
    @property
    def why(self) -> str:
        """What is wrong, as a predicate: `is down`; empty while it is well."""

    @property
    def value(self) -> int | None:
        """What a tracked file says; None for everything else."""


class Tracking:
    """One for all routers of the node."""

    def __init__(self, health: HealthService) -> None:
        self._health = health
        self._usable: Mapping[str, frozenset[str]] = {}
        self._routers: dict[str, tuple[VrrpInstance, VirtualRouter]] = {}
        self._doubts: dict[str, set[ServerKey]] = {}
        """By instance: servers that have to pass a check before they count for it."""
        self._heard: dict[tuple[str, str], Heard] = {}
        self._unheard: dict[str, set[tuple[str, str]]] = {}
        """By instance: what it waits to hear of."""

    def follow(self, instance: VrrpInstance, router: VirtualRouter, link: Link) -> Callable[[], None]:
        """Tell `router` from now on; returns the call that ends it."""
        passed = {key for key, verdict in self._health.states().items() if verdict.outcome.ok}
        self._routers[instance.name] = instance, router
        self._doubts[instance.name] = self._tracked_by(instance) - passed
        self._unheard[instance.name] = _trackers(instance) - self._heard.keys()
        self._tell(instance.name)
        was_up = link.up

        def on_link(up: bool) -> None:
            nonlocal was_up
            if up and not was_up and instance.name in self._routers:
                self._returned(instance.name)
            was_up = up

        unsubscribe = link.subscribe(on_link, lambda _index, _address: None)

        def end() -> None:
            unsubscribe()
            self._routers.pop(instance.name, None)
            self._doubts.pop(instance.name, None)
            self._unheard.pop(instance.name, None)

        return end

    def adopt(self, instances: Mapping[str, VrrpInstance]) -> None:
        """Follow a reload: other tracks for those that stay; those that leave are not told any more."""
        for name, (_, router) in list(self._routers.items()):
            if name in instances:
                self._routers[name] = instances[name], router
                self._doubts[name] &= self._tracked_by(instances[name])
                self._unheard[name] &= _trackers(instances[name])
            else:
                del self._routers[name], self._doubts[name], self._unheard[name]
        wanted = {key for instance in instances.values() for key in _trackers(instance)}
        self._heard = {key: heard for key, heard in self._heard.items() if key in wanted}

    def checked(self, key: ServerKey, verdict: Verdict) -> bool:
        """Take note of a check; returns whether that settles a doubt."""
        if not (verdict.outcome.ok or not verdict.up):
            return False
        settled = [doubts for doubts in self._doubts.values() if key in doubts]
        for doubts in settled:
            doubts.remove(key)
        return bool(settled)

    def tracked(self, kind: str, name: str, verdict: Heard) -> None:
        """Take note of what a tracker says of `[track_KIND.NAME]`, and tell who tracks that."""
        self._heard[kind, name] = verdict
        for unheard in self._unheard.values():
            unheard.discard((kind, name))
        for instance, _ in list(self._routers.values()):
            if (kind, name) in _trackers(instance):
                self._tell(instance.name)

    def tell(self, usable: Mapping[str, frozenset[str]]) -> None:
        """Which servers of each backend take new sessions now."""
        self._usable = usable
        for name in self._routers:
            self._tell(name)

    def _tell(self, name: str) -> None:
        instance, router = self._routers[name]
        doubted: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for key in self._doubts[name]:
            doubted[key.backend] |= {key.server}
        router.set_tracking(judge(self._finding(name, track, doubted) for track in instance.track))

    def _finding(self, name: str, track: Track, doubted: Mapping[str, frozenset[str]]) -> Finding:
        if track.kind in PROXYING:
            return servers(track, self._usable, doubted)
        heard = self._heard.get((track.kind, track.name))
        if heard is not None:
            return Finding(track, heard.ok, heard.why, heard.value)
        # One that came with a reload is taken for well until it was heard: no MASTER resigns for that.
        pending = (track.kind, track.name) in self._unheard[name]
        return Finding(track, ok=not pending, why="was not heard of yet" if pending else "", pending=pending)

    def _returned(self, name: str) -> None:
        instance, _ = self._routers[name]
        self._doubts[name] = self._tracked_by(instance)
        self._tell(name)
        self._health.recheck(self._doubts[name])

    def _tracked_by(self, instance: VrrpInstance) -> set[ServerKey]:
        backends = {name for track in instance.track for name in track.watched_backends}
        return {key for key in self._health.servers() if key.backend in backends}


def _trackers(instance: VrrpInstance) -> set[tuple[str, str]]:
    """What it tracks besides servers."""
    return {(track.kind, track.name) for track in instance.track if track.kind not in PROXYING}
