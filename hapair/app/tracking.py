"""What health knows, told to the routers: may this node attract traffic?

A node that comes back from a pulled cable, or has just started, still takes its
servers for up: it would draw the clients and then find out.  So a router that
starts or returns waits, at priority 1, until each of them has passed a fresh check
or is DOWN; whoever is MASTER meanwhile serves.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hapair.vrrp.tracking import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import VrrpInstance
    from hapair.health.service import HealthService, ServerKey, Verdict
    from hapair.kernel.ports import Link
    from hapair.vrrp.service import VirtualRouter


class Tracking:
    """One for all routers of the node."""

    def __init__(self, health: HealthService) -> None:
        self._health = health
        self._usable: Mapping[str, frozenset[str]] = {}
        self._routers: dict[str, tuple[VrrpInstance, VirtualRouter]] = {}
        self._doubts: dict[str, set[ServerKey]] = {}
        """By instance: servers that have to pass a check before they count for it."""

    def follow(self, instance: VrrpInstance, router: VirtualRouter, link: Link) -> Callable[[], None]:
        """Tell `router` from now on; returns the call that ends it."""
        passed = {key for key, verdict in self._health.states().items() if verdict.outcome.ok}
        self._routers[instance.name] = instance, router
        self._doubts[instance.name] = self._tracked_by(instance) - passed
        self._tell(instance.name)
        was_up = link.up

        def on_link(up: bool) -> None:
            nonlocal was_up
            if up and not was_up and instance.name in self._routers:
                self._returned(instance.name)
            was_up = up

        unsubscribe = link.subscribe(on_link, lambda _address: None)

        def end() -> None:
            unsubscribe()
            self._routers.pop(instance.name, None)
            self._doubts.pop(instance.name, None)

        return end

    def adopt(self, instances: Mapping[str, VrrpInstance]) -> None:
        """Follow a reload: other tracks for those that stay; those that leave are not told any more."""
        for name, (_, router) in list(self._routers.items()):
            if name in instances:
                self._routers[name] = instances[name], router
                self._doubts[name] &= self._tracked_by(instances[name])
            else:
                del self._routers[name], self._doubts[name]

    def checked(self, key: ServerKey, verdict: Verdict) -> bool:
        """Take note of a check; returns whether that settles a doubt."""
        if not (verdict.outcome.ok or not verdict.up):
            return False
        settled = [doubts for doubts in self._doubts.values() if key in doubts]
        for doubts in settled:
            doubts.remove(key)
        return bool(settled)

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
        verdict = judge(instance.track, self._usable, doubted)
        router.set_tracking(verdict.ok, verdict.why)

    def _returned(self, name: str) -> None:
        instance, _ = self._routers[name]
        self._doubts[name] = self._tracked_by(instance)
        self._tell(name)
        self._health.recheck(self._doubts[name])

    def _tracked_by(self, instance: VrrpInstance) -> set[ServerKey]:
        backends = {track.backend for track in instance.track}
        return {key for key in self._health.servers() if key.backend in backends}
