"""What a probe says on a connection and what it makes of the answers: the rule for every kind.

A dialogue answers each event with bytes, to be sent before it waits for more
(none: just wait), or with its finding, after which it is not called again.
What it is fed is hostile: it must reach a finding within `MAX_ANSWER` bytes,
for the caller gives up there.  Time-outs and socket errors are the caller's.
"""

from __future__ import annotations

from typing import Protocol

from hapair.health.probes.outcome import Finding

Step = bytes | Finding

MAX_ANSWER = 16384
"""Bytes read for one probe at most; HAProxy's buffer."""


class Dialogue(Protocol):
    """One probe's side of one connection."""

    @property
    def silent(self) -> bool:
        """Does the connection alone say everything?"""

    def connected(self) -> Step:
        """The connection is there."""

    def received(self, data: bytes) -> Step:
        """The server said `data`, never nothing."""

    def ended(self) -> Finding:
        """The server said its last word."""
