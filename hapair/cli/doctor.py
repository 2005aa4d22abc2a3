"""`hapair doctor node.toml`: examine, judge, and say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import trio

from hapair.cli.check import load
from hapair.doctor.findings import Level
from hapair.doctor.service import examine
from hapair.doctor.verdict import judge, sound
from hapair.errors import HapairError

if TYPE_CHECKING:
    from pathlib import Path

    from hapair.doctor.findings import Finding

_COLOURS = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}
_WIDTH = max(len(level.value) for level in Level)


def doctor(path: Path, seconds: float) -> int:
    """Print every finding; returns the exit code."""
    loaded = load(path)
    if loaded is None:
        return 1
    click.echo(f"listening and asking for {seconds:g} s", err=True)
    facts, code = None, 1
    try:
        facts = trio.run(examine, loaded.config, seconds)
    except* HapairError as group:
        for error in group.exceptions:
            click.echo(f"hapair: {error}", err=True)
    except* KeyboardInterrupt:
        code = 130
    if facts is None:
        return code
    findings = judge(loaded.config, facts)
    for finding in findings:
        for line in lines(finding):
            click.echo(line)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    click.echo(", ".join(f"{counts[level]} {_plural(level, counts[level])}" for level in reversed(Level)))
    return 0 if sound(findings) else 1


def lines(finding: Finding) -> list[str]:
    """A finding for people: what it is, and below it why it matters and what to do."""
    level = click.style(finding.level.value.ljust(_WIDTH), fg=_COLOURS[finding.level])
    shown = [f"{level}  {finding.about}: {finding.what}"]
    indent = " " * (_WIDTH + 2)
    if finding.why:
        shown.append(f"{indent}why: {finding.why}")
    if finding.remedy:
        shown.append(f"{indent}do:  {finding.remedy}")
    return shown


def _plural(level: Level, number: int) -> str:
    return level.value + "s" * (number != 1 and level is not Level.OK)
