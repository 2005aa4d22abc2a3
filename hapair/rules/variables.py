"""Variables of rules: `proc.`, `sess.`, `txn.`, `req.` and `res.` say how long one lives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts
    from hapair.rules.values import Value

SCOPES = ("proc", "sess", "txn", "req", "res", "check")
_NAME = re.compile(r"(?:proc|sess|txn|req|res|check)\.[A-Za-z0-9_.]+")
MOST = 256
"""Variables of one connection, so that rules cannot fill the memory."""
LONGEST = 16384
"""Bytes of one value, as HAProxy's buffers bound it."""


def variable(text: str) -> str:
    """The name of a variable.

    Raises:
        ValueError: it is none.
    """
    if _NAME.fullmatch(text) is None:
        raise ValueError
    return text


def variable_of(call: Call, at: int = 0) -> str:
    """The name that a call is given.

    Raises:
        RuleError: it is none.
    """
    name: str = call.take(at, variable, "a variable such as txn.name")
    return name


def read(facts: Facts, name: str) -> Value | None:
    """Its value; None while it has none."""
    about = facts.about
    return about.variables.get(name) if about is not None else None


def write(facts: Facts, name: str, value: Value | None) -> None:
    """Set it; None unsets it."""
    about = facts.about
    if about is None:
        return
    if value is None:
        about.variables.pop(name, None)
    elif (len(about.variables) < MOST or name in about.variables) and (
        not isinstance(value, bytes) or len(value) <= LONGEST
    ):
        about.variables[name] = value
