"""What a converter is: from one type to another, made once with its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Kind, Value

Convert = Callable[[Any, "Facts"], "Value | None"]


@attrs.frozen
class Converter:
    """One converter of the vocabulary."""

    takes: Kind
    gives: Kind
    make: Callable[[Call, Files], Convert]
    """May raise RuleError."""
    meaning: str
    most: int = 0
    """Arguments at most."""


def plain(takes: Kind, gives: Kind, function: Callable[[Any], Value | None], meaning: str) -> Converter:
    """A converter without arguments."""
    return Converter(takes, gives, lambda _call, _files: lambda value, _facts: function(value), meaning)
