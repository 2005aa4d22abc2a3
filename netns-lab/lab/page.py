"""The report of `make chaos` as one page that needs nothing else: no script, font or picture from elsewhere.

Pure: records in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from urllib.parse import quote

from lab.records import Record
from lab.timeline import timeline

NAMES = {
    "hapair": "hapair",
    "hapair-1": "hapair, 1 worker",
    "hapair-2": "hapair, 2 workers",
    "keepalived": "keepalived + HAProxy",
}
GROUPS = {
    "failover": "The MASTER breaks",
    "wire": "On the wire",
    "places": "Addresses and links",
    "processes": "Processes",
    "shortages": "Shortages",
    "servers": "The servers behind",
    "sequences": "One upon the other, by seed",
}
_STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --card: #fff; --ink: #1d2126; --soft: #5b646e;
  --line: #dfe2e6;
  --a: #3568c8; --b: #b9770b; --ok: #b9d3c0; --bad: #c3272f; --empty: #f0f1f3; --deed: #7a5cc41f;
  --good: #1e7a3c;
  --stream: #7d8793; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1b1f24; --ink: #e4e7ea;
  --soft: #9aa4af;
  --line: #333a42; --a: #6d9bf1; --b: #e0a343; --ok: #35583f; --bad: #f0626a; --empty: #23282e;
  --deed: #a38cf02b;
  --good: #63c384; --stream: #77818c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .4rem; text-wrap: balance; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: 1rem; margin: 0; text-wrap: balance; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .3rem 0; }
.soft { color: var(--soft); }
.numbers { display: flex; flex-wrap: wrap; gap: .4rem 2.4rem; margin: 1.4rem 0; padding: 0; }
.numbers div { display: flex; flex-direction: column-reverse; }
.numbers dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.numbers dt { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
td.n, th.n { text-align: right; white-space: nowrap; }
th.kind { border-left: 1px solid var(--line); padding-left: .8rem; }
td.first { border-left: 1px solid var(--line); padding-left: .8rem; }
tr.group td { padding-top: 1.1rem; font-weight: 600; border-bottom-color: var(--soft); }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: .2em; }
a:hover { text-decoration-color: currentColor; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .9rem 1rem;
  margin: .8rem 0; }
.run { margin-top: .7rem; }
.run > p { display: flex; flex-wrap: wrap; gap: 0 1.2rem; align-items: baseline; max-width: none; }
.run b { min-width: 11rem; }
.held { color: var(--good); } .broken { color: var(--bad); font-weight: 600; }
ul.problems { margin: .2rem 0; padding-left: 1.2rem; color: var(--bad); overflow-wrap: anywhere; }
code { font: .92em ui-monospace, monospace; }
svg { display: block; width: 100%; min-width: 640px; height: auto; margin-top: .3rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .lane { text-anchor: end; } svg .tick { text-anchor: middle; } svg .level { text-anchor: end;
  font-size: 8px; }
svg .deed-name { fill: var(--ink); }
.deed { fill: var(--deed); } .empty { fill: var(--empty); } .lb-a { fill: var(--a);
  } .lb-b { fill: var(--b); }
.both { fill: var(--bad); } .ok { fill: var(--ok); } .failed { fill: var(--bad); }
.grid, .axis { stroke: var(--line); fill: none; } .latency { stroke: var(--ink); fill: none;
  stroke-width: 1.1; }
.stream { stroke: var(--stream); stroke-width: 2; }
.mark { stroke: var(--bad); fill: none; stroke-width: 1.4; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .35em; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; color: var(--soft); margin: .8rem 0;
  max-width: none; }
"""


def page(records: Sequence[Record]) -> str:
    """The whole page, in the order in which the groups and scenarios came."""
    kinds = list(dict.fromkeys(one.nodes for one in records))
    groups: dict[str, dict[str, list[Record]]] = {}
    for one in records:
        groups.setdefault(one.group, {}).setdefault(one.title, []).append(one)
    sections = "\n".join(_section(name, scenarios) for name, scenarios in groups.items())
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hapair: chaos</title>
<style>{_STYLE}</style>
<h1>What was done to the pair, and what clients noticed</h1>
<p class="soft">Two nodes, adverts each 100 ms, one VIP. A fresh connection asks every 2 ms, four long
streams of known bytes run all the time, and the kernel of each node is asked every 10 ms whether it has the
VIP. The bounds are what hapair promises. How faults are named and repeated: docs/chaos.md.</p>
{_numbers(records, kinds)}
{_overview(groups, kinds)}
{_LEGEND}
{sections}
</html>
"""


_LEGEND = """<p class="legend">
<span><i class="key" style="background:var(--a)"></i>VIP on lb-a</span>
<span><i class="key" style="background:var(--b)"></i>VIP on lb-b</span>
<span><i class="key" style="background:var(--bad)"></i>VIP on both, or a request or stream that failed</span>
<span><i class="key" style="background:var(--ok)"></i>requests answered</span>
<span><i class="key" style="background:var(--deed)"></i>while it was done</span>
<span><i class="key" style="background:var(--empty)"></i>nobody asked, or nobody was answered</span>
</p>"""


def _numbers(records: Sequence[Record], kinds: Sequence[str]) -> str:
    found = []
    for kind in kinds:
        done = [one for one in records if one.nodes == kind and not one.why_not]
        held = sum(not one.problems for one in done)
        found.append((f"scenarios held, {NAMES.get(kind, kind)}", f"{held} of {len(done)}"))
    asked, failed = sum(one.asked for one in records), sum(one.failed for one in records)
    streams = [stream for one in records for stream in one.streams]
    found += [
        ("requests", f"{asked:,}"),
        ("of these failed", f"{failed:,}"),
        ("streams", f"{len(streams):,}"),
        ("of these broke", f"{sum(not one.ok for one in streams):,}"),
    ]
    inside = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(seen)}</dd></div>" for what, seen in found)
    return f'<dl class="numbers">{inside}</dl>'


def _overview(groups: dict[str, dict[str, list[Record]]], kinds: Sequence[str]) -> str:
    first = "".join(f'<th class="kind" colspan="4">{escape(NAMES.get(kind, kind))}</th>' for kind in kinds)
    second = '<th class="n kind">gap</th><th class="n">failed</th><th class="n">both</th><th></th>'
    rows = []
    for group, scenarios in groups.items():
        heading = escape(GROUPS.get(group, group))
        rows.append(f'<tr class="group"><td colspan="{1 + 4 * len(kinds)}">{heading}</td></tr>')
        for title, runs in scenarios.items():
            cells = "".join(_cells(next((one for one in runs if one.nodes == kind), None)) for kind in kinds)
            link = f'<a href="#{_anchor(group, title)}">{escape(title)}</a>'
            rows.append(f"<tr><td>{link}</td>{cells}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{first}</tr>'
        f"<tr><th>what happened</th>{second * len(kinds)}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(run: Record | None) -> str:
    if run is None or run.why_not:
        what = "not done to it" if run is None else "not here"
        return f'<td class="first soft" colspan="4">{what}</td>'
    return (
        f'<td class="n first">{_time(run.outage)}</td><td class="n">{run.failed}</td>'
        f'<td class="n">{_time(run.two_holders)}</td><td>{_verdict(run)}</td>'
    )


def _section(group: str, scenarios: dict[str, list[Record]]) -> str:
    cards = "\n".join(_card(group, title, runs) for title, runs in scenarios.items())
    return f"<section>\n<h2>{escape(GROUPS.get(group, group))}</h2>\n{cards}\n</section>"


def _card(group: str, title: str, runs: Iterable[Record]) -> str:
    inside = "\n".join(_run(one) for one in runs)
    return f'<div class="card" id="{_anchor(group, title)}"><h3>{escape(title)}</h3>\n{inside}\n</div>'


def _run(run: Record) -> str:
    name = escape(NAMES.get(run.nodes, run.nodes))
    if run.why_not:
        why = f'<span class="soft">not here: {escape(run.why_not)}</span>'
        return f'<div class="run"><p><b>{name}</b>{why}</p></div>'
    cost = [
        f"gap {_time(run.outage)} (≤ {_time(run.bounds.outage)})",
        f"both {_time(run.two_holders)} (≤ {_time(run.bounds.two_holders)})",
        f"{run.failed} of {run.asked} requests failed",
    ]
    line = "".join(f"<span>{escape(one)}</span>" for one in cost)
    again = f'<span class="soft">again: <code>{escape(run.again)}</code></span>' if run.again else ""
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in run.problems)
    listed = f'<ul class="problems">{problems}</ul>' if problems else ""
    return (
        f'<div class="run"><p><b>{name}</b>{_verdict(run)}{line}{again}</p>{listed}'
        f'<div class="scroll">{timeline(run)}</div></div>'
    )


def _verdict(run: Record) -> str:
    return '<span class="broken">broken</span>' if run.problems else '<span class="held">held</span>'


def _time(seconds: float) -> str:
    if not isfinite(seconds):
        return "for ever"
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _anchor(group: str, title: str) -> str:
    return quote(f"{group}-{title}".replace(" ", "-"), safe="")
