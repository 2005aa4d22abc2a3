"""What the things that a router tracks mean for its priority (keepalived's model, and "yield").

Pure: others find out whether each is well; findings come in, one verdict goes out.
A weight is added to the priority: a positive one while the thing is well, a
negative one while it fails; `reverse` turns the sign around.  Weight 0 is FAULT,
and no weight at all means yielding: priority 1, for a peer that is better off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from hapair.config.model import Track

NOBODY: Mapping[str, frozenset[str]] = MappingProxyType({})

LEAST_VALUE = -253
"""A tracked file that asks for less than this is a FAULT (as in keepalived)."""


@attrs.frozen
class Finding:
    """How one tracked thing is."""

    track: Track
    ok: bool
    why: str = ""
    """What is wrong with it, as a predicate: `is down`."""
    value: int | None = None
    """What a tracked file says: its weight is multiplied by that."""
    pending: bool = False
    """Nothing is known yet: whatever its effect will be, the router yields until then."""


@attrs.frozen
class Verdict:
    """What all of them together mean."""

    fault: bool = False
    """The router must not take part."""
    ailing: bool = False
    """It yields to every peer: effective priority 1."""
    weight: int = 0
    """To be added to the priority."""
    why: str = ""
    """Names everything that fails or counts, with its effect; empty when nothing does."""

    @property
    def effect(self) -> tuple[bool, bool, int]:
        """What the election acts upon."""
        return self.fault, self.ailing, self.weight


WELL = Verdict()


def judge(findings: Iterable[Finding]) -> Verdict:
    """Add it all up."""
    fault = ailing = False
    weight = 0
    reasons = []
    for finding in findings:
        track = finding.track
        added = 0
        faulty = False
        if finding.pending:
            ailing = True
        elif track.weight is None:
            ailing |= not finding.ok
        elif track.weight == 0:
            faulty = finding.ok is track.reverse
        else:
            added = _added(finding, track.weight)
            faulty = finding.value is not None and added < LEAST_VALUE
        fault |= faulty
        weight += 0 if faulty else added
        if faulty or added or not finding.ok:
            effect = " (FAULT)" if faulty else f" ({added:+d})" if added else ""
            reasons.append(f"{track.kind} {track.name} {finding.why or _plainly(finding)}{effect}")
    return Verdict(fault, ailing, weight, "; ".join(reasons))


def _added(finding: Finding, weight: int) -> int:
    signed = -weight if finding.track.reverse else weight
    if finding.value is not None:
        return signed * finding.value
    return signed if finding.ok is (weight > 0) else 0


def _plainly(finding: Finding) -> str:
    if finding.value is not None:
        return f"says {finding.value}"
    return "is well" if finding.ok else "fails"


def servers(
    track: Track,
    usable: Mapping[str, frozenset[str]],
    doubted: Mapping[str, frozenset[str]] = NOBODY,
) -> Finding:
    """Return whether a tracked backend, or each of a frontend, has enough usable servers, none in doubt.

    One doubted server is enough to wait: balancing would send it its share before its
    checks find out.  A doubt ends by itself, with a check that passes or with DOWN.
    `usable` must know every tracked backend: a name that is missing is a bug of the
    caller (the configuration was checked), so it raises KeyError rather than guess.
    """
    for name in track.watched_backends:
        unchecked = usable[name] & doubted.get(name, frozenset())
        if unchecked:
            why = f"waits for a check of {', '.join(sorted(unchecked))}"
            return Finding(track, ok=False, why=why, pending=True)
    for name in track.watched_backends:
        if len(usable[name]) < track.least:
            why = f"has {len(usable[name])} usable servers, needs {track.least}"
            return Finding(
                track, ok=False, why=why if name == track.name else f"needs backend {name}, which {why}"
            )
    return Finding(track, ok=True)
