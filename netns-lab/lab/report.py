"""Tables for people: what a fault cost, and whether the promises held."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import attrs
from rich import box
from rich.table import Table

from lab.records import Record
from lab.scenario import Handback, Takeover


@attrs.frozen
class Check:
    """One promise, what was seen, and whether it held."""

    what: str
    seen: str
    bound: str
    ok: bool


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if isfinite(seconds) else "never"


def at_most(what: str, seen: float, bound: float) -> Check:
    """Seconds that must not exceed a bound."""
    return Check(what, milliseconds(seen), f"≤ {milliseconds(bound)}", seen <= bound)


def count_at_most(what: str, seen: int, bound: int) -> Check:
    return Check(what, str(seen), f"≤ {bound}" if bound else "0", seen <= bound)


def checks_table(title: str, checks: Iterable[Check]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("promise")
    table.add_column("seen", justify="right")
    table.add_column("bound", justify="right")
    table.add_column("")
    for check in checks:
        table.add_row(
            check.what, check.seen, check.bound, "[green]held[/]" if check.ok else "[bold red]BROKEN[/]"
        )
    return table


def records_table(records: Iterable[Record]) -> Table:
    """One row for each scenario: what it cost, and whether the promises held."""
    table = Table(title="What happened to the pair", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("what happened")
    table.add_column("nodes", no_wrap=True)
    for column in ("gap", "requests failed", "two holders"):
        table.add_column(column, justify="right")
    table.add_column("verdict", no_wrap=True)
    for one in records:
        if one.why_not:
            table.add_row(one.title, one.nodes, "", "", "", f"not here: {one.why_not}")
            continue
        verdict = "[green]held[/]" if not one.problems else "[bold red]BROKEN[/]"
        gap, both = milliseconds(one.outage), milliseconds(one.two_holders)
        table.add_row(one.title, one.nodes, gap, f"{one.failed} of {one.asked}", both, verdict)
    return table


def rounds_table(title: str, rounds: Iterable[tuple[str, Takeover | Handback]]) -> Table:
    """One row for each takeover and hand-back."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("what happened", no_wrap=True)
    for column in ("gap", "VIP moved after", "requests failed", "two holders", "no holder"):
        table.add_column(column, justify="right")
    for name, measured in rounds:
        table.add_row(
            name,
            milliseconds(measured.gap),
            milliseconds(measured.moved),
            str(measured.failed),
            milliseconds(measured.two_holders),
            milliseconds(measured.no_holder),
        )
    return table
