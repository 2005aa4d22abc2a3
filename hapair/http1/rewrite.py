"""Small edits of heads: cookies, and headers that tell of the client.

A line is replaced or dropped, never a head rebuilt.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from hapair.config.model import Forwarded

if TYPE_CHECKING:
    from hapair.config.model import Backend as BackendConfig
    from hapair.config.model import Cookie, ForwardFor, OriginalTo
    from hapair.config.model import Frontend as FrontendConfig
    from hapair.http1.head import Request

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MAX_REMEMBERED: Final = 4096


def cookie_value(lines: list[bytes], name: bytes) -> bytes | None:
    """The first value of cookie `name` in Cookie header lines."""
    for line in lines:
        if line.find(name) >= 0:
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
    for domain in cookie.domain:
        line += b"; domain=" + domain.encode()
    if cookie.httponly:
        line += b"; HttpOnly"
    if cookie.secure:
        line += b"; Secure"
    for attribute in cookie.attr:
        line += b"; " + attribute.encode()
    return line


class AddressHeader:
    """Makes a line with the client's address (HAProxy's `option forwardfor`), or with ours (`originalto`).

    In force when the frontend or the backend sets it; the backend's header name
    wins; `if-none` holds only when every side that sets it says so.
    """

    __slots__ = ("_exceptions", "_header", "_lines", "if_none", "name")

    def __init__(self, sides: list[ForwardFor] | list[OriginalTo], *, if_none: bool) -> None:
        self._header = sides[0].header.encode()
        self.name = self._header.lower()
        self.if_none = if_none
        self._exceptions = [network for side in sides for network in side.exceptions]
        self._lines: dict[str, bytes | None] = {}

    def line(self, host: str) -> bytes | None:
        """The header line for an address; None when it is excepted or is none (a unix socket)."""
        try:
            return self._lines[host]
        except KeyError:
            pass
        try:
            address = ip_address(host)
        except ValueError:
            line = None
        else:
            excepted = any(
                network.version == address.version and address in network for network in self._exceptions
            )
            line = None if excepted else self._header + b": " + host.encode()
        if len(self._lines) < _MAX_REMEMBERED:
            self._lines[host] = line
        return line


def forwarded_for(frontend: ForwardFor | None, backend: ForwardFor | None) -> AddressHeader | None:
    """The rule for one frontend and backend together, if either has one."""
    sides = [side for side in (backend, frontend) if side is not None]
    return AddressHeader(sides, if_none=all(side.if_none for side in sides)) if sides else None


def original_to(frontend: OriginalTo | None, backend: OriginalTo | None) -> AddressHeader | None:
    """The same for the address that the client connected to."""
    sides = [side for side in (backend, frontend) if side is not None]
    return AddressHeader(sides, if_none=False) if sides else None


def forwarded_line(
    tells: tuple[Forwarded, ...], source: str, port: int, local: str, local_port: int, host: bytes | None
) -> bytes:
    """A Forwarded line (RFC 7239), its parts in the order in which HAProxy writes them.

    Who has no address (a unix socket) is `unknown` (section 6.2).
    """
    parts = []
    if Forwarded.PROTO in tells:
        parts.append(b"proto=http")
    if Forwarded.HOST in tells and host:
        parts.append(b"host=" + (host if _TOKEN.fullmatch(host) else b'"' + host + b'"'))
    for name, key, key_port, address, number in (
        (b"by", Forwarded.BY, Forwarded.BY_PORT, local, local_port),
        (b"for", Forwarded.FOR, Forwarded.FOR_PORT, source, port),
    ):
        if key in tells:
            parts.append(name + b"=" + _node(address, number if key_port in tells else 0))
    return b"Forwarded: " + b";".join(parts)


def _node(address: str, port: int) -> bytes:
    """A node (section 6): what holds a colon is quoted, and IPv6 in brackets too."""
    try:
        six = ip_address(address.partition("%")[0]).version == 6
    except ValueError:
        return b"unknown"
    text = f"[{address}]" if six else address
    if port:
        text += f":{port}"
    return f'"{text}"'.encode() if ":" in text else text.encode()


class Marks:
    """The headers by which a server learns of the connection: the rules of one frontend with one backend."""

    __slots__ = ("_for", "_forwarded", "_to")

    def __init__(
        self,
        forwardfor: AddressHeader | None,
        originalto: AddressHeader | None,
        forwarded: tuple[Forwarded, ...],
    ) -> None:
        self._for = forwardfor
        self._to = originalto
        self._forwarded = forwarded

    def add(self, request: Request, source: str, port: int, local: str, local_port: int) -> None:
        """Append the lines to the head of `request`."""
        rule = self._for
        if rule is not None:
            line = rule.line(source)
            if line is not None and not (rule.if_none and request.sends(rule.name)):
                request.add(line)
        if self._to is not None:
            line = self._to.line(local)
            if line is not None:
                request.add(line)
        if self._forwarded:
            request.add(forwarded_line(self._forwarded, source, port, local, local_port, request.host))


def marks(frontend: FrontendConfig, backend: BackendConfig) -> Marks | None:
    """What a frontend and a backend together ask for, if anything."""
    forwardfor = forwarded_for(frontend.forwardfor, backend.forwardfor)
    originalto = original_to(frontend.originalto, backend.originalto)
    if forwardfor is None and originalto is None and not backend.forwarded:
        return None
    return Marks(forwardfor, originalto, backend.forwarded)
