"""Where a connection to a server comes from (HAProxy's `source`): an address, a port of a range.  Hot.

Pure: `dataplane.outgoing` binds the socket.
"""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapair.config.model import Source


class Origin:
    """The `source` of one server."""

    __slots__ = ("address", "free", "header", "occurrence", "text", "usesrc")

    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.usesrc = source.usesrc
        self.address = str(source.address) if source.address is not None else ""
        """Of this node; empty for any."""
        self.header = source.header.encode()
        self.occurrence = source.occurrence
        self.free: deque[int] | None = None
        """Ports of the range that no connection of ours has; None: the kernel chooses."""
        if source.ports is not None:
            self.free = deque(range(source.ports[0], source.ports[1] + 1))

    def of(self, session: Any) -> tuple[str, int] | None:
        """Whom this session's connection stands for: address and port, 0 for any; None: the node itself."""
        usesrc = self.usesrc
        if not usesrc:
            return None
        if usesrc == "hdr_ip":
            named = _address_in(session.request.header(self.header), self.occurrence)
            return None if named is None else (named, 0)
        source: str = session.source
        if source == "unix":
            return None
        return (source, session.port) if usesrc == "client" else (source, 0)


def _address_in(lines: list[bytes], occurrence: int) -> str | None:
    """The address in one of the values of a header; None when there is none, or it is something else."""
    values = [value.strip(b" \t") for line in lines for value in line.split(b",")]
    at = occurrence - 1 if occurrence > 0 else occurrence
    try:
        return str(ip_address(values[at].decode("ascii")))
    except (IndexError, ValueError):
        return None
