"""Fetches of layers 4 to 6: addresses, ports, what a stream brings (sections 7.3.3 to 7.3.5).

The ssl_ fetches stay empty until hapair ends TLS itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from hapair.rules import arguments
from hapair.rules.fetch import CONNECTION, RESPONSE, STREAM, Fetch, Read, about, simple
from hapair.rules.values import Address, Binary

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.client_hello import Hello
    from hapair.rules.facts import Facts, Transaction
    from hapair.rules.values import Kind, Value


@lru_cache(8192)
def address_of(text: str) -> Address | None:
    """The address of a client; None for a unix socket's.  An IPv4 one in IPv6 dress counts as IPv4."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if address.version == 6 else address


@lru_cache(8192)
def source_text(text: str) -> bytes:
    """A client's address as it is printed; nothing for a unix socket's."""
    address = address_of(text)
    return b"" if address is None else str(address).encode()


def _hello(facts: Facts) -> Hello | None:
    transaction = facts.about
    return None if transaction is None else transaction.hello


def _server_name(facts: Facts) -> Value | None:
    hello = _hello(facts)
    return (hello.server_name or None) if hello is not None else None


def _hello_type(facts: Facts) -> Value | None:
    hello = _hello(facts)
    return None if hello is None else hello.kind


def _of_hello(gives: Kind, read: Callable[[Hello], Value | None], meaning: str) -> Fetch:
    def asked(facts: Facts) -> Value | None:
        hello = _hello(facts)
        return read(hello) if hello is not None and hello.kind == 1 else None

    return simple(gives, STREAM, asked, meaning)


def _rdp_cookie(call: Call) -> Callable[[Facts], tuple[bytes | None, bool]]:
    """The value of the one cookie with which RDP begins, None if it has another name; may it still come?"""
    wanted = re.escape((call.given(0) or "").encode()) or rb"[^=\r\n]*"
    cookie = re.compile(rb".{11}cookie: *" + wanted + rb"=([^\r]*)(\r\n|\r?\Z)", re.DOTALL | re.IGNORECASE)

    def read(facts: Facts) -> tuple[bytes | None, bool]:
        data = b"" if facts.about is None else facts.about.payload[:_RDP_LONGEST]
        found = cookie.match(data)
        if found is None:
            return None, len(data) <= _RDP_LEAST
        return (found[1], False) if found[2] == b"\r\n" else (None, True)

    return read


def _rdp_value(call: Call) -> Read:
    read = _rdp_cookie(call)
    return lambda facts: read(facts)[0]


def _rdp_count(call: Call) -> Read:
    read = _rdp_cookie(call)

    def count(facts: Facts) -> Value | None:
        value, may_come = read(facts)
        return None if may_come else int(value is not None)

    return count


def _payload(data: bytes, offset: int, length: int) -> Binary | None:
    if len(data) < offset + length or (not length and len(data) <= offset):
        return None
    return Binary(data[offset : offset + length] if length else data[offset:])


Payload = Callable[["Transaction"], bytes]
"""What has come of a stream, from the client or from the server."""


def _of_client(transaction: Transaction) -> bytes:
    return transaction.payload


def _of_server(transaction: Transaction) -> bytes:
    return transaction.response_payload


def _read_payload(data: Payload) -> Callable[[Call], Read]:
    def make(call: Call) -> Read:
        offset = call.take(0, arguments.number, "a number")
        length = call.take(1, arguments.number, "a number")
        if offset < 0 or length < 0:
            raise call.mistake("counts from 0")
        return lambda facts: None if facts.about is None else _payload(data(facts.about), offset, length)

    return make


def _read_payload_lv(data: Payload) -> Callable[[Call], Read]:
    """What follows a length that itself is `size` bytes at `offset`; a third number says where it begins."""

    def make(call: Call) -> Read:
        offset = call.take(0, arguments.number, "a number")
        size = call.take(1, arguments.number, "a number")
        third = call.given(2)
        start = call.take(2, arguments.number, "a number") if third else 0
        relative = third is None or third[0] in "+-"
        if offset < 0 or not 0 < size <= 8:
            raise call.mistake("a length is at 0 or later and has 1 to 8 bytes")

        def read(facts: Facts) -> Value | None:
            if facts.about is None:
                return None
            come = data(facts.about)
            head = _payload(come, offset, size)
            if head is None:
                return None
            begin = offset + size + start if relative else start
            length = int.from_bytes(head, "big")
            return _payload(come, begin, length) if begin >= 0 and length else None

        return read

    return make


def _server_hello(transaction: Transaction) -> int | None:
    """A handshake record whose first message is a ServerHello (RFC 8446 section 5.1); the type of another."""
    data = transaction.response_payload
    if len(data) < 6:
        return None
    return data[5] if data[0] == 0x16 and data[1] == 3 and data[5] in (1, 2) else 0


def is_ours(address: str, local: str) -> bool | None:
    """Is an address one of ours, as far as the one that a client connected to tells?"""
    known = address_of(address)
    if known is None:
        return None
    return known.is_loopback or known == address_of(local)


_SNI: Final = simple("str", STREAM, _server_name, "the server name of a ClientHello")
_HELLO_TYPE: Final = simple("int", STREAM, _hello_type, "1 for a ClientHello, 0 for anything else")
_SSL_VERSION: Final = _of_hello(
    "int", lambda h: h.version >> 8 << 16 | h.version & 0xFF, "the TLS version of a ClientHello; 3.3 in ACLs"
)
_RDP_COOKIE: Final = Fetch("str", STREAM, _rdp_value, "the cookie that RDP begins with, by name", most=1)
_RDP_COUNT: Final = Fetch("int", STREAM, _rdp_count, "1 if RDP begins with a cookie of that name", most=1)
_RDP_LEAST: Final = 18
_RDP_LONGEST: Final = 512
"""Bytes in which there may be a cookie, and in which it must be complete."""
DOTTED: Final = frozenset({"req.ssl_ver", "req_ssl_ver"})
"""Numbers that ACLs write as MAJOR.MINOR."""
_LENGTH: Final = about("int", STREAM, lambda a: len(a.payload), "bytes that have come of a stream")
_NO_TLS: Final[tuple[tuple[Kind, str], ...]] = (
    ("bool", "ssl_fc ssl_fc_has_sni ssl_fc_has_crt ssl_fc_is_resumed ssl_c_used"),
    ("str", "ssl_fc_sni ssl_fc_alpn ssl_fc_cipher ssl_fc_protocol ssl_c_s_dn ssl_c_i_dn ssl_bc_protocol"),
    ("int", "ssl_c_verify ssl_fc_err ssl_c_err ssl_fc_use_keysize ssl_fc_alg_keysize"),
    ("bin", "ssl_c_sha1 ssl_c_serial ssl_c_der ssl_fc_session_id"),
)


def _nothing(_call: Call) -> Read:
    return lambda _facts: None


FETCHES: Final[dict[str, Fetch]] = {
    "src": simple("ip", CONNECTION, lambda facts: address_of(facts.source), "the client's address"),
    "src_port": about("int", CONNECTION, lambda a: a.source_port, "the client's port"),
    "dst": about("ip", CONNECTION, lambda a: address_of(a.local), "the address that it connected to"),
    "dst_port": about("int", CONNECTION, lambda a: a.local_port, "the port that it connected to"),
    "dst_is_local": about("bool", CONNECTION, lambda a: is_ours(a.local, a.local), "is dst one of ours?"),
    "src_is_local": Fetch(
        "bool",
        CONNECTION,
        lambda _call: lambda facts: None if facts.about is None else is_ours(facts.source, facts.about.local),
        "is src one of ours, or loopback?",
    ),
    "wait_end": about("bool", STREAM, lambda a: not a.waits, "is the inspect delay over?"),
    "fc_http_major": simple("int", CONNECTION, lambda _: 1, "the HTTP version of the client's connection"),
    "req.ssl_sni": _SNI,
    "req_ssl_sni": _SNI,
    "req.ssl_hello_type": _HELLO_TYPE,
    "req_ssl_hello_type": _HELLO_TYPE,
    "req.ssl_ver": _SSL_VERSION,
    "req_ssl_ver": _SSL_VERSION,
    "req.ssl_alpn": _of_hello(
        "str", lambda h: h.protocol or None, "the first protocol of a ClientHello's ALPN"
    ),
    "req.ssl_ec_ext": _of_hello("bool", lambda h: h.has_curves or None, "does a ClientHello name curves?"),
    "req.ssl_st_ext": _of_hello(
        "int",
        lambda h: None if h.ticket is None else (h.ticket >= 0) + (h.ticket > 0),
        "of a ClientHello: 1 for the session ticket extension, 2 for a ticket, 0 for neither",
    ),
    "req.rdp_cookie": _RDP_COOKIE,
    "rdp_cookie": _RDP_COOKIE,
    "req.rdp_cookie_cnt": _RDP_COUNT,
    "rdp_cookie_cnt": _RDP_COUNT,
    "req.len": _LENGTH,
    "req_len": _LENGTH,
    "req.payload": Fetch(
        "bin", STREAM, _read_payload(_of_client), "bytes of a stream: offset, length (0: all)", most=2
    ),
    "payload": Fetch(
        "bin", STREAM, _read_payload(_of_client), "bytes of a stream: offset, length (0: all)", most=2
    ),
    "req.payload_lv": Fetch(
        "bin", STREAM, _read_payload_lv(_of_client), "bytes of a stream behind their length", most=3
    ),
    "res.len": about("int", RESPONSE, lambda a: len(a.response_payload), "bytes that have come of a server"),
    "res.payload": Fetch(
        "bin",
        RESPONSE,
        _read_payload(_of_server),
        "bytes of a server's stream: offset, length (0: all)",
        most=2,
    ),
    "res.payload_lv": Fetch(
        "bin",
        RESPONSE,
        _read_payload_lv(_of_server),
        "bytes of a server's stream behind their length",
        most=3,
    ),
    "res.cache_hit": about("bool", RESPONSE, lambda a: a.is_kept, "does the response come from a cache?"),
    "res.cache_name": about("str", RESPONSE, lambda a: a.kept_in.encode() or None, "and from which"),
    "res.comp": about("bool", RESPONSE, lambda a: bool(a.compressed), "is the response compressed?"),
    "res.comp_algo": about("str", RESPONSE, lambda a: a.compressed.encode() or None, "and how"),
    "res.ssl_hello_type": about(
        "int", RESPONSE, _server_hello, "2 for a TLS ServerHello, 0 for anything else"
    ),
    "rep_ssl_hello_type": about(
        "int", RESPONSE, _server_hello, "2 for a TLS ServerHello, 0 for anything else"
    ),
    "payload_lv": Fetch(
        "bin", STREAM, _read_payload_lv(_of_client), "bytes of a stream behind their length", most=3
    ),
}
FETCHES.update(
    {
        name: Fetch(kind, CONNECTION, _nothing, "empty: hapair does not end TLS", most=3)
        for kind, names in _NO_TLS
        for name in names.split()
    }
)
