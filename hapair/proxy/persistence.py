"""Cookie persistence: which server a client belongs to, and how it is told (HAProxy's `cookie`).  Hot.

The flags are the third and fourth of the log.  Of what the client sent: N nothing, V valid, D its server
is down or was left, I names no server, E too long not seen, O given too long ago, U not asked for.  Of what
the client gets: N nothing, I inserted (also one that makes it forget), U with a new date, R the server's
own with our value, D the server's own was deleted, P it was left alone.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from hapair.config.model import CookieMode
from hapair.hashes import xxh64
from hapair.http1.caching import FOR_ALL, caching
from hapair.http1.rewrite import set_cookie_line, sets_cookie, without_cookie
from hapair.proxy.cookie_dates import dates, stamp

if TYPE_CHECKING:
    from hapair.config import model
    from hapair.http1.head import Request, Response
    from hapair.proxy.exchange import Exchange
    from hapair.proxy.server import Server

_CACHEABLE: Final = frozenset({200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501})
_DAY: Final = 86400


def dynamic_value(key: str, address: object) -> bytes | None:
    """A server's value made of a secret, its address and its port; None for one without an IP address.

    The same on every node that is given the same key, and HAProxy's.
    """
    _family, place = address if isinstance(address, tuple) and len(address) == 2 else (0, None)
    if not isinstance(place, tuple):
        return None
    packed = ip_address(str(place[0]).partition("%")[0]).packed
    return b"%016x" % xxh64(key.encode() + packed + int(place[1]).to_bytes(4, "big"))


class Persistence:
    """The cookie of one backend."""

    __slots__ = (
        "_attributes",
        "_cookie",
        "_dated",
        "_hides",
        "_inserts",
        "_made",
        "_maxidle",
        "_maxlife",
        "_name",
        "_prefixes",
        "_rewrites",
        "_servers",
        "_silent",
        "_to_the_dead",
    )

    def __init__(self, cookie: model.Cookie, servers: list[Server], *, persist: bool) -> None:
        """`persist`: also to servers that are down."""
        self._cookie = cookie
        self._name = cookie.name.encode()
        self._inserts = cookie.mode is CookieMode.INSERT
        self._made: dict[bytes, bytes] = {}
        """The lines without dates, by value: one for each server."""
        self._prefixes = cookie.mode is CookieMode.PREFIX
        self._rewrites = cookie.mode is CookieMode.REWRITE
        self._hides = self._inserts and cookie.indirect
        self._maxidle = int(cookie.maxidle)
        self._maxlife = int(cookie.maxlife)
        self._dated = bool(self._maxidle or self._maxlife)
        self._silent = cookie.mode is CookieMode.PASSIVE and not cookie.indirect
        """HAProxy logs no flags of a cookie that is only followed."""
        self._to_the_dead = persist
        self._attributes = set_cookie_line(cookie, b"").partition(b"=;")[2]
        self._servers: dict[bytes, list[Server]] = {}
        for server in servers:
            if server.cookie is not None:
                self._servers.setdefault(server.cookie, []).append(server)

    def read(self, session: Exchange, request: Request, today: int) -> None:
        """Find the server that the client's cookie names, unless it has one; hide from servers what is ours.

        `today` is Unix time.
        """
        session.cookie_in = "-" if self._silent else "N"
        name = self._name
        for line in request.cookies:
            if line.find(name) >= 0:
                self._read_line(session, request, line, today)

    def _read_line(self, session: Exchange, request: Request, line: bytes, today: int) -> None:
        name = self._name
        found = shortened = False
        parts = line[line.index(b":") + 1 :].split(b";")
        for i, part in enumerate(parts):
            key, equals, raw = part.partition(b"=")
            if not equals or key.strip(b" \t") != name:
                continue
            found = True
            value = raw.strip(b" \t")
            if self._prefixes:
                value, delimiter, own = value.partition(b"~")
                if delimiter:
                    parts[i] = key + b"=" + own
                    shortened = True
            elif value.find(b"|") >= 0:
                value, last, first = dates(value)
                session.cookie_last = last or session.cookie_last
                session.cookie_first = first or session.cookie_first
            flag = self._visit(session, value, today)
            if not self._silent:
                session.cookie_in = flag
        if found and (shortened or self._hides):
            at = request.lines.index(line)
            if shortened:
                request.lines[at] = line[: line.index(b":") + 1] + b";".join(parts)
            else:
                stripped = without_cookie(line, name)
                request.lines[at : at + 1] = [] if stripped is None else [stripped]

    def _visit(self, session: Exchange, value: bytes, today: int) -> str:
        flag = session.cookie_in
        first, last = session.cookie_first, session.cookie_last
        too_old = ""
        if first and self._maxlife and (today - first > self._maxlife or first - today > _DAY):
            too_old = "O"
        elif last and self._maxidle and (today - last > self._maxidle or last - today > _DAY):
            too_old = "E"
        if too_old:
            session.cookie_first = session.cookie_last = 0
            return too_old
        if session.ignores_persistence or session.wanted is not None:
            return "U" if flag in "N-" else flag
        for server in self._servers.get(value, ()) if value else ():
            if server.usable or self._to_the_dead or session.forces_persistence:
                session.wanted = server
                return "V" if server.usable else "D"
            flag = "D"
        return "I" if flag in "N-" else flag

    def mark(self, session: Exchange, response: Response, today: int) -> None:
        """Tell the client which server it belongs to, unless it knows."""
        cookie, server = self._cookie, session.server
        assert server is not None
        direct = server is session.wanted and not session.redispatched
        if session.cookie_in == "V" and not direct:
            session.cookie_in = "D"
        flag = "N"
        for line in response.cookies:
            if not session.ignores_persistence and sets_cookie(line, self._name):
                flag = self._meet(response, line, server, direct=direct)
        if self._inserts and self._tells(session, server, flag, today, direct=direct):
            shared = cookie.nocache and _may_be_shared(session.request, response)
            response.add(self._line(session, server, today))
            flag = "U" if direct and server.cookie is not None else "I"
            if shared:
                response.add(b"Cache-Control: private")
        session.cookie_out = "-" if self._silent else flag

    def _meet(self, response: Response, line: bytes, server: Server, *, direct: bool) -> str:
        """A cookie of that name that the server sets."""
        cookie = self._cookie
        if cookie.preserve:
            return "P"
        at = response.lines.index(line) if line in response.lines else -1
        if self._inserts or (direct and cookie.indirect):
            if at >= 0:
                del response.lines[at]
            return "D"
        if server.cookie is not None and (self._rewrites or self._prefixes):
            head, _, rest = line.partition(b"=")
            value, semicolon, attributes = rest.partition(b";")
            own = b"~" + value.lstrip(b" \t") if self._prefixes else b""
            if at >= 0:
                response.lines[at] = head + b"=" + server.cookie + own + semicolon + attributes
            return "R"
        return "P"

    def _tells(self, session: Exchange, server: Server, flag: str, today: int, *, direct: bool) -> bool:
        cookie, last = self._cookie, session.cookie_last
        if flag == "P" and cookie.preserve:
            return False
        if cookie.postonly and session.request.method != b"POST":
            return False
        if session.ignores_persistence:
            return False
        if not direct:
            return server.cookie is not None or session.cookie_in != "N"
        return (
            ((self._maxidle > 0 or last > 0) and (not last or last < today))
            or (self._maxlife > 0 and not session.cookie_first)
            or (not self._maxlife and session.cookie_first > 0)
        )

    def _line(self, session: Exchange, server: Server, today: int) -> bytes:
        if server.cookie is None:
            return set_cookie_line(self._cookie, None)
        if not self._dated:
            line = self._made.get(server.cookie)
            if line is None:
                line = self._made[server.cookie] = set_cookie_line(self._cookie, server.cookie)
            return line
        value = server.cookie + b"|" + stamp(today + 3)
        if self._maxlife:
            value += b"|" + stamp(session.cookie_first or today + 3)
        return set_cookie_line(self._cookie, value)


def _may_be_shared(request: Request, response: Response) -> bool:
    """Might a cache keep this answer for others?

    HAProxy asks for a validator or an expiry beside; RFC 9111 section 4.2.2 lets caches do without.
    """
    # Of a head that was seen before and not edited since it is known.
    said = response.cached if response.wire else caching(response.lines)
    if said:
        return said == FOR_ALL
    method = request.method
    return (method == b"GET" or method == b"HEAD") and response.status in _CACHEABLE
