"""Variables of rules: `proc.`, `sess.`, `txn.`, `req.` and `res.` say how long one lives.

One of `proc.` belongs to the process and always exists, if only without a value.  So does, as in
HAProxy, another that only `ifset` has kept from being set (configuration manual, section 7.3.1, set-var).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from hapair.rules.arguments import did_you_mean
from hapair.rules.lexer import RuleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapair.rules.arguments import Argument, Call
    from hapair.rules.facts import Facts, Transaction
    from hapair.rules.values import Value

SCOPES = ("proc", "sess", "txn", "req", "res", "check")
_NAME = re.compile(r"(?:proc|sess|txn|req|res|check)\.[A-Za-z0-9_.]+")
MOST = 256
"""Variables of one connection, so that rules cannot fill the memory."""
LONGEST = 16384
"""Bytes of one value, as HAProxy's buffers bound it."""
CONDITIONS: Final = "ifexists ifnotexists ifempty ifnotempty ifset ifnotset ifgt iflt".split()
MOST_CONDITIONS: Final = 4

NO_CONDITIONS: Final[frozenset[str]] = frozenset()


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


def conditions(given: Sequence[Argument]) -> frozenset[str]:
    """What must hold for a variable to be set.

    Raises:
        RuleError: there is no such condition, or there are too many.
    """
    for one in given:
        if one.text not in CONDITIONS:
            hint = did_you_mean(one.text, CONDITIONS) or f"; there are {', '.join(CONDITIONS)}"
            raise RuleError(one.offset, f"set-var: unknown condition {one.text!r}{hint}")
    if len(given) > MOST_CONDITIONS:
        raise RuleError(given[MOST_CONDITIONS].offset, f"set-var takes {MOST_CONDITIONS} conditions at most")
    return frozenset(one.text for one in given)


def _owner(about: Transaction, name: str) -> dict[str, Value | None]:
    return about.shared_variables if name.startswith("proc.") else about.variables


def read(facts: Facts, name: str) -> Value | None:
    """Its value; None while it has none."""
    about = facts.about
    return _owner(about, name).get(name) if about is not None else None


def write(facts: Facts, name: str, value: Value | None, only: frozenset[str] = NO_CONDITIONS) -> bool:
    """Set it, if the conditions `only` hold, and say whether it was; None unsets it."""
    about = facts.about
    if about is None:
        return False
    known = _owner(about, name)
    if value is None:
        known.pop(name, None)
        return True
    exists = name in known or name.startswith("proc.")
    if only and not _may(only - {"ifset"}, known.get(name), value, exists=exists):
        return False
    if (len(known) >= MOST and name not in known) or (isinstance(value, bytes) and len(value) > LONGEST):
        return False
    if "ifset" in only and known.get(name) is None:
        known[name] = None
        return False
    known[name] = value
    return True


def _may(only: frozenset[str], before: Value | None, value: Value, *, exists: bool) -> bool:
    """Do all conditions hold?  Which is more is only known of two numbers; else both may be."""
    empty = isinstance(value, bytes) and not value
    numbers = _is_number(before) and _is_number(value)
    failed = {
        "ifexists": not exists,
        "ifnotexists": exists,
        "ifempty": not empty,
        "ifnotempty": empty,
        "ifnotset": before is not None,
        "ifgt": numbers and not before > value,  # type: ignore[operator]
        "iflt": numbers and not before < value,  # type: ignore[operator]
    }
    return not any(failed[one] for one in only)


def _is_number(value: Value | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
