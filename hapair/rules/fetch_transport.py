"""Fetches of both connections as they are: `fc_*`, `bc_*`, and the time-outs in force (section 7.3.3)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from hapair.rules.fetch import ALWAYS, CONNECTION, RESPONSE, Fetch, Read, about, simple
from hapair.rules.fetch_connection import address_of, is_ours

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts, Transaction
    from hapair.rules.values import Value

TELL_OUTGOING: Final = frozenset({"bc_src", "bc_src_port"})
"""They ask for our address towards the server, which costs a system call for each connection."""

_AUTHORITY: Final = 0x02
_UNIQUE_ID: Final = 0x05
"""TLVs of the PROXY protocol (its section 2.2.1 ff.)."""

_MICROSECONDS: Final = {"us": 1, "ms": 1000}

_COUNTS: Final = {
    "fc_unacked": (24, "segments to the client that are not acknowledged"),
    "fc_sacked": (28, "segments to the client that are acknowledged selectively"),
    "fc_lost": (32, "segments to the client that count as lost"),
    "fc_retrans": (36, "segments to the client that are sent again"),
    "fc_fackets": (40, "segments to the client that are acknowledged forward"),
    "fc_reordering": (88, "segments that the client's network may swap"),
}
"""Offsets in struct tcp_info (linux/tcp.h), which has never moved a field."""
_TIMES: Final = {"fc_rtt": (68, "the client's round-trip time"), "fc_rttvar": (72, "and how it varies")}


def _tcp_number(facts: Facts, offset: int) -> int | None:
    known = b"" if facts.about is None else facts.about.tcp_info()
    return int.from_bytes(known[offset : offset + 4], "little") if len(known) >= offset + 4 else None


def _count(offset: int, meaning: str) -> Fetch:
    return simple("int", CONNECTION, lambda facts: _tcp_number(facts, offset), meaning)


def _time(offset: int, meaning: str) -> Fetch:
    def make(call: Call) -> Read:
        unit = call.take(0, _MICROSECONDS.__getitem__, "ms or us") if call.given(0) in _MICROSECONDS else 1000
        if call.given(0) not in (None, *_MICROSECONDS):
            raise call.mistake("the unit is ms or us")

        def read(facts: Facts) -> Value | None:
            number = _tcp_number(facts, offset)
            return None if number is None else number // unit

        return read

    return Fetch("int", CONNECTION, make, f"{meaning}, in ms or us", most=1)


def _milliseconds(seconds: float) -> int:
    return 0 if seconds == inf else round(seconds * 1000)


def _of_backend(read: Callable[[Transaction], float | None], meaning: str) -> Fetch:
    """Milliseconds, 0 for no end; empty before a backend is chosen."""

    def asked(transaction: Transaction) -> Value | None:
        seconds = None if transaction.backend is None else read(transaction)
        return None if seconds is None else _milliseconds(seconds)

    return about("int", CONNECTION, asked, meaning)


def _end(client: int, part: int) -> Callable[[Transaction], Value | None]:
    def read(transaction: Transaction) -> Value | None:
        end = transaction.ends[client]
        return address_of(end[0]) if not part else end[1] if address_of(end[0]) is not None else None

    return read


def _local(client: int) -> Callable[[Transaction], Value | None]:
    def read(transaction: Transaction) -> Value | None:
        ends = transaction.ends
        return is_ours(ends[client][0], ends[1][0])

    return read


FETCHES: Final[dict[str, Fetch]] = {
    "fc_src": about(
        "ip", CONNECTION, _end(0, 0), "who connected: src without what a PROXY header or rules say"
    ),
    "fc_src_port": about("int", CONNECTION, _end(0, 1), "the same of src_port"),
    "fc_dst": about("ip", CONNECTION, _end(1, 0), "the same of dst"),
    "fc_dst_port": about("int", CONNECTION, _end(1, 1), "the same of dst_port"),
    "fc_src_is_local": about("bool", CONNECTION, _local(0), "is fc_src one of ours, or loopback?"),
    "fc_dst_is_local": about("bool", CONNECTION, _local(1), "is fc_dst one of ours?"),
    "fc_rcvd_proxy": about("bool", CONNECTION, lambda a: a.proxied, "did it begin with a PROXY header?"),
    "fc_pp_authority": about(
        "str", CONNECTION, lambda a: a.conveyed(_AUTHORITY) or None, "the server name in the PROXY header"
    ),
    "fc_pp_unique_id": about(
        "str", CONNECTION, lambda a: a.conveyed(_UNIQUE_ID) or None, "the unique ID in the PROXY header"
    ),
    **{name: _count(*one) for name, one in _COUNTS.items()},
    **{name: _time(*one) for name, one in _TIMES.items()},
    "bc_src": about("ip", RESPONSE, lambda a: address_of(a.outgoing[0]), "our address towards the server"),
    "bc_src_port": about("int", RESPONSE, lambda a: a.outgoing[1], "our port towards the server"),
    "bc_dst": about("ip", RESPONSE, lambda a: address_of(a.target[0]), "the server's address"),
    "bc_dst_port": about("int", RESPONSE, lambda a: a.target[1], "the server's port"),
    "bc_http_major": about(
        "int",
        RESPONSE,
        lambda a: 1 if a.server is not None else None,
        "the HTTP version of the server's connection",
    ),
    "fe_client_timeout": about(
        "int", ALWAYS, lambda a: _milliseconds(a.frontend.client_timeout), "timeout.client, in ms"
    ),
    "be_server_timeout": _of_backend(
        lambda a: a.backend.server_timeout if a.backend else None, "timeout.server of its backend, in ms"
    ),
    "be_tunnel_timeout": _of_backend(
        lambda a: a.backend.tunnel_timeout if a.backend else None, "timeout.tunnel of its backend, in ms"
    ),
    "cur_server_timeout": _of_backend(
        lambda a: a.server_timeout, "timeout.server, or what set-timeout has made of it, in ms"
    ),
    "cur_tunnel_timeout": _of_backend(
        lambda a: a.tunnel_timeout, "timeout.tunnel, or what set-timeout has made of it, in ms"
    ),
}
