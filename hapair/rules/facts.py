"""What a rule may ask about a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Facts(Protocol):
    """The request (or, in TCP mode, the connection) that is judged."""

    @property
    def method(self) -> bytes: ...
    @property
    def path(self) -> bytes:
        """Without the query string."""

    @property
    def query(self) -> bytes: ...
    @property
    def source(self) -> str:
        """The client's address as text."""

    @property
    def host(self) -> bytes | None: ...
    def header(self, name: bytes) -> list[bytes]:
        """The values of every line with that lower-case name, as they came."""


Test = Callable[[Facts], bool]
