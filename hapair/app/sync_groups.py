"""Sync groups at work: whenever a member moves, the others hear at once what that means for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.vrrp.sync_group import Member, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hapair.config.model import SyncGroup
    from hapair.vrrp.service import VirtualRouter


class SyncGroups:
    """All of a node; routers come and go, also with a reload."""

    def __init__(self) -> None:
        self._groups: dict[str, SyncGroup] = {}
        """By instance."""
        self._routers: dict[str, VirtualRouter] = {}

    def adopt(self, groups: Mapping[str, SyncGroup]) -> set[str]:
        """Follow a configuration; returns the instances whose group is another one now."""
        new = {name: group for group in groups.values() for name in group.instances}
        old = self._groups
        moved = {name for name in new.keys() | old.keys() if _bond(new.get(name)) != _bond(old.get(name))}
        self._groups = new
        return moved

    def join(self, name: str, router: VirtualRouter) -> Callable[[], None]:
        """Let `router` move with its group, if it has one; returns the call that ends it."""
        group = self._groups.get(name)
        if group is None:
            return lambda: None
        self._routers[name] = router
        router.follow_group(lambda: self._moved(group))

        def leave() -> None:
            del self._routers[name]

        return leave

    def _moved(self, group: SyncGroup) -> None:
        members = {
            name: self._routers[name].membership() if name in self._routers else _ABSENT
            for name in group.instances
        }
        for name, event in decide(group.name, members):
            if name in self._routers:
                self._routers[name].tell_group(event)


def _bond(group: SyncGroup | None) -> tuple[str, tuple[str, ...]] | None:
    """What members share; whom the group notifies is nothing to them."""
    return (group.name, group.instances) if group is not None else None


_ABSENT = Member(master=False, ready=False, fit=True, held=False)
"""A router that has not started: nobody is MASTER without it."""
