"""The variables of log formats: `%ci`, `%Ta`, `%ST` (configuration manual, section 8.2.6).

Most ask what has become of the exchange (`facts.Record`), which is known at any
time as far as it has got.  Texts are escaped as section 8.6 says: what a client
sends can neither end a line nor a quoted field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from hapair.rules import log_dates
from hapair.rules.fetch import ALWAYS, CONNECTION, END, REQUEST, RESPONSE
from hapair.rules.fetch_connection import address_of

if TYPE_CHECKING:
    from hapair.rules.facts import Facts, Record, Transaction

Form = Literal["text", "number", "address", "port", "hex", "date", "block", "list"]
"""Only texts and addresses are quoted (+Q); addresses, ports and `hex` are what +X changes."""

_UNSAFE: Final = re.compile(rb'[^\x20-\x7e]|["#]')
_UNSAFE_CAPTURED: Final = re.compile(rb'[^\x20-\x7e]|["#{|}]')
BAD: Final = b"<BADREQ>"
"""In place of a request that never was one."""


@attrs.frozen
class Variable:
    """One of them."""

    form: Form
    since: int
    """When it is known (`rules.fetch`); before that it is -1, or nothing."""
    read: Callable[[Facts], Any]
    meaning: str
    http: bool = False
    """It has no meaning in TCP mode."""


def escape(text: bytes) -> bytes:
    """Text without quotes and control characters: they become #XX, and so does `#`."""
    return _UNSAFE.sub(_hex, text)


def escape_captured(text: bytes) -> bytes:
    """The same for what stands in `{a|b}`."""
    return _UNSAFE_CAPTURED.sub(_hex, text)


def _hex(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]


# -- how they are read -----------------------------------------------------------------------


def _about(form: Form, since: int, read: Callable[[Transaction], Any], meaning: str) -> Variable:
    return Variable(form, since, lambda f: None if f.about is None else read(f.about), meaning)


def _record(
    form: Form, since: int, read: Callable[[Record], Any], meaning: str, *, http: bool = False
) -> Variable:
    return Variable(form, since, lambda f: None if f.about is None else read(f.about.record), meaning, http)


def _request(read: Callable[[Record], bytes], meaning: str) -> Variable:
    def asked(record: Record) -> bytes:
        return escape(read(record)) if record.method else BAD

    return _record("text", REQUEST, asked, meaning, http=True)


def _marked(record: Record, number: int) -> bytes:
    """A number that is not the last word has a + before it."""
    return b"%d" % number if record.over else b"+%d" % number


def _without_query(target: bytes) -> bytes:
    return target.partition(b"?")[0]


def _query(target: bytes) -> bytes:
    return target[target.index(b"?") :] if b"?" in target else b""


def _path_only(target: bytes) -> bytes:
    """Of an absolute target too."""
    path = _without_query(target)
    if path[:1] == b"/" or b"://" not in path:
        return path
    _, slash, rest = path.partition(b"://")[2].partition(b"/")
    return slash + rest


def _cookie(value: bytes | None) -> bytes | None:
    return None if value is None else escape(value)


VARIABLES: Final[dict[str, Variable]] = {
    "ci": Variable("address", ALWAYS, lambda f: address_of(f.source) or b"unix", "the client's address"),
    "cp": _about("port", CONNECTION, lambda a: a.source_port, "the client's port"),
    "fi": _about("address", CONNECTION, lambda a: address_of(a.local), "the address it connected to"),
    "fp": _about("port", CONNECTION, lambda a: a.local_port, "the port it connected to"),
    "bi": _record("address", RESPONSE, lambda r: address_of(r.outgoing[0]), "our address towards the server"),
    "bp": _record("port", RESPONSE, lambda r: r.outgoing[1], "our port towards the server"),
    "si": _record("address", RESPONSE, lambda r: address_of(r.target[0]), "the server's address"),
    "sp": _record("port", RESPONSE, lambda r: r.target[1], "the server's port"),
    "f": _about("text", CONNECTION, lambda a: a.frontend.name.encode(), "the frontend"),
    "ft": _about("text", CONNECTION, lambda a: a.frontend.name.encode(), "the frontend"),
    "b": _record("text", CONNECTION, lambda r: r.backend_name, "the backend, or else the frontend"),
    "s": _record("text", CONNECTION, lambda r: r.server_name, "the server, or <NOSRV>"),
    "H": _about("text", CONNECTION, lambda a: a.node.encode(), "this node's name"),
    "pid": _about("hex", CONNECTION, lambda a: a.pid, "the process number"),
    "ID": _about("text", CONNECTION, lambda a: _cookie(a.unique_id), "the unique-id"),
    "t": _record("date", CONNECTION, lambda r: log_dates.precise(r.accepted), "when it was accepted"),
    "T": _record("date", CONNECTION, lambda r: log_dates.gmt(r.accepted), "the same in GMT"),
    "Tl": _record("date", CONNECTION, lambda r: log_dates.local(r.accepted), "the same with its zone"),
    "Ts": _record("hex", CONNECTION, lambda r: int(r.accepted), "the same as Unix time"),
    "ms": _record("date", CONNECTION, lambda r: b"%03d" % int(r.accepted % 1 * 1000), "its milliseconds"),
    "tr": _record("date", REQUEST, lambda r: log_dates.precise(r.begun), "when the request began", http=True),
    "trg": _record("date", REQUEST, lambda r: log_dates.gmt(r.begun), "the same in GMT", http=True),
    "trl": _record("date", REQUEST, lambda r: log_dates.local(r.begun), "the same with its zone", http=True),
    "Th": _record("number", CONNECTION, lambda r: r.handshake, "ms until the PROXY header was there"),
    "Ti": _record("number", REQUEST, lambda r: r.idle, "ms until the request began", http=True),
    "TR": _record("number", REQUEST, lambda r: r.head, "ms until its head was there", http=True),
    "Tq": _record("number", REQUEST, lambda r: r.query, "Th + Ti + TR", http=True),
    "Tw": _record("number", RESPONSE, lambda r: r.queued, "ms in queues"),
    "Tc": _record("number", RESPONSE, lambda r: r.connect, "ms to connect"),
    "Tr": _record("number", RESPONSE, lambda r: r.response, "ms until the response began", http=True),
    "Td": _record("number", END, lambda r: r.data, "ms for the data"),
    "Ta": _record("number", END, lambda r: _marked(r, r.active), "ms from the request to the end", http=True),
    "Tt": _record("number", END, lambda r: _marked(r, r.total), "ms from accepting to the end"),
    "Tu": _record("number", END, lambda r: _marked(r, r.user), "the same without Ti"),
    "ST": _record("number", RESPONSE, lambda r: r.status, "the status", http=True),
    "B": _record("number", END, lambda r: _marked(r, r.sent), "bytes for the client"),
    "U": _record("number", END, lambda r: r.received, "bytes from the client"),
    "ts": _record("text", END, lambda r: r.flags, "how it ended"),
    "tsc": _record("text", END, lambda r: r.flags + r.cookie_flags, "the same and the cookie's state"),
    "why": _record("text", END, lambda r: r.why, "why the answer was ours or there was none, in words"),
    "ac": _record("number", CONNECTION, lambda r: r.load[0], "connections of the process"),
    "fc": _record("number", CONNECTION, lambda r: r.load[1], "connections of the frontend"),
    "bc": _record("number", RESPONSE, lambda r: r.load[2], "connections of the backend"),
    "sc": _record("number", RESPONSE, lambda r: r.load[3], "connections of the server"),
    "rc": _record("number", RESPONSE, lambda r: r.retries, "retries, + before them: redispatched"),
    "sq": _record("number", RESPONSE, lambda r: r.queues[0], "requests before it in the server's queue"),
    "bq": _record("number", RESPONSE, lambda r: r.queues[1], "requests before it in the backend's queue"),
    "lc": _record("hex", CONNECTION, lambda r: r.lines, "lines of this frontend before"),
    "rt": _record("hex", CONNECTION, lambda r: r.number, "a number of its own"),
    "HM": _request(lambda r: r.method, "the method"),
    "HU": _request(lambda r: r.uri, "the target"),
    "HP": _request(lambda r: _without_query(r.uri), "the target without its query"),
    "HPO": _request(lambda r: _path_only(r.uri), "its path"),
    "HQ": _request(lambda r: _query(r.uri), "its query, with the ?"),
    "HV": _request(lambda r: r.version, "the HTTP version"),
    "r": _request(lambda r: b"%b %b %b" % (r.method, r.uri, r.version), "the request line"),
    "CC": _record("text", REQUEST, lambda r: _cookie(r.cookies[0]), "the client's cookie", http=True),
    "CS": _record("text", RESPONSE, lambda r: _cookie(r.cookies[1]), "the server's cookie", http=True),
    "hr": _record(
        "block",
        REQUEST,
        lambda r: r.captured[0] if r.method else None,
        "what was captured of the request",
        http=True,
    ),
    "hs": _record(
        "block",
        RESPONSE,
        lambda r: r.captured[1] if r.method else None,
        "the same of the response",
        http=True,
    ),
    "hrl": _record(
        "list", REQUEST, lambda r: r.captured[0] if r.method else None, "as %hr, one field each", http=True
    ),
    "hsl": _record(
        "list", RESPONSE, lambda r: r.captured[1] if r.method else None, "as %hs, one field each", http=True
    ),
    "sslv": Variable("text", CONNECTION, lambda _: None, "empty: hapair does not end TLS"),
    "sslc": Variable("text", CONNECTION, lambda _: None, "empty: hapair does not end TLS"),
}
"""All of them but `%o`, which only carries flags."""

NEEDS_OUTGOING: Final = frozenset({"bi", "bp"})


def in_hex(value: object) -> bytes:
    """A number or an IPv4 address as +X shows it."""
    if isinstance(value, int):
        return b"%04X" % value
    if isinstance(value, IPv4Address):
        return value.packed.hex().upper().encode()
    return str(value).encode()
