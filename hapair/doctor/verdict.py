"""All findings of a node, in the order of its file (pure)."""

from __future__ import annotations

from hapair.config.model import NodeConfig
from hapair.doctor.facts import Facts
from hapair.doctor.findings import Finding, Level, host
from hapair.doctor.interfaces import interface
from hapair.doctor.segment import segment


def judge(config: NodeConfig, facts: Facts) -> tuple[Finding, ...]:
    """Return every finding, those that are well included."""
    findings: list[Finding] = []
    for instance in config.vrrp.values():
        findings += interface(instance, facts)
        findings += segment(instance, facts)
    return (*findings, *host(config, facts))


def sound(findings: tuple[Finding, ...]) -> bool:
    """Whether there is no problem."""
    return all(finding.level is not Level.PROBLEM for finding in findings)
