"""Balancing algorithms by the names that `balance` takes."""

from __future__ import annotations

from collections.abc import Sequence

from hapair.balance.roundrobin import RoundRobin

ALGORITHMS = {"roundrobin": RoundRobin}


def make(name: str, weights: Sequence[int]) -> RoundRobin:
    """A balancer over servers with these weights; `config.fields` has checked the name."""
    return ALGORITHMS[name](weights)
