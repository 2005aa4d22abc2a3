"""What is kept of a scenario when its pair is gone: enough to draw and to judge, little enough for an hour.

Pure; times are seconds since the scenario began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite

import attrs

from lab import verdicts
from lab.verdicts import Holding, Request, Stream

BINS = 240
"""At most so many columns has a timeline."""
BEFORE = 0.25
"""Seconds of peace that are shown before anything is done."""
NARROWEST = 0.02
"""Seconds of a column; ten requests."""


@attrs.frozen
class Deed:
    """Something that was done to the pair."""

    name: str
    start: float
    end: float


@attrs.frozen
class Bin:
    """The requests that began within one column of the timeline."""

    ok: int = 0
    failed: int = 0
    slowest: float = 0.0
    """Seconds, of those that were answered."""


@attrs.frozen
class Bounds:
    """What a scenario may cost; seconds, and requests that fail (None: as many as the outage makes fail)."""

    outage: float
    two_holders: float
    failed: int | None = None


@attrs.frozen
class Record:
    title: str
    nodes: str
    """What ran: a Kind."""
    group: str
    length: float
    bounds: Bounds
    deeds: tuple[Deed, ...] = ()
    holdings: tuple[Holding, ...] = ()
    """The first says who had the VIP at the beginning."""
    bins: tuple[Bin, ...] = ()
    streams: tuple[Stream, ...] = ()
    outage: float = 0.0
    two_holders: float = 0.0
    asked: int = 0
    failed: int = 0
    problems: tuple[str, ...] = ()
    """Each one line; none: every promise was kept."""
    why_not: str = ""
    """Why it was not done at all."""
    broken: bool = False
    """The pair did not come to peace again: it is of no further use."""
    again: str = ""
    """The command that repeats it."""

    @property
    def verdict(self) -> str:
        if self.why_not:
            return "not here"
        return "BROKEN" if self.problems else "held"


def record(
    *,
    title: str,
    nodes: str,
    group: str,
    bounds: Bounds,
    start: float,
    end: float,
    deeds: Iterable[Deed],
    requests: Sequence[Request],
    holdings: Sequence[Holding],
    streams: Iterable[Stream],
    problems: Iterable[str] = (),
    broken: bool = False,
    again: str = "",
) -> Record:
    """Judge and shorten what the witnesses saw in [start, end]; all times given are monotonic."""
    outage = verdicts.asked_gap(requests, start, end)
    both = verdicts.two_holders(holdings, start, end)
    failed = len(verdicts.failures(requests, start, end))
    cut = verdicts.broken_streams(streams, start, end)
    found = list(problems)
    if outage > bounds.outage:
        # Whoever stays broken has told why: its outage has no end yet.
        found.append(f"nobody was served for {_seconds(outage)}, {_seconds(bounds.outage)} are allowed")
    if both > bounds.two_holders:
        found.append(
            f"the VIP was on both nodes for {_seconds(both)}, {_seconds(bounds.two_holders)} are allowed"
        )
    if bounds.failed is not None and failed + len(cut) > bounds.failed:
        reasons = sorted(
            {one.error or "" for one in verdicts.failures(requests, start, end)}
            | {one.error or "" for one in cut}
        )
        found.append(f"{failed} requests and {len(cut)} streams failed: {', '.join(reasons)}")
    shown = start - BEFORE
    return Record(
        title=title,
        nodes=nodes,
        group=group,
        length=end - shown,
        bounds=bounds,
        deeds=tuple(Deed(deed.name, deed.start - shown, deed.end - shown) for deed in deeds),
        holdings=tuple(_within(holdings, shown, end)),
        bins=tuple(bins(requests, shown, end)),
        streams=tuple(
            attrs.evolve(one, start=max(0.0, one.start - shown), end=one.end - shown)
            for one in streams
            if shown <= one.end <= end
        ),
        outage=outage,
        two_holders=both,
        asked=sum(start <= request.start < end for request in requests),
        failed=failed,
        problems=tuple(found),
        broken=broken,
        again=again,
    )


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if isfinite(value) else "ever"


def bins(requests: Iterable[Request], start: float, end: float) -> list[Bin]:
    """The columns of [start, end]: of equal width, `BINS` at most."""
    width = bin_width(end - start)
    count = max(1, round((end - start) / width + 0.499999))
    ok, failed, slowest = [0] * count, [0] * count, [0.0] * count
    for request in requests:
        if not start <= request.start < end:
            continue
        at = min(count - 1, int((request.start - start) / width))
        if request.ok:
            ok[at] += 1
            slowest[at] = max(slowest[at], request.end - request.start)
        else:
            failed[at] += 1
    return [Bin(*one) for one in zip(ok, failed, slowest, strict=True)]


def bin_width(length: float) -> float:
    """Seconds of one column."""
    return max(NARROWEST, length / BINS)


def _within(holdings: Sequence[Holding], start: float, end: float) -> Iterable[Holding]:
    following = [one.since for one in holdings[1:]] + [inf]
    for holding, until in zip(holdings, following, strict=True):
        if until > start and holding.since < end:
            yield Holding(max(0.0, holding.since - start), holding.holders)
