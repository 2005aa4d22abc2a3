"""What a sample fetch is: where a sample comes from, of what type, from which moment on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts, Transaction
    from hapair.rules.values import Kind, Value

Read = Callable[["Facts"], "Value | None"]
ReadEach = Callable[["Facts"], "Iterable[Value]"]

ALWAYS: Final = 0
CONNECTION: Final = 4
SESSION: Final = 5
"""The same, a moment later: what is changed from here on is no longer the connection's own."""
STREAM: Final = 6
REQUEST: Final = 7
RESPONSE: Final = 8
END: Final = 9
MOMENTS: Final = {
    ALWAYS: "always",
    CONNECTION: "once there is a connection",
    SESSION: "once there is a connection",
    STREAM: "once there is data",
    REQUEST: "once there is a request",
    RESPONSE: "once there is a response",
    END: "once it is over",
}


@attrs.frozen
class Fetch:
    """One fetch of the vocabulary."""

    gives: Kind
    since: int
    make: Callable[[Call], Read]
    """May raise RuleError."""
    meaning: str
    most: int = 0
    """Arguments at most."""
    each: Callable[[Call], ReadEach] | None = None
    """Every occurrence, for ACLs, where a plain sample is one of several."""


def simple(gives: Kind, since: int, read: Read, meaning: str) -> Fetch:
    """A fetch without arguments."""
    return Fetch(gives, since, lambda _call: read, meaning)


def about(gives: Kind, since: int, read: Callable[[Transaction], Value | None], meaning: str) -> Fetch:
    """A fetch without arguments that asks the transaction."""

    def asked(facts: Facts) -> Value | None:
        transaction = facts.about
        return None if transaction is None else read(transaction)

    return simple(gives, since, asked, meaning)
