"""One scenario as an SVG: what was done, who had the VIP, what was answered and when, which streams broke.

Pure.  Colours are classes, so that the page decides (light or dark).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from math import log10

from lab.records import Record, bin_width
from lab.verdicts import Holding, Stream

WIDTH, LEFT, RIGHT = 1000, 112, 30
_PLOT = WIDTH - LEFT - RIGHT
_LANE, _GRAPH, _SPACE = 14, 34, 10
_FASTEST, _SLOWEST = 0.0005, 1.0
"""Seconds at the foot and at the top of the latency graph; its scale is logarithmic."""
_LETTER = 6.2
"""Width of one, about."""


def timeline(record: Record) -> str:
    """The drawing; empty when nothing was done."""
    if record.why_not or not record.length:
        return ""
    parts: list[str] = []
    labels, top = _deed_labels(record)
    y = top + 4
    foot = y + 2 * (_LANE + 2) + _SPACE + 2 * (_GRAPH + _SPACE) + 26
    parts += _deeds(record, top, foot)
    parts += labels
    for name in ("lb-a", "lb-b"):
        parts += _holder(record, name, y)
        y += _LANE + 2
    y += _SPACE
    parts += _requests(record, y)
    y += _GRAPH + _SPACE
    parts += _latency(record, y)
    y += _GRAPH + _SPACE
    parts += _streams(record, y)
    parts += _axis(record, foot)
    body = "\n".join(parts)
    title = escape(f"{record.title}, {record.nodes}: timeline of {record.length:.1f} s")
    return (
        f'<svg viewBox="0 0 {WIDTH} {foot + 20}" role="img" aria-label="{title}" '
        f'xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>'
    )


def _x(record: Record, when: float) -> float:
    return round(LEFT + _PLOT * min(max(when, 0.0), record.length) / record.length, 1)


def _label(text: str, y: float) -> str:
    return f'<text class="lane" x="{LEFT - 8}" y="{y:g}">{escape(text)}</text>'


def _rect(kind: str, left: float, top: float, right: float, height: float, title: str = "") -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    place = f'x="{left:g}" y="{top:g}" width="{max(0.8, right - left):.1f}" height="{height:g}"'
    return f'<rect class="{kind}" {place}>{inside}</rect>'


def _deed_labels(record: Record) -> tuple[list[str], float]:
    """The names of what was done, as few lines as they need, and where the lanes begin."""
    rows: list[float] = []
    found = []
    if [deed.name for deed in record.deeds] == [record.title]:
        return [], 0.0  # it is said above already
    for number, deed in enumerate(record.deeds, start=1):
        text = f"{number} {deed.name}"
        length = len(text) * _LETTER
        left = min(_x(record, deed.start), WIDTH - RIGHT - length)
        row = next((at for at, taken in enumerate(rows) if taken <= left), len(rows))
        rows[row:] = [left + length + 8, *rows[row + 1 :]]
        found.append(f'<text class="deed-name" x="{left:g}" y="{12 + 14 * row}">{escape(text)}</text>')
    return found, 6.0 + 14 * len(rows)


def _deeds(record: Record, top: float, foot: float) -> Iterator[str]:
    for deed in record.deeds:
        title = f"{deed.name}: from {deed.start:.2f} s to {deed.end:.2f} s"
        left, right = _x(record, deed.start), _x(record, deed.end)
        yield _rect("deed", left, top, right, foot - top, title)


def _holder(record: Record, name: str, y: float) -> Iterator[str]:
    yield _label(f"VIP on {name}", y + 11)
    yield _rect("empty", LEFT, y, WIDTH - RIGHT, _LANE)
    for holding, until in _spans(record.holdings, record.length):
        if name in holding.holders:
            both = len(holding.holders) > 1
            title = f"{name}{' (both)' if both else ''}: {holding.since:.2f} s to {until:.2f} s"
            kind = "both" if both else name
            yield _rect(kind, _x(record, holding.since), y, _x(record, until), _LANE, title)


def _spans(holdings: Sequence[Holding], end: float) -> Iterator[tuple[Holding, float]]:
    for holding, following in pairwise([*holdings, Holding(end, frozenset())]):
        yield holding, following.since


def _requests(record: Record, y: float) -> Iterator[str]:
    """Columns as high as the share that was answered; what is red above was not."""
    yield _label("answered", y + 15)
    yield _label(f"{record.asked - record.failed} of {record.asked}", y + 28)
    yield _rect("empty", LEFT, y, WIDTH - RIGHT, _GRAPH)
    width = bin_width(record.length)
    failed = [1.0 if one.failed else 0.0 for one in record.bins]
    answered = [one.ok / (one.ok + one.failed) if one.ok else 0.0 for one in record.bins]
    for kind, shares in (("failed", failed), ("ok", answered)):
        path, at = [], 0
        while at < len(shares):
            stop = at
            while stop < len(shares) and shares[stop] == shares[at]:
                stop += 1
            if shares[at]:
                high = round(_GRAPH * shares[at], 1)
                left, right = _x(record, at * width), _x(record, stop * width)
                path.append(f"M{left:g} {y + _GRAPH:g}V{y + _GRAPH - high:g}H{right:g}V{y + _GRAPH:g}z")
            at = stop
        yield f'<path class="{kind}" d="{"".join(path)}"/>'


def _latency(record: Record, y: float) -> Iterator[str]:
    """The slowest answer of each column; nothing where nobody was answered."""
    yield _label("slowest, ms", y + 15)
    yield _rect("empty", LEFT, y, WIDTH - RIGHT, _GRAPH)
    for seconds in (0.001, 0.01, 0.1):
        level = y + _GRAPH - _height(seconds)
        yield f'<path class="grid" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="level" x="{WIDTH - RIGHT + 5}" y="{level + 3:.1f}">{seconds * 1000:g}</text>'
    width = bin_width(record.length)
    path, pen_down = [], False
    for at, one in enumerate(record.bins):
        if not one.ok:
            pen_down = False
            continue
        x, level = _x(record, (at + 0.5) * width), y + _GRAPH - _height(one.slowest)
        path.append(f"{'L' if pen_down else 'M'}{x:g} {level:.1f}")
        if not pen_down:
            path.append("h.8")
        pen_down = True
    yield f'<path class="latency" d="{"".join(path)}"/>'


def _height(seconds: float) -> float:
    inside = min(max(seconds, _FASTEST), _SLOWEST)
    return _GRAPH * log10(inside / _FASTEST) / log10(_SLOWEST / _FASTEST)


def _streams(record: Record, y: float) -> Iterator[str]:
    """A line for each that has ended meanwhile; who broke ends in a mark."""
    yield _label("streams", y + 13)
    rows: list[float] = []
    for stream in sorted(record.streams, key=lambda one: one.start):
        row = next((at for at, taken in enumerate(rows) if taken <= stream.start + 0.001), len(rows))
        rows[row:] = [stream.end, *rows[row + 1 :]]
        level = y + 3 + 4 * (row % 5)
        left, right = _x(record, stream.start), _x(record, stream.end)
        title = f"<title>{_told(stream)}</title>"
        yield f'<path class="stream" d="M{left + 1:g} {level:g}H{right - 1:g}">{title}</path>'
        if not stream.ok:
            yield f'<path class="mark" d="M{right - 3:g} {level - 3:g}l5 6m0 -6l-5 6"/>'


def _told(stream: Stream) -> str:
    what = "every byte right" if stream.error is None else f"{stream.error} after {stream.length} bytes"
    return escape(f"{stream.kind}: {what}")


def _axis(record: Record, y: float) -> Iterator[str]:
    step = next((one for one in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if record.length / one <= 12), 60)
    yield f'<path class="axis" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
    for number in range(int(record.length / step) + 1):
        x = _x(record, number * step)
        yield f'<path class="axis" d="M{x:g} {y}v4"/>'
        yield f'<text class="tick" x="{x:g}" y="{y + 15}">{number * step:g} s</text>'
