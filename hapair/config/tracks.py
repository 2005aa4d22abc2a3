"""The small language of `track = [...]`: what a router watches, and what that is worth.

    backend.web>=2          frontend.main           interface.eth1          script.chk weight -20 reverse

Law: `written(track(text))` means the same as `text`.
"""

from __future__ import annotations

import re

from hapair.config.fields import FieldError, shown, string, suggestion
from hapair.config.model import Track

DEFAULT_WEIGHTS: dict[str, int | None] = {
    "backend": None,
    "frontend": None,
    "interface": 0,
    "script": 0,
    "file": 1,
    "process": 0,
    "ping": 0,
    "route": 0,
}
"""Kind -> the weight of a track that names none: None yields, 0 is FAULT; a file's value counts as it is."""

PROXYING = ("backend", "frontend")
"""Kinds that stand for servers."""

HEAVIEST = 253

_EXPECTED = '"KIND.NAME", such as "backend.web>=1" or "script.chk weight -20"'
_SUBJECT = re.compile(
    r"(?P<kind>[A-Za-z_]+)\.(?P<name>[A-Za-z0-9_.:@-]+)(?P<least> *>= *(?P<number>[0-9]{1,6}))?"
)
_EFFECT = re.compile(r" +(?:(?P<yields>yield)|weight +(?P<weight>[+-]?[0-9]{1,6})(?P<reverse> +reverse)?)")


def track(value: object) -> Track:
    """What is written in one string of `track`."""
    text = string(value, _EXPECTED)
    subject = _SUBJECT.match(text)
    if subject is None:
        raise FieldError(f"{shown(text)} is not {_EXPECTED}")
    kind = subject["kind"]
    if kind not in DEFAULT_WEIGHTS:
        known = suggestion(kind, DEFAULT_WEIGHTS) or f"; known here: {', '.join(DEFAULT_WEIGHTS)}"
        raise FieldError(f"{shown(kind)} is nothing that can be tracked{known}")
    least = int(subject["number"] or 1)
    if subject["least"] and kind not in PROXYING:
        raise FieldError(
            "only a backend or a frontend has a number of servers to ask for", subject.start("least")
        )
    if not least:
        raise FieldError(f"{shown(text)} always holds; expected at least 1", subject.start("number"))
    weight, reverse = _effect(text, subject.end(), DEFAULT_WEIGHTS[kind])
    return Track(kind, subject["name"], least, weight, reverse)


def _effect(text: str, start: int, default: int | None) -> tuple[int | None, bool]:
    if start == len(text):
        return default, False
    found = _EFFECT.fullmatch(text, start)
    if found is None:
        raise FieldError(
            f'{shown(text[start:].strip())} is not "yield", "weight N" or "weight N reverse"', start
        )
    if found["yields"]:
        return None, False
    weight = int(found["weight"])
    if abs(weight) > HEAVIEST:
        raise FieldError(f"weight {weight} is outside -{HEAVIEST}..{HEAVIEST}", found.start("weight"))
    return weight, found["reverse"] is not None


def written(one: Track) -> str:
    """`one` as it stands in a file."""
    text = f"{one.kind}.{one.name}"
    if one.kind in PROXYING:
        text += f">={one.least}"
    if one.weight is None:
        return text if DEFAULT_WEIGHTS[one.kind] is None else f"{text} yield"
    if one.weight == DEFAULT_WEIGHTS[one.kind] and not one.reverse:
        return text
    return f"{text} weight {one.weight}{' reverse' * one.reverse}"
