"""What an expression's outcome depends on: where that repeats, nobody need ask again.

Law: only what is listed here is known to depend on nothing else; anything else may differ each time.
"""

from __future__ import annotations

from typing import Final

NOTHING: Final = 0
LINE: Final = 1
"""The request line, as it came."""
FIELDS: Final = 2
"""The header lines, as they came."""
CONNECTION: Final = 4
"""Who connected, and to where."""
ANYTHING: Final = 8

_FETCHES: Final[dict[int, str]] = {
    NOTHING: "always_true always_false str int bool bin ipv4 ipv6 meth env",
    LINE: "method path query pathq url url_ip url_port url_param urlp urlp_val req.ver req_ver",
    FIELDS: "req.hdr hdr req.fhdr req.hdr_cnt hdr_cnt req.fhdr_cnt req.hdr_ip hdr_ip req.hdr_val hdr_val"
    " req.hdr_names req.cook cook cookie req.cook_cnt cook_cnt req.cook_val cook_val",
    LINE | FIELDS: "base baseq base32 url32",
    CONNECTION: "src src_port dst dst_port",
}
FETCHES: Final = {name: needs for needs, names in _FETCHES.items() for name in names.split()}
"""By the fetch's name."""

CONVERTERS: Final = frozenset(
    "lower upper ltrim rtrim cut_crlf word field bytes length hex hex2i base64 b64dec ub64enc ub64dec"
    " url_enc url_dec json regsub be2hex be2dec host_only port_only htonl ipmask sdbm djb2 wt6 crc32 crc32c"
    " xxh32 xxh64 sha1 sha2 digest cpl neg bool not even odd iif".split()
)
"""Those whose outcome depends on nothing but what they are given."""


def of_fetch(name: str) -> int:
    """What a fetch depends on."""
    return FETCHES.get(name, ANYTHING)


def of_converter(name: str) -> int:
    """The same for a converter, beside its input."""
    return NOTHING if name in CONVERTERS else ANYTHING
