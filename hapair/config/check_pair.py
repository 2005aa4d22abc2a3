"""Cross-checks of two files that make a pair: what no node can see by looking at itself.

Routers of two nodes belong together when they have an address in common, or else the
virtual_router_id on interfaces of the same name.  Problems are reported in the file
where the remedy is, the other file is named.
"""

from __future__ import annotations

from itertools import combinations

import attrs

from hapair.config import check_placing
from hapair.config.arithmetic import OWNER, clamped, reach, swing
from hapair.config.fields import spell
from hapair.config.groups import sharing_tracks
from hapair.config.locate import Path, locate
from hapair.config.model import ChecksumForm, NodeConfig, VrrpInstance
from hapair.config.problems import Problem
from hapair.config.report import Report
from hapair.config.tracks import written


@attrs.frozen(eq=False)
class Side:
    """One of the two files."""

    file: str
    config: NodeConfig
    report: Report
    instances: dict[str, VrrpInstance]
    """With all that they track."""


def side(file: str, source: str, config: NodeConfig) -> Side:
    """A file that is right by itself, ready to be compared."""
    instances = sharing_tracks(config.vrrp, config.sync_groups.values())
    return Side(file, config, Report(file, source, locate(source)), instances)


def check(one: Side, other: Side) -> tuple[Problem, ...]:
    """Return what is wrong with the two together, in the order of the files."""
    if one.config.node.name == other.config.node.name:
        other.report.warning(("node", "name"), f"{one.file} is called {one.config.node.name}, too")
    couples = _couples(one, other)
    for mine, theirs in couples:
        _couple(one, mine, other, theirs)
    for here, there, matched in (
        (one, other, {mine.name for mine, _ in couples}),
        (other, one, {theirs.name for _, theirs in couples}),
    ):
        for name in here.instances.keys() - matched:
            here.report.warning(
                ("vrrp", name), f"{there.file} has no router for these addresses", at_key=True
            )
    _crossing_groups(one, other, couples)
    check_placing.check(one, other)
    return tuple(
        problem
        for here in (one, other)
        for problem in sorted(
            (*here.report.errors, *here.report.warnings), key=lambda found: (found.line, found.column)
        )
    )


def _couples(one: Side, other: Side) -> list[tuple[VrrpInstance, VrrpInstance]]:
    couples = []
    for mine in one.instances.values():
        for theirs in other.instances.values():
            common = {vip.ip for vip in mine.addresses} & {vip.ip for vip in theirs.addresses}
            if common or _segment(mine) == _segment(theirs):
                couples.append((mine, theirs))
                break
    return couples


def _segment(instance: VrrpInstance) -> tuple[str, int, int]:
    return instance.interface, instance.virtual_router_id, instance.family


def _couple(one: Side, mine: VrrpInstance, other: Side, theirs: VrrpInstance) -> None:
    path: Path = ("vrrp", theirs.name)
    there = f"vrrp.{mine.name} in {one.file}"
    for key, what in (
        ("virtual_router_id", "both would be MASTER of the same addresses"),
        ("version", "neither understands the other"),
        ("auth_pass", "neither believes the other"),
    ):
        if getattr(mine, key) != getattr(theirs, key):
            other.report.error((*path, key), f"it is another one at {there}: {what}")
    for key in ("addresses", "excluded_addresses"):
        if {vip.ip for vip in getattr(mine, key)} != {vip.ip for vip in getattr(theirs, key)}:
            other.report.error(
                (*path, key), f"they are others at {there}: who is MASTER must hold all of them"
            )
    if mine.advert_interval != theirs.advert_interval:
        message = f"it is {spell(mine.advert_interval)} at {there}"
        if theirs.version == 2:
            other.report.error((*path, "advert_interval"), f"{message}: VRRPv2 drops other intervals")
        else:
            other.report.warning((*path, "advert_interval"), f"{message}: failover takes longer one way")
    if mine.down_timer_adverts != theirs.down_timer_adverts:
        other.report.warning(
            (*path, "down_timer_adverts"), f"it is {mine.down_timer_adverts} at {there}: use the same on both"
        )
    if mine.skew != theirs.skew:
        skew = "true" if mine.skew else "false"
        other.report.warning((*path, "skew"), f"it is {skew} at {there}: failover takes longer one way")
    if {mine.checksum, theirs.checksum} == {ChecksumForm.PSEUDO, ChecksumForm.RFC9568}:
        other.report.error(
            (*path, "checksum"), f"it is another one at {there}: neither understands the other"
        )
    _unicast(one, mine, other, theirs)
    _unicast(other, theirs, one, mine)
    _priorities(one, mine, other, theirs)


def _unicast(one: Side, mine: VrrpInstance, other: Side, theirs: VrrpInstance) -> None:
    """`theirs` must send to, and hear, `mine`."""
    path: Path = ("vrrp", theirs.name, "unicast_peers")
    if mine.multicasts and theirs.multicasts:
        pass  # peers named beside it are further ones
    elif mine.unicast_peers and not theirs.unicast_peers:
        other.report.error(path, f"vrrp.{mine.name} in {one.file} is unicast, this one multicast")
    elif theirs.unicast_peers and mine.source_address not in (None, *theirs.unicast_peers):
        other.report.error(
            path, f"vrrp.{mine.name} in {one.file} sends from {mine.source_address}, which is not among these"
        )
    if mine.source_address is not None and mine.source_address == theirs.source_address:
        other.report.error((*path[:2], "source_address"), f"vrrp.{mine.name} in {one.file} has the same")


def _priorities(one: Side, mine: VrrpInstance, other: Side, theirs: VrrpInstance) -> None:
    ours, yours = reach(mine).well, reach(theirs).well
    if ours == yours:
        message = f"vrrp.{mine.name} in {one.file} has {ours}, too"
        if ours == OWNER:
            other.report.error(
                ("vrrp", theirs.name, "priority"), f"{message}: only one can own the addresses"
            )
        else:
            other.report.warning(
                ("vrrp", theirs.name, "priority"), f"{message}: the higher address decides, not you"
            )
    elif ours > yours:
        _failover(one, mine, other, theirs)
    else:
        _failover(other, theirs, one, mine)


def _failover(high: Side, better: VrrpInstance, low: Side, worse: VrrpInstance) -> None:
    """Weights are there to bring the better one below the other: can they?"""
    path: Path = ("vrrp", better.name, "track")
    upper, peer = reach(better), reach(worse).well
    peer_name = f"vrrp.{worse.name} in {low.file}"
    if better.priority == OWNER or not upper.weighted:
        return
    if upper.failing >= peer and not upper.leaves:
        high.report.error(
            path,
            f"even when all of it fails the priority is {upper.failing}, and that of {peer_name} is {peer}: "
            "it never fails over",
        )
        return
    if not worse.preempt:
        low.report.error(
            ("vrrp", worse.name, "preempt"),
            f"with preempt = false it leaves the MASTER alone, however far the weights of vrrp.{better.name} "
            f"in {high.file} bring it down",
        )
    well = sum(swing(track)[0] for track in upper.weighted)
    for track in upper.weighted:
        gain, loss = swing(track)
        alone = clamped(better.priority, well - gain + loss)
        if alone >= peer:
            high.report.warning(
                path,
                f'"{written(track)}" alone brings it to {alone}, and {peer_name} has {peer}: '
                "by itself it moves nothing",
            )


def _crossing_groups(one: Side, other: Side, couples: list[tuple[VrrpInstance, VrrpInstance]]) -> None:
    """A group of which each node is the better one for a part is fought over."""
    for name, group in one.config.sync_groups.items():
        members = [(mine, theirs) for mine, theirs in couples if mine.name in group.instances]
        for (a, b), (c, d) in combinations(members, 2):
            if (reach(a).well - reach(b).well) * (reach(c).well - reach(d).well) < 0:
                one.report.error(
                    ("sync_group", name, "instances"),
                    f"{a.name} and {c.name} prefer different nodes: the priorities here and in {other.file} "
                    "must be higher on the same side for all members",
                )
        mates = {theirs.name for _, theirs in members}
        if not any(mates <= set(theirs.instances) for theirs in other.config.sync_groups.values()):
            other.report.warning(
                ("sync_group",), f"sync_group.{name} of {one.file} has no counterpart here", at_key=True
            )
