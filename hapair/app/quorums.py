"""The quorum of each backend that has one: who serves, and who is told when it is gained or lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs

from hapair.notify.notices import QuorumChange
from hapair.proxy.quorum import Quorum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import Backend
    from hapair.dataplane.service import DataPlane

logger = logging.getLogger("hapair.health")


class Quorums:
    """One for the whole node; what is known stays through a reload."""

    def __init__(self, plane: DataPlane, tell: Callable[[QuorumChange, Backend], None]) -> None:
        self._plane = plane
        self._tell = tell
        self._quorums: dict[str, Quorum] = {}

    def judge(self, backends: Mapping[str, Backend]) -> None:
        """Look at every backend; to be called whenever a server may count for more or less."""
        quorums: dict[str, Quorum] = {}
        for name, backend in backends.items():
            if not backend.quorum:
                continue
            known = self._quorums.get(name, Quorum(0))
            before = attrs.evolve(known, needed=backend.quorum, hysteresis=backend.hysteresis)
            weight = self._plane.live_weight(name)
            after = quorums[name] = before.weighed(weight)
            if backend.sorry_server is not None:
                self._plane.set_sorry(name, not after.met)
            if after is not before:
                self._changed(backend, before, after, weight)
        self._quorums = quorums

    def _changed(self, backend: Backend, before: Quorum, after: Quorum, weight: int) -> None:
        text = after.told(before, weight)
        logger.log(logging.INFO if after.met else logging.WARNING, "%s for backend %s.", text, backend.name)
        if backend.sorry_server is not None and (before.met is not None or not after.met):
            verb, way = ("Removing", "from") if after.met else ("Adding", "to")
            logger.info("%s sorry server %s %s backend %s.", verb, backend.sorry_server, way, backend.name)
        self._tell(QuorumChange(backend.name, bool(after.met), text), backend)
