"""The statistics page of a frontend with `stats`: HTML, `;csv` and `;json`, behind basic authentication."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from html import escape
from typing import TYPE_CHECKING

from hapair.api.stats import BACKEND, FRONTEND, Row, last_check, to_csv
from hapair.http1.emit import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.config.model import Stats
    from hapair.http1.head import Request

_SHOWN = (
    ("svname", "name"),
    ("status", "status"),
    ("weight", "weight"),
    ("scur", "sessions"),
    ("smax", "max"),
    ("stot", "total"),
    ("qcur", "queue"),
    ("bin", "bytes in"),
    ("bout", "bytes out"),
    ("ereq", "refused"),
    ("econ", "connect errors"),
    ("eresp", "response errors"),
    ("wretr", "retries"),
    ("wredis", "redispatches"),
    ("last_check", "check"),
    ("check_desc", "last result"),
)

_STYLE = """
body { font: 13px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #1a2733 }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 1.4rem 0 .3rem }
table { border-collapse: collapse; width: 100% }
th, td { padding: .25rem .4rem; text-align: right; border-bottom: 1px solid #dde4ea; white-space: nowrap }
th { font-weight: 600; background: #eef2f5; vertical-align: bottom; white-space: normal }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left }
td:last-child { white-space: normal; width: 25% }
.up { background: #e3f6e8 } .down { background: #fbe3e3 } .idle { background: #f3f4f6 }
.sum { font-weight: 600 }
"""


def stats_responder(
    stats: Stats, title: str, table: Callable[[], list[Row]]
) -> Callable[[Request], bytes | None]:
    """What answers requests below `stats.uri`; None for any other request."""
    prefix = stats.uri.encode()

    def respond(request: Request) -> bytes | None:
        if not request.target.startswith(prefix):
            return None
        if stats.auth and not _authorized(request, stats):
            return _page(401, b"text/plain", b"statistics need a user and a password\n", challenge=True)
        if request.method not in (b"GET", b"HEAD"):
            return _page(405, b"text/plain", b"only GET\n")
        options = request.target[len(prefix) :]
        if b";csv" in options:
            return _page(200, b"text/plain", to_csv(table()).encode())
        if b";json" in options:
            return _page(200, b"application/json", json.dumps(table()).encode())
        return _page(200, b"text/html; charset=utf-8", html(title, table()).encode())

    return respond


def html(title: str, table: list[Row]) -> str:
    """The page."""
    groups: dict[str, list[Row]] = {}
    for row in table:
        kind = "frontend" if row["type"] == FRONTEND else "backend"
        groups.setdefault(f"{kind} {row['pxname']}", []).append(row)
    head = "".join(f"<th>{escape(label)}</th>" for _, label in _SHOWN)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
    ]
    for name, members in groups.items():
        parts.append(f"<h2>{escape(name)}</h2><table><tr>{head}</tr>")
        for row in members:
            cells = "".join(f"<td>{_cell(row, column)}</td>" for column, _ in _SHOWN)
            parts.append(f'<tr class="{_class(row)}">{cells}</tr>')
        parts.append("</table>")
    return "".join(parts) + "\n"


def _cell(row: Row, column: str) -> str:
    if column == "last_check":
        return escape(last_check(row))
    text = escape(str(row.get(column, "")))
    if column == "check_desc" and "check_details" in row:
        text += f"<br>{escape(str(row['check_details']))}"
    return text


def _class(row: Row) -> str:
    status = str(row.get("status", ""))
    colour = "up" if status.startswith(("UP", "OPEN")) else "down" if status.startswith("DOWN") else "idle"
    return f"{colour} sum" if row["type"] in (FRONTEND, BACKEND) else colour


def _authorized(request: Request, stats: Stats) -> bool:
    for value in request.header(b"authorization"):
        scheme, _, credentials = value.partition(b" ")
        if scheme.lower() != b"basic":
            continue
        try:
            given = base64.b64decode(credentials.strip(b" "), validate=True)
        except binascii.Error:
            continue
        # Every pair is compared, in constant time, so that timing tells nothing.
        matches = [hmac.compare_digest(given, f"{user}:{password}".encode()) for user, password in stats.auth]
        if any(matches):
            return True
    return False


def _page(status: int, content_type: bytes, body: bytes, *, challenge: bool = False) -> bytes:
    headers = [b"cache-control: no-cache", b"content-type: " + content_type]
    if challenge:
        headers.append(b'www-authenticate: Basic realm="hapair statistics"')
    return answer(status, headers, body, close=False)
