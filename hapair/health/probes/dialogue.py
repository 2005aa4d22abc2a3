"""What a probe says on a connection and what it makes of the answers: the rule for every kind.

A dialogue answers each event with bytes, to be sent before it waits for more
(none: just wait), or with its finding, after which it is not called again.
What it is fed is hostile: it must reach a finding within `limit` bytes, for the
caller gives up there.  Time-outs and socket errors are the caller's.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from hapair.health.probes.outcome import Finding, printable

MAX_ANSWER = 16384
"""Bytes read for one probe at most, unless it says otherwise; HAProxy's buffer."""


@attrs.frozen
class Parting:
    """Say this, then conclude: some servers count a client that just leaves as an error."""

    data: bytes
    finding: Finding


@attrs.frozen
class Reconnect:
    """Say this, then begin another connection to the same host."""

    data: bytes = b""
    port: int | None = None
    """None: the same."""
    tls: bool = False
    send_proxy: bool = False


@attrs.frozen
class StartTls:
    """Say this, then speak TLS on the same connection.

    What the server has said in clear text ends here: a dialogue that has heard more than
    the answer it waited for must not go on.
    """

    data: bytes = b""
    then: bytes = b""
    """The first words over TLS."""


Step = bytes | Finding | Parting | Reconnect | StartTls


class Dialogue(Protocol):
    """One probe's side of its connections."""

    @property
    def silent(self) -> bool:
        """Does the connection alone say everything?"""

    @property
    def limit(self) -> int:
        """Bytes that the server may say."""

    def connected(self) -> Step:
        """The connection is there."""

    def received(self, data: bytes) -> Step:
        """The server said `data`, never nothing."""

    def ended(self) -> Step:
        """The server said its last word on this connection."""

    def late(self) -> Finding:
        """The time is over."""

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        """What may be shown of what went over the wire: in plain text, and no secrets."""


class Malformed(ValueError):  # noqa: N818 - the answer is, not we
    """What a server said makes no sense; the text says why."""


class Conversation:
    """What most dialogues have in common: they collect what they hear, and know what they wait for."""

    silent = False
    limit = MAX_ANSWER

    def __init__(self, waiting_for: str) -> None:
        self.heard = b""
        self.waiting_for = waiting_for
        """What should come next, for whoever has to find out why it did not."""

    def connected(self) -> Step:
        """Most servers of these kinds speak first."""
        return b""

    def received(self, data: bytes) -> Step:
        """Listen to all that was said so far."""
        self.heard += data
        try:
            return self.listen()
        except Malformed as error:
            return self.wrong(str(error))

    def listen(self) -> Step:
        """Judge `heard`, from which what is dealt with is taken.

        Raises:
            Malformed: it makes no sense.
        """
        raise NotImplementedError

    def ended(self) -> Step:
        """Too early."""
        return self.wrong("the connection ended early" if self.heard else "no answer")

    def late(self) -> Finding:
        """Tell what did not come."""
        info = printable(f"waiting for {self.waiting_for}".encode("ascii", "replace"))
        return Finding("L7TOUT", info, expected=self.waiting_for)

    def excerpt(self, sent: bytes, received: bytes) -> tuple[bytes, bytes]:
        """Nothing to hide."""
        return sent, received

    def wrong(self, info: str) -> Finding:
        """The server does not speak as it should."""
        return Finding("L7RSP", info, expected=self.waiting_for)

    def refused(self, info: str, code: int = 0) -> Finding:
        """The server said clearly that it is not well."""
        return Finding("L7STS", info, code, expected=self.waiting_for)
