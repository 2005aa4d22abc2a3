"""Cross-checks of trackers: used by somebody, and scripts that can and may be run."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hapair.config.check_notify import ScriptMistake
from hapair.config.model import Node, Tracker, TrackRoute, TrackScript, VrrpInstance
from hapair.config.report import Report


def _of_one_family(route: TrackRoute) -> bool:
    return route.via is None or route.via.version == route.destination.version


def check(
    trackers: Mapping[tuple[str, str], Tracker],
    instances: Mapping[str, VrrpInstance],
    node: Node | None,
    report: Report,
    script_mistake: ScriptMistake | None,
) -> None:
    """Report trackers that nobody tracks, and scripts that cannot be run."""
    tracked = {(track.kind, track.name) for instance in instances.values() for track in instance.track}
    for (kind, name), tracker in trackers.items():
        path = (f"track_{kind}", name)
        if instances and (kind, name) not in tracked:
            report.warning(path, f'no router has track = ["{kind}.{name}"]: it is not watched', at_key=True)
        if isinstance(tracker, TrackRoute) and not _of_one_family(tracker):
            report.error((*path, "via"), f"{tracker.via} is no gateway to {tracker.destination}")
        if not isinstance(tracker, TrackScript) or node is None:
            continue
        if node.user is not None and tracker.user not in (None, node.user):
            report.error(
                (*path, "user"),
                f"we become {node.user} and can become nobody else: scripts run as {node.user}, too",
            )
        elif node.chroot is not None:
            report.error((*path, "script"), f"no script can be run from inside node.chroot {node.chroot}")
        elif script_mistake is not None:
            as_its_user = attrs.evolve(node, script_user=tracker.user or node.script_user)
            found = script_mistake(tracker.script[0], as_its_user)
            if found is not None:
                tell = report.error if found[0] == "error" else report.warning
                tell((*path, "script"), found[1])
