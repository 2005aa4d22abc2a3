"""Who is master, told from adverts alone: what a third party on the segment can know.

Pure: `observe` takes what was seen, `elapse` takes the silence since; both return the
next view and the changes that an operator wants to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import MappingProxyType

import attrs

from hapair.config.model import IPAddress
from hapair.vrrp.sighting import Sighting

_CROSSING = 0.1
"""Part of an interval: an advert of the old master this soon after the new one's first was under way."""


@attrs.frozen
class Speaker:
    priority: int
    heard_at: float
    until: float
    """Silent for this long it is master no more: its master-down interval."""


@attrs.frozen
class Segment:
    """One virtual router as it is seen."""

    master: IPAddress | None = None
    """Who took it last; None when nobody has it."""
    taken_at: float = 0.0
    speakers: Mapping[IPAddress, Speaker] = MappingProxyType({})
    contested: bool = False


Key = tuple[int, int]
"""Virtual router id, and 4 or 6: families have routers of their own."""
View = Mapping[Key, Segment]
NOTHING: View = MappingProxyType({})


@attrs.frozen
class Change:
    at: float
    vrid: int
    what: str
    """`master`, `resigned`, `silent`, `priority`, `two_masters` or `one_master`."""
    text: str


def master_down_interval(priority: int, interval: float) -> float:
    """Seconds of silence after which nobody waits any longer (RFC 9568 section 6.1), as its peers count."""
    return 3 * interval + (256 - priority) * interval / 256


def deadline(view: View) -> float:
    """When the caller must call `elapse`; `inf` for never."""
    return min((s.until for segment in view.values() for s in segment.speakers.values()), default=inf)


def elapse(view: View, now: float) -> tuple[View, tuple[Change, ...]]:
    """Forget those who have fallen silent."""
    changes: list[Change] = []
    after: dict[Key, Segment] = {}
    for key, segment in view.items():
        alive = {address: s for address, s in segment.speakers.items() if now < s.until}
        if len(alive) == len(segment.speakers):
            after[key] = segment
            continue
        after[key], said = _left(key, segment, alive, now)
        changes += said
        if segment.master is not None and after[key].master is None:
            silence = now - segment.speakers[segment.master].heard_at
            text = f"nothing from {segment.master} for {silence:.2f} s: no master"
            changes.append(Change(now, key[0], "silent", text))
    return after, tuple(changes)


def observe(view: View, sighting: Sighting) -> tuple[View, tuple[Change, ...]]:
    """Take in an advert that receivers would believe."""
    now = sighting.at
    view, before = elapse(view, now)
    key = sighting.vrid, sighting.source.version
    segment = view.get(key, Segment())
    if sighting.priority == 0:
        alive = {a: s for a, s in segment.speakers.items() if a != sighting.source}
        after, said = _left(key, segment, alive, now)
        resigned = Change(now, key[0], "resigned", f"{sighting.source} resigns (priority 0)")
        return {**view, key: after}, (*before, resigned, *said)
    after, said = _spoken(key, segment, sighting)
    return {**view, key: after}, (*before, *said)


def _spoken(key: Key, segment: Segment, sighting: Sighting) -> tuple[Segment, tuple[Change, ...]]:
    now, source, priority = sighting.at, sighting.source, sighting.priority
    known = segment.speakers.get(source)
    until = now + master_down_interval(priority, sighting.interval)
    speakers = {**segment.speakers, source: Speaker(priority, now, until)}
    after = attrs.evolve(segment, speakers=speakers)
    said: list[Change] = []
    if known is not None and known.priority != priority:
        text = f"the priority of {source} changes from {known.priority} to {priority}"
        said.append(Change(now, key[0], "priority", text))
    old = segment.master
    if known is None or old is None:
        was = f", before it was {old} (priority {segment.speakers[old].priority})" if old else ""
        said.append(Change(now, key[0], "master", f"{source} is master (priority {priority}){was}"))
        return attrs.evolve(after, master=source, taken_at=now), tuple(said)
    late = now - segment.taken_at > _CROSSING * sighting.interval
    if source != old and late and not segment.contested:
        all_of_them = " and ".join(
            f"{a} (priority {s.priority})" for a, s in sorted(speakers.items(), key=str)
        )
        said.append(Change(now, key[0], "two_masters", f"two masters: {all_of_them}"))
        after = attrs.evolve(after, contested=True)
    return after, tuple(said)


def _left(
    key: Key, segment: Segment, alive: Mapping[IPAddress, Speaker], now: float
) -> tuple[Segment, tuple[Change, ...]]:
    """What remains when somebody has gone; those who were replaced in peace do not come back by that."""
    master = segment.master if segment.master in alive else None
    if not segment.contested:
        return attrs.evolve(segment, speakers=alive, master=master), ()
    if len(alive) == 1:
        (winner,) = alive
        after = attrs.evolve(segment, speakers=alive, master=winner, contested=False)
        return after, (Change(now, key[0], "one_master", f"{winner} is the only master again"),)
    master = master or next(iter(alive), None)
    return attrs.evolve(segment, speakers=alive, master=master, contested=bool(alive)), ()
