"""Small edits of heads: cookies and X-Forwarded-For.  A line is replaced or dropped, never a head rebuilt."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hapair.config.model import Cookie, ForwardFor

_MAX_REMEMBERED = 4096


def cookie_value(lines: list[bytes], name: bytes) -> bytes | None:
    """The first value of cookie `name` in Cookie header lines."""
    for line in lines:
        if name in line:
            for pair in line[line.index(b":") + 1 :].split(b";"):
                key, equals, value = pair.partition(b"=")
                if equals and key.strip(b" \t") == name:
                    return value.strip(b' \t"')
    return None


def without_cookie(line: bytes, name: bytes) -> bytes | None:
    """A Cookie header line without cookie `name`; None when nothing else was in it."""
    header, _, rest = line.partition(b":")
    kept = [pair.strip(b" \t") for pair in rest.split(b";") if pair.partition(b"=")[0].strip(b" \t") != name]
    return header + b": " + b"; ".join(kept) if any(kept) else None


def sets_cookie(line: bytes, name: bytes) -> bool:
    """Does a Set-Cookie header line set cookie `name`?"""
    return line[line.index(b":") + 1 :].partition(b"=")[0].strip(b" \t") == name


def set_cookie_line(cookie: Cookie, value: bytes | None) -> bytes:
    """The Set-Cookie line that names a server, or for None the one that makes the client forget."""
    name = cookie.name.encode()
    if value is None:
        line = b"set-cookie: %b=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/" % name
    else:
        line = b"set-cookie: %b=%b; path=/" % (name, value)
    if cookie.domain is not None:
        line += b"; domain=" + cookie.domain.encode()
    if cookie.httponly:
        line += b"; HttpOnly"
    if cookie.secure:
        line += b"; Secure"
    return line


class ForwardedFor:
    """Makes the X-Forwarded-For line for a client (HAProxy's `option forwardfor`).

    In force when the frontend or the backend sets it; the backend's header name
    wins; `if-none` holds only when every side that sets it says so.
    """

    __slots__ = ("_exceptions", "_header", "_lines", "if_none", "name")

    def __init__(self, frontend: ForwardFor | None, backend: ForwardFor | None) -> None:
        sides = [side for side in (backend, frontend) if side is not None]
        self._header = sides[0].header.encode()
        self.name = self._header.lower()
        self.if_none = all(side.if_none for side in sides)
        self._exceptions = [network for side in sides for network in side.exceptions]
        self._lines: dict[str, bytes | None] = {}

    def line(self, source: str) -> bytes | None:
        """The header line for a client address; None when it is excepted or has none (a unix socket)."""
        try:
            return self._lines[source]
        except KeyError:
            pass
        try:
            address = ip_address(source)
        except ValueError:
            line = None
        else:
            excepted = any(
                network.version == address.version and address in network for network in self._exceptions
            )
            line = None if excepted else self._header + b": " + source.encode()
        if len(self._lines) < _MAX_REMEMBERED:
            self._lines[source] = line
        return line


def forwarded_for(frontend: ForwardFor | None, backend: ForwardFor | None) -> ForwardedFor | None:
    """The rule for one frontend and backend together, if either has one."""
    return ForwardedFor(frontend, backend) if frontend is not None or backend is not None else None
