"""Cross-checks of the sync groups: who can move together."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hapair.config.fields import suggestion
from hapair.config.locate import Path
from hapair.config.model import SyncGroup, VrrpInstance
from hapair.config.problems import quoted
from hapair.config.report import Report


def check(
    groups: Mapping[str, SyncGroup],
    instances: Mapping[str, VrrpInstance],
    names: Collection[str],
    report: Report,
) -> None:
    """Report members that do not exist, stand twice, or cannot go along; `names` are all instances."""
    taken: dict[str, str] = {}
    for name, group in groups.items():
        for i, member in enumerate(group.instances):
            path = ("sync_group", name, "instances", i)
            if member not in names:
                report.error(path, f"there is no vrrp {quoted(member)}{suggestion(member, names)}")
            elif member in taken:
                report.error(path, f"vrrp.{member} is already in sync_group.{taken[member]}")
            taken.setdefault(member, name)
        if len(set(group.instances)) == 1:
            report.warning(("sync_group", name, "instances"), "one instance alone has nobody to move with")
        _alike([instances[one] for one in group.instances if one in instances], name, report)


def _alike(members: list[VrrpInstance], name: str, report: Report) -> None:
    """Members that preempt differently wait for each other for ever."""
    path: Path = ("sync_group", name, "instances")
    if len({member.preempt for member in members}) > 1:
        stays = ", ".join(member.name for member in members if not member.preempt)
        report.warning(path, f"{stays} does not preempt, so that none of the group ever does")
