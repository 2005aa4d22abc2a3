"""What rules may decide, beside going on: each says what the session must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from hapair.rules.needs import ANYTHING

if TYPE_CHECKING:
    from hapair.rules.facts import Facts, Test


@attrs.frozen
class Allow:
    """No further rule of this list is asked."""


@attrs.frozen
class Answer:
    """The client gets this instead of what a server would say."""

    status: int
    headers: tuple[bytes, ...]
    """Lines, without Content-Length."""
    body: bytes | None
    """None for the usual page of that status."""
    refuses: bool = False
    """A denial (flags PR), not an answer of ours (LR)."""
    raw: bytes = b""
    """A whole response as an error file has it, in place of all the above."""


@attrs.frozen
class Tarpit:
    """The same, once timeout.tarpit is over."""

    answer: Answer


@attrs.frozen
class Reject:
    """The connection ends without an answer."""

    silent: bool = False
    """And without telling the client's kernel."""


@attrs.frozen
class Close:
    """The server's connection ends; the client gets what has come of it."""


@attrs.frozen
class WaitForBody:
    """Go on with the next rule once so much of the body is there, or the time is over."""

    seconds: float
    at_least: int
    """Bytes; 0 for all."""


@attrs.frozen
class Kept:
    """Once the rules have been asked the client gets a kept response."""

    entry: Any
    """`cache.store.Entry`; opaque here."""
    name: str
    """Of its cache."""
    known: bool
    """The client has it already: 304."""


Verdict = Allow | Answer | Tarpit | Reject | Close | WaitForBody | Kept
Act = Callable[["Facts"], "Verdict | None"]


class Rule(NamedTuple):
    """One compiled rule: a tuple, since rules are unpacked for each request."""

    test: Test | None
    """None: always."""
    act: Act
    place: str = ""
    """Where in node.toml it stands."""
    test_needs: int = ANYTHING
    """What the test depends on (`rules.needs`)."""
    edit_needs: int = ANYTHING
    """If all that the action does is to edit header lines, what that depends on."""


def negated(test: Test) -> Test:
    """`unless`."""
    return lambda facts: not test(facts)
