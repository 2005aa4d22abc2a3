"""What the witnesses' records mean.  Pure; times are monotonic seconds.

The gap of a fault is the longest time between two consecutive successes that
reaches beyond the fault: equal to "last success before, first success after"
where service ends with the fault, and right as well where it ends a little later
or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

import attrs


@attrs.frozen
class Request:
    """One request of a prober; exactly one of `backend` and `error` is set."""

    start: float
    end: float
    backend: str | None = None
    """The backend that answered."""
    via: str | None = None
    """The address from which the backend was asked: the load balancer's."""
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


@attrs.frozen
class Stream:
    """One long-lived exchange with a body of known bytes."""

    start: float
    end: float
    kind: str
    """download or upload."""
    length: int
    """Bytes that went over before the end."""
    error: str | None = None
    """None: every byte was right."""

    @property
    def ok(self) -> bool:
        return self.error is None


@attrs.frozen
class Holding:
    """From `since` on, until the next Holding, these machines had the VIP."""

    since: float
    holders: frozenset[str]


def gap(requests: Iterable[Request], start: float, end: float) -> float:
    """The longest time without a success that reaches into [start, end]; `inf` when none followed."""
    successes = sorted(request.end for request in requests if request.ok)
    gaps = [b - a for a, b in pairwise(successes) if b > start and a < end]
    if not successes or successes[-1] <= start:
        return inf
    return max(gaps, default=inf)


HOLE = 0.05
"""Seconds between the beginnings of two requests after which nobody was there to ask."""


def asked_gap(requests: Sequence[Request], start: float, end: float) -> float:
    """The same, but for the time in which nobody asked: a prober that was kept waiting proves nothing."""
    successes = sorted(request.end for request in requests if request.ok)
    if not successes or successes[-1] <= start:
        return inf
    begun = sorted(request.start for request in requests)
    holes = [(a, b) for a, b in pairwise(begun) if b - a > HOLE]
    gaps = [(a, b) for a, b in pairwise(successes) if b > start and a < end]
    return max((b - a - sum(max(0.0, min(b, d) - max(a, c)) for c, d in holes) for a, b in gaps), default=inf)


def failures(requests: Iterable[Request], start: float, end: float) -> list[Request]:
    """Requests that began in [start, end) and failed."""
    return [request for request in requests if not request.ok and start <= request.start < end]


def wrong(witnessed: Iterable[Request | Stream]) -> list[str]:
    """What clients were told that was not true: there is no bound for this but none."""
    return [one.error for one in witnessed if one.error is not None and one.error.startswith("WRONG")]


def broken_streams(streams: Iterable[Stream], start: float, end: float) -> list[Stream]:
    """Streams that failed within [start, end]."""
    return [stream for stream in streams if not stream.ok and start <= stream.end <= end]


def first_success(requests: Iterable[Request], start: float, via: str | None = None) -> float:
    """When the first request begun after `start` (and served by `via`) had its answer; `inf` for never."""
    return min(
        (
            request.end
            for request in requests
            if request.ok and request.start >= start and via in (None, request.via)
        ),
        default=inf,
    )


def time_with(holdings: Sequence[Holding], start: float, end: float, *, at_least: int, at_most: int) -> float:
    """Seconds of [start, end] in which that many machines had the VIP."""
    total = 0.0
    for holding, following in pairwise([*holdings, Holding(inf, frozenset())]):
        if at_least <= len(holding.holders) <= at_most:
            total += max(0.0, min(end, following.since) - max(start, holding.since))
    return total


def two_holders(holdings: Sequence[Holding], start: float, end: float) -> float:
    """Seconds of [start, end] with the VIP on more than one machine."""
    return time_with(holdings, start, end, at_least=2, at_most=1 << 30)


def no_holder(holdings: Sequence[Holding], start: float, end: float) -> float:
    """Seconds of [start, end] with the VIP nowhere."""
    return time_with(holdings, start, end, at_least=0, at_most=0)


def held_by(holdings: Sequence[Holding], name: str, start: float, *, alone: bool = False) -> float:
    """When `name` had the VIP (`alone`: and nobody else), at or after `start`; `inf` for never."""
    for holding, following in pairwise([*holdings, Holding(inf, frozenset())]):
        if following.since <= start:
            continue
        if holding.holders == {name} or (not alone and name in holding.holders):
            return max(start, holding.since)
    return inf


def master_down_time(priority: int, advert_interval: float) -> float:
    """RFC 9568 section 6.1: how long a backup of that priority waits in silence."""
    return 3 * advert_interval + skew_time(priority, advert_interval)


def skew_time(priority: int, advert_interval: float) -> float:
    """RFC 9568 section 6.1: how long it waits after a priority-0 advert."""
    return (256 - priority) * advert_interval / 256
