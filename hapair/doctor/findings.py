"""What the facts mean: findings, each with a reason and a remedy.

Pure: facts and configuration in, findings out.  A problem is what keeps the pair from
working, or will; a note is what an operator should know and may well have meant.
"""

from __future__ import annotations

from enum import Enum

import attrs

from hapair.config.model import NodeConfig
from hapair.doctor.facts import CAPABILITIES, Facts

SPARE_DESCRIPTORS = 100
"""As `app.limits` reserves them."""
_FULL = 0.9
_SLOW_GUARD = 1.0
"""Seconds: the guard must be there before the VIPs are."""


class Level(Enum):
    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@attrs.frozen
class Finding:
    level: Level
    about: str
    """`vrrp.web`, `eth0` or `host`."""
    what: str
    why: str = ""
    """Why it matters; nothing to say when it is well."""
    remedy: str = ""


def ok(about: str, what: str) -> Finding:
    return Finding(Level.OK, about, what)


def note(about: str, what: str, why: str, remedy: str) -> Finding:
    return Finding(Level.NOTE, about, what, why, remedy)


def problem(about: str, what: str, why: str, remedy: str) -> Finding:
    return Finding(Level.PROBLEM, about, what, why, remedy)


def host(config: NodeConfig, facts: Facts) -> list[Finding]:
    """Judge what does not depend on an interface."""
    return [
        *_permissions(config, facts),
        *_accounts(facts),
        *_descriptors(config, facts),
        *_guard(config, facts),
        *_conntrack(facts),
        *_clock(facts),
        *(
            note("host", trouble, "what was not looked at may be wrong", remedy)
            for trouble, remedy in facts.troubles
        ),
    ]


def _permissions(config: NodeConfig, facts: Facts) -> list[Finding]:
    needed = {"NET_ADMIN", "NET_RAW"} if config.vrrp else set()
    ports = [bind.port for frontend in config.frontends.values() for bind in frontend.bind if bind.port]
    if any(port < facts.low_port for port in ports):
        needed.add("NET_BIND_SERVICE")
    missing = [name for name in CAPABILITIES if name in needed - facts.capabilities]
    if not missing:
        return [ok("host", "permissions")] if needed else []
    return [
        problem(
            "host",
            f"no CAP_{name} here",
            f"it {CAPABILITIES[name][1]}; this tells of the doctor's own user",
            f"run as root with node.user, or give the service CAP_{name} (AmbientCapabilities=)",
        )
        for name in missing
    ]


def _accounts(facts: Facts) -> list[Finding]:
    return [
        problem(
            "host", f"there is no {account}", "`hapair run` will not start", "create it or remove the key"
        )
        for account in facts.missing_accounts
    ]


def _descriptors(config: NodeConfig, facts: Facts) -> list[Finding]:
    needed = 2 * config.node.maxconn + SPARE_DESCRIPTORS
    if facts.descriptors is None or facts.descriptors >= needed:
        return [ok("host", f"descriptors for maxconn {config.node.maxconn}")]
    return [
        problem(
            "host",
            f"{facts.descriptors} descriptors allowed, maxconn {config.node.maxconn} needs {needed}",
            "each client needs one, and its server connection another; `hapair run` will not start",
            f"LimitNOFILE={needed} in the unit (here: ulimit -Hn), or a smaller node.maxconn",
        )
    ]


def _guard(config: NodeConfig, facts: Facts) -> list[Finding]:
    if not config.vrrp:
        return []
    if facts.guard_seconds is None:
        return [
            problem(
                "host",
                "the guard cannot be started",
                "nobody would take the VIPs away from a node that was killed",
                "see that Python may start programs here (limits, seccomp, noexec)",
            )
        ]
    took = f"{facts.guard_seconds * 1000:.0f} ms"
    if facts.guard_seconds > _SLOW_GUARD:
        return [
            note(
                "host",
                f"the guard needs {took} to start",
                "a killed guard is not replaced faster; meanwhile only the lifetime of addresses helps",
                "look for a busy processor or a slow disk",
            )
        ]
    return [ok("host", f"the guard starts within {took}")]


def _conntrack(facts: Facts) -> list[Finding]:
    if facts.conntrack is None:
        return []
    entries, most = facts.conntrack
    if entries < _FULL * most:
        return [ok("host", f"connection tracking holds {entries} of {most}")]
    return [
        problem(
            "host",
            f"connection tracking holds {entries} of {most}",
            "when it is full, the kernel drops new connections, and adverts with them",
            "raise net.netfilter.nf_conntrack_max, or exempt adverts and VIPs (notrack)",
        )
    ]


def _clock(facts: Facts) -> list[Finding]:
    if facts.clock_synchronised is not False:
        return []
    return [
        note(
            "host",
            "the clock is not synchronised",
            "VRRP does not care, but the logs of both nodes cannot be laid side by side",
            "run chrony or systemd-timesyncd",
        )
    ]
