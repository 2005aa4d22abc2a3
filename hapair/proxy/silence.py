"""Who of a stream or a tunnel may be silent for how long: HAProxy 2.6's four timers.

Pure and hot.  Each side has a timer for its silence, which whatever it says or takes starts again, and
one for its deafness, which runs while bytes wait for it and starts again as it takes some.

A silent side is taken to have ended: the other is told, and has its own time.  With a deaf one all of it
is over.  Nobody is silent while we do not listen, because the other side is slow.
"""

from __future__ import annotations

from math import inf
from typing import Final

HIGH_WATER: Final = 16384
"""Bytes that may wait for one side before reading from the other stops."""


class Silence:
    """The timers of both sides; all in seconds."""

    __slots__ = (
        "_client_fin",
        "_client_patience",
        "_server_fin",
        "_server_patience",
        "client_deaf_at",
        "client_silent_at",
        "flags",
        "server_deaf_at",
        "server_silent_at",
    )

    def __init__(
        self, client: float, server: float, client_fin: float, server_fin: float, now: float
    ) -> None:
        """`client` and `server` are the patience with each, `client_fin` and `server_fin` that with one
        that was told that nothing more comes; `inf`: the same.
        """
        self._client_patience = client
        self._server_patience = server
        self._client_fin = client_fin
        self._server_fin = server_fin
        self.client_silent_at = now + client
        self.server_silent_at = now + server
        self.client_deaf_at = inf
        self.server_deaf_at = inf
        self.flags = ""
        """Of the log: the side that was silent first; empty for none."""

    def deadline(self) -> float:
        """When the first of the timers expires."""
        first = self.client_silent_at
        # Compiled, `min` takes longer than all the rest.
        if self.server_silent_at < first:
            first = self.server_silent_at
        if self.client_deaf_at < first:
            first = self.client_deaf_at
        if self.server_deaf_at < first:
            first = self.server_deaf_at
        return first

    def patience(self, flags: str) -> tuple[str, float]:
        """The side that log flags name, and the patience with it."""
        if not flags:
            return "", inf
        return ("client", self._client_patience) if flags[0] == "c" else ("server", self._server_patience)

    def client_spoke(self, now: float, *, waiting: int, passed: bool) -> None:
        """There is something from the client; `waiting` bytes now wait for the server.

        `passed`: nothing waited before, so that the server takes it at once, or `server_took` says how much.
        """
        self.client_silent_at = inf if waiting >= HIGH_WATER and not passed else now + self._client_patience
        if passed and self.server_silent_at != inf:
            self.server_silent_at = now + self._server_patience

    def server_spoke(self, now: float, *, waiting: int, passed: bool) -> None:
        """The same from the server."""
        self.server_silent_at = inf if waiting >= HIGH_WATER and not passed else now + self._server_patience
        if passed and self.client_silent_at != inf:
            self.client_silent_at = now + self._client_patience

    def client_took(self, now: float, *, waiting: int, server_ended: bool) -> None:
        """A slow client took some: `waiting` bytes are left."""
        if self.client_silent_at != inf:
            self.client_silent_at = now + self._client_patience
        self.client_deaf_at = now + self._client_patience if waiting else inf
        if server_ended or waiting >= HIGH_WATER:
            self.server_silent_at = inf
        elif self.server_silent_at == inf:
            self.server_silent_at = now + self._server_patience

    def server_took(self, now: float, *, waiting: int, client_ended: bool) -> None:
        """The same of a slow server."""
        if self.server_silent_at != inf:
            self.server_silent_at = now + self._server_patience
        self.server_deaf_at = now + self._server_patience if waiting else inf
        if client_ended or waiting >= HIGH_WATER:
            self.client_silent_at = inf
        elif self.client_silent_at == inf:
            self.client_silent_at = now + self._client_patience

    def client_ended(self, now: float) -> None:
        """Nothing more comes from it: only `server_fin` starts the server's time again."""
        self.client_silent_at = inf
        if self._server_fin != inf:
            self._server_patience = self._server_fin
            if self.server_silent_at != inf:
                self.server_silent_at = now + self._server_fin

    def server_ended(self, now: float) -> None:
        """The same of the server."""
        self.server_silent_at = inf
        if self._client_fin != inf:
            self._client_patience = self._client_fin
            if self.client_silent_at != inf:
                self.client_silent_at = now + self._client_fin
