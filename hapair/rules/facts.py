"""What a rule may ask about a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Facts(Protocol):
    """The request (or, in TCP mode, the connection) that is judged.

    What is not known is empty: such a sample never matches.
    """

    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes:
        """Without the query string."""

    @property
    def query(self) -> bytes:
        """What follows the first `?`."""

    @property
    def source(self) -> str:
        """The client's address as text."""

    @property
    def host(self) -> bytes | None:
        """The value of the Host header as it was sent."""

    def header(self, name: bytes) -> list[bytes]:
        """The values of every line with that lower-case name, as they came: comma lists are not split."""


Test = Callable[[Facts], bool]
"""A compiled rule; it cannot fail."""
