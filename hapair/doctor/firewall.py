"""Would this nftables ruleset let adverts in?  A reading, not a simulation.

Looks at chains on the input hook only.  What it cannot tell (jumps, sets, matches on
addresses) it calls unsure rather than guess; iptables-legacy rules are not in the
ruleset at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from hapair.vrrp.accept import TABLES

_NAMES = ("vrrp", 112)
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}


class Answer(Enum):
    PASSES = "passes"
    UNSURE = "unsure"
    DROPPED = "dropped"


def adverts(ruleset: Mapping[str, Any], family: int) -> tuple[Answer, str]:
    """Return whether adverts get in, and the chain that decides it."""
    items = ruleset.get("nftables", ())
    chains = [item["chain"] for item in items if "chain" in item]
    rules = [item["rule"] for item in items if "rule" in item]
    verdict, place = Answer.PASSES, ""
    for chain in chains:
        if chain["table"].startswith(TABLES):
            continue  # our own: it drops what comes to VIPs
        if chain.get("hook") != "input" or chain["family"] not in _FAMILIES[family]:
            continue
        key = chain["family"], chain["table"], chain["name"]
        mine = [rule for rule in rules if (rule["family"], rule["table"], rule["chain"]) == key]
        answer = _chain(mine, dropping=chain.get("policy") == "drop")
        # Every chain of the hook must agree, and one that drops is the last word.
        if answer is Answer.DROPPED:
            return answer, " ".join(key)
        if answer is Answer.UNSURE:
            verdict, place = answer, " ".join(key)
    return verdict, place


def _chain(rules: list[dict[str, Any]], *, dropping: bool) -> Answer:
    unsure = False
    for rule in rules:
        expressions = rule.get("expr", [])
        action = next((name for e in expressions for name in e if name in _ACTIONS), None)
        if action is None:
            continue
        admits = _admits([e["match"] for e in expressions if "match" in e])
        if admits is False:
            continue
        if admits is None or action not in ("accept", "drop", "reject"):
            unsure = True
            continue
        if unsure:
            return Answer.UNSURE
        return Answer.PASSES if action == "accept" else Answer.DROPPED
    if unsure:
        return Answer.UNSURE
    return Answer.DROPPED if dropping else Answer.PASSES


_ACTIONS = ("accept", "drop", "reject", "jump", "goto", "queue", "vmap", "return")


def _admits(matches: list[dict[str, Any]]) -> bool | None:
    """Do adverts meet every condition?  None: that depends."""
    unsure = False
    for match in matches:
        answer = _meets(match)
        if answer is False:
            return False
        unsure = unsure or answer is None
    return None if unsure else True


def _meets(match: dict[str, Any]) -> bool | None:
    left, right, negated = match.get("left", {}), match.get("right"), match.get("op") == "!="
    if not isinstance(left, dict):
        return None
    payload, meta, tracked = left.get("payload", {}), left.get("meta", {}), left.get("ct", {})
    field = payload.get("field") if isinstance(payload, dict) else None
    if meta.get("key") == "l4proto" or field in ("protocol", "nexthdr"):
        values = _values(right)
        if values is None:
            return None
        return (any(value in _NAMES for value in values)) != negated
    if payload.get("protocol") in ("tcp", "udp", "icmp", "icmpv6", "sctp", "udplite"):
        return False
    if meta.get("key") in ("iif", "iifname") and _values(right) == ["lo"]:
        return negated
    if tracked.get("key") == "state" and (states := _values(right)) is not None:
        # Adverts to a group are "new" for ever: nobody answers them.
        return ("new" in states) != negated
    return None


def _values(right: object) -> list[Any] | None:
    if isinstance(right, dict):
        members = right.get("set")
        right = members if isinstance(members, list) else None
    if isinstance(right, list):
        return right if all(isinstance(value, (str, int)) for value in right) else None
    return [right] if isinstance(right, (str, int)) else None
