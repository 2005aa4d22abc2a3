"""Cookie persistence: which server a client belongs to, and how it is told (HAProxy's `cookie`).

The returned letters are the third and fourth termination flags of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.model import CookieMode
from hapair.http1.rewrite import cookie_value, set_cookie_line, sets_cookie, without_cookie

if TYPE_CHECKING:
    from hapair.http1.head import Request, Response
    from hapair.proxy.backend import Backend
    from hapair.proxy.server import Server


def wanted_server(request: Request, backend: Backend) -> tuple[str, Server | None]:
    """The server that the client's cookie names; the cookie is hidden from servers if it is ours alone.

    N: no cookie, V: valid, D: its server is down, I: names no server; -: we insert none (as HAProxy logs it).
    """
    cookie = backend.config.cookie
    if cookie is None:
        return "-", None
    name = cookie.name.encode() if request.cookies else b""
    value = cookie_value(request.cookies, name) if request.cookies else None
    if value is None:
        return "-" if cookie.mode is CookieMode.PASSIVE else "N", None
    if cookie.mode is CookieMode.INSERT and cookie.indirect:
        for line in request.cookies:
            if name in line:
                at = request.lines.index(line)
                stripped = without_cookie(line, name)
                request.lines[at : at + 1] = [] if stripped is None else [stripped]
    wanted = backend.by_cookie.get(value)
    if cookie.mode is CookieMode.PASSIVE:
        return "-", wanted
    return "I" if wanted is None else "V" if wanted.usable else "D", wanted


def mark_response(
    response: Response, backend: Backend, server: Server, wanted: Server | None, given: str
) -> str:
    """Tell the client which server it belongs to, unless it knows; `given` is what it sent (`wanted_server`).

    N: nothing to tell, I: inserted (also one that makes it forget), D: the server's own was deleted.
    """
    cookie = backend.config.cookie
    if cookie is None or cookie.mode is CookieMode.PASSIVE:
        return "-"
    from_server: list[bytes] = []
    if response.cookies:
        name = cookie.name.encode()
        from_server = [line for line in response.cookies if sets_cookie(line, name)]
    if from_server:
        response.lines = [line for line in response.lines if line not in from_server]
    if server is wanted or (server.cookie is None and given == "N"):
        return "D" if from_server else "N"
    response.lines.append(set_cookie_line(cookie, server.cookie))
    if cookie.nocache:
        response.lines.append(b"Cache-Control: private")
    return "I"
