"""Cross-checks of trackers: used by somebody, not hidden by a chroot, and scripts that may be run."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from hapair.config.check_notify import ScriptMistake
from hapair.config.model import Node, Tracker, TrackFile, TrackProcess, TrackRoute, TrackScript, VrrpInstance
from hapair.config.report import Report


def _of_one_family(route: TrackRoute) -> bool:
    return route.via is None or route.via.version == route.destination.version


def _out_of_sight(tracker: Tracker) -> tuple[str, str] | None:
    """The key that says what a chroot hides, and what that is."""
    match tracker:
        case TrackFile():
            return "file", "no file outside can be read"
        case TrackProcess():
            return "process", "/proc, which says what runs, cannot be read"
        case TrackRoute():
            return "destination", "/proc, which has the routes, cannot be read"
        case TrackScript():
            return "script", "no script can be run"
        case _:
            return None


def check(
    trackers: Mapping[tuple[str, str], Tracker],
    instances: Mapping[str, VrrpInstance],
    node: Node | None,
    report: Report,
    script_mistake: ScriptMistake | None,
) -> None:
    """Report trackers that nobody tracks, what they could not see, and scripts that cannot be run."""
    tracked = {(track.kind, track.name) for instance in instances.values() for track in instance.track}
    for (kind, name), tracker in trackers.items():
        path = (f"track_{kind}", name)
        if instances and (kind, name) not in tracked:
            report.warning(path, f'no router has track = ["{kind}.{name}"]: it is not watched', at_key=True)
        if isinstance(tracker, TrackRoute) and not _of_one_family(tracker):
            report.error((*path, "via"), f"{tracker.via} is no gateway to {tracker.destination}")
        if node is None:
            continue
        hidden = _out_of_sight(tracker) if node.chroot is not None else None
        if hidden is not None:
            report.error((*path, hidden[0]), f"{hidden[1]} from inside node.chroot {node.chroot}")
        if not isinstance(tracker, TrackScript):
            continue
        if node.user is not None and tracker.user not in (None, node.user):
            report.error(
                (*path, "user"),
                f"we become {node.user} and can become nobody else: scripts run as {node.user}, too",
            )
        elif script_mistake is not None and hidden is None:
            as_its_user = attrs.evolve(node, script_user=tracker.user or node.script_user)
            found = script_mistake(tracker.script[0], as_its_user)
            if found is not None:
                tell = report.error if found[0] == "error" else report.warning
                tell((*path, "script"), found[1])
