"""What is remembered of servers from one life to the next, as text: HAProxy's server-state-file.

Only what a check found by the same question is worth anything later: another
address, port or kind makes a new server of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from hapair.health.plan import CheckPlan
from hapair.health.rise_fall import Health

VERSION = 1
ADMINISTRATIVE = ("ready", "drain", "maint")
MAX_WEIGHT = 256

Key = tuple[str, str]
"""Backend and server."""


@attrs.frozen
class Saved:
    """One server."""

    administrative: str = "ready"
    weight: int | None = None
    """None: as configured."""
    question: str = ""
    """Of its check; empty for none."""
    value: int = 0
    """Of its health counter."""


def question(plan: CheckPlan) -> str:
    """What must be the same for a check's state to mean anything."""
    return f"{plan.kind.value} {plan.host} {plan.port} {plan.rise} {plan.fall}"


def checked(plan: CheckPlan, health: Health) -> tuple[str, int]:
    """The question of a check, and where it has got to."""
    return question(plan), health.value


def encode(servers: Mapping[Key, Saved]) -> bytes:
    """All servers, as one JSON object."""
    content = [
        {"backend": backend, "server": server, **attrs.asdict(saved)}
        for (backend, server), saved in sorted(servers.items())
    ]
    return json.dumps({"version": VERSION, "servers": content}, separators=(",", ":")).encode() + b"\n"


def decode(content: bytes) -> dict[Key, Saved]:
    """The other way round.

    Raises:
        ValueError: it is not what `encode` makes.
    """
    try:
        tree = json.loads(content)
        if tree["version"] != VERSION:
            raise ValueError(f"version {tree['version']} is not {VERSION}")
        return {(str(one["backend"]), str(one["server"])): _saved(one) for one in tree["servers"]}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"it has no such form: {error!r}") from None


def _saved(one: Mapping[str, Any]) -> Saved:
    administrative, weight, value = one["administrative"], one["weight"], one["value"]
    if administrative not in ADMINISTRATIVE:
        raise ValueError(f"{administrative!r} is no state")
    if weight is not None and not (type(weight) is int and 0 <= weight <= MAX_WEIGHT):
        raise ValueError(f"{weight!r} is no weight")
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no health")
    return Saved(administrative, weight, str(one["question"]), value)
