"""Why an answer was the proxy's own, in words that an operator can act on.

They name what node.toml names, servers, errors of the system and single bytes, and nothing that a client
or a server has sent: a reason is safe in any log, and short.
"""

from __future__ import annotations

import errno
import os
import re
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hapair.http1.head import Limits
    from hapair.proxy.server import Server

_SUSPECT: Final = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")


def timeout(name: str, seconds: float) -> str:
    """`timeout http_request (400ms)`."""
    return f"timeout {name} ({spelled(seconds)})"


def spelled(seconds: float) -> str:
    """As in node.toml."""
    if seconds == inf:
        return "unset"
    ms = round(seconds * 1000)
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


def named(server: Server) -> str:
    """`web/web1 192.0.2.1:80`."""
    place = server.address[1] if isinstance(server.address, tuple) else ""
    if isinstance(place, tuple):
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        where = f" {host}:{place[1]}"
    else:
        where = f" {place}" if isinstance(place, str) and place else ""
    return f"{server.backend.name}/{server.name}{where}"


def refused(server: Server, error: int, attempts: int) -> str:
    """Of a connection that could not be made, `attempts` times before."""
    why = f"{os.strerror(error)} ({errno.errorcode.get(error, error)})" if error else "the connection failed"
    return f"server {named(server)}: {why}{_retries(attempts)}"


def unconnected(server: Server, seconds: float, attempts: int) -> str:
    """Of one that took too long."""
    return f"server {named(server)}: {timeout('connect', seconds)}{_retries(attempts)}"


def _retries(attempts: int) -> str:
    return f", after {attempts} retr{'y' if attempts == 1 else 'ies'}" if attempts else ""


def limit(status: int, limits: Limits) -> str:
    """The limit that 414 and 431 are about, with a space before it."""
    if status == 414:
        return f" (http_limits.request_line {limits.line})"
    if status == 431:
        return f" (http_limits.head {limits.head}, headers {limits.headers})"
    return ""


def byte(data: bytes) -> str:
    """The first byte of a head that may not be there, with a space before it; empty if each may be."""
    head = data.partition(b"\r\n\r\n")[0]
    for found in _SUSPECT.finditer(head):
        at = found.start()
        if head[at : at + 2] == b"\r\n" or (head[at] == 10 and at and head[at - 1] == 13):
            continue
        if at + 1 == len(head) == len(data) and head[at] == 13:
            continue  # its LF may still come
        return f" (byte 0x{head[at]:02X} at {at})"
    return ""


def not_http(data: bytes) -> str:
    """Where what should begin with HTTP/1. does not, with a space before it."""
    for at, (got, wanted) in enumerate(zip(data, b"HTTP/1.", strict=False)):
        if got != wanted:
            return f" (byte 0x{got:02X} at {at})"
    return ""
