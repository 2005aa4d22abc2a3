"""Lines on their way to one log target: what all targets have in common.  Hot: `take`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.dataplane.syslog_header import Header


class Lines:
    """A bounded number of lines, whole with their headers, until `flush` brings them out."""

    def __init__(self, level: int, least: int, header: Header, longest: int, max_waiting: int) -> None:
        """Lines of a severity up to `level`; what is more severe than `least` is said to be `least`."""
        self.level = level
        self._least = least
        self._header = header
        self._longest = longest
        """Bytes of a line with its header; the rest is cut off."""
        self._max_waiting = max_waiting
        self._tags: dict[str, Header] = {}
        """The headers of frontends with a tag of their own."""
        self.waiting: list[bytes] = []
        self.dropped = 0

    @property
    def unsent(self) -> bool:
        """Is there anything to flush?"""
        return bool(self.waiting)

    def take(self, severity: int, line: bytes, now: int, structured: bytes, tag: str = "") -> None:
        """Format a line of this Unix second and keep it; `structured` is RFC 5424's data.

        `tag` takes the place of the target's own.
        """
        if len(self.waiting) >= self._max_waiting:
            self.dropped += 1
            return
        if severity < self._least:
            severity = self._least
        header = self._header if not tag else self._tagged(tag)
        whole = header.before(severity, now, structured) + line
        if len(whole) > self._longest:
            whole = whole[: self._longest]
        self.waiting.append(self.framed(whole))

    def _tagged(self, tag: str) -> Header:
        header = self._tags.get(tag)
        if header is None:
            header = self._tags[tag] = self._header.tagged(tag)
        return header

    def framed(self, line: bytes) -> bytes:
        """As the target wants it."""
        return line

    def flush(self) -> None:
        """Send what is taken now; the rest waits or is counted."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the descriptor back."""
        raise NotImplementedError
