"""Fetches of an HTTP request: target, headers, cookies, parameters, body (section 7.3.6).

A negative occurrence counts from the last; without one a plain sample is the last,
and an ACL tries them all.

Longer than most files: it is the manual's section, fetch by fetch.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hapair import hashes
from hapair.rules import arguments
from hapair.rules.fetch import ALWAYS, REQUEST, RESPONSE, Fetch, Read, ReadEach, about, simple
from hapair.rules.fetch_connection import address_of
from hapair.rules.values import Binary, address, leading_number

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.facts import Facts
    from hapair.rules.values import Value

Lines = Callable[["Facts"], "list[bytes] | None"]
"""Start line and header lines of a message; None while there is none."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUOTED_OR_COMMA: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|,', re.DOTALL)
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://")
_AUTHORITY_PORT: Final = re.compile(rb":([0-9]+)\Z")


def elements(value: bytes) -> list[bytes]:
    """The elements of a comma-separated header value; commas in quoted strings do not count."""
    if b'"' not in value:
        return [element.strip(b" \t") for element in value.split(b",")]
    found = []
    start = 0
    for match in _QUOTED_OR_COMMA.finditer(value):
        if match[0] == b",":
            found.append(value[start : match.start()].strip(b" \t"))
            start = match.end()
    found.append(value[start:].strip(b" \t"))
    return found


def request_lines(facts: Facts) -> list[bytes] | None:
    """The request's."""
    return facts.about.request_lines if facts.about is not None else None


def response_lines(facts: Facts) -> list[bytes] | None:
    """The response's."""
    return facts.about.response_lines if facts.about is not None else None


def header_name(text: str) -> bytes:
    """The name of a header in small letters.

    Raises:
        ValueError: it is none.
    """
    if _TOKEN.fullmatch(text) is None:
        raise ValueError(text)
    return text.lower().encode()


def _values(lines: list[bytes] | None, name: bytes) -> list[bytes]:
    size = len(name)
    return [
        line[size + 1 :].strip(b" \t")
        for line in (lines or ())[1:]
        if line[size : size + 1] == b":" and line[:size].lower() == name
    ]


def _every(lines: list[bytes] | None) -> list[bytes]:
    return [line.partition(b":")[2].strip(b" \t") for line in (lines or ())[1:]]


def _all(call: Call, lines: Lines, *, whole: bool) -> Callable[[Facts], list[bytes]]:
    """Every occurrence of the header that a call names; of any header if it names none."""
    if call.given(0) is None:
        if whole:
            return lambda facts: _every(lines(facts))
        return lambda facts: [one for value in _every(lines(facts)) for one in elements(value)]
    name: bytes = call.take(0, header_name, "the name of a header")
    of_request = lines is request_lines
    if of_request and name == b"host":
        # There is one at most and it is no list: whoever parsed the request saw to that.
        return lambda facts: [] if facts.host is None else [facts.host]

    def lists(facts: Facts) -> list[bytes]:
        values = facts.header(name) if of_request else _values(lines(facts), name)
        if whole or name == b"set-cookie":
            return values
        return [one for value in values for one in elements(value)] if values else values

    return lists


def _occurrence(call: Call, at: int) -> int:
    number: int = call.take(at, arguments.number, "a number") if call.given(at) else -1
    if number < -10 or not number:
        raise call.mistake("occurrences are 1, 2... from the first and -1 to -10 from the last")
    return number


def _pick(found: list[bytes], occurrence: int) -> bytes | None:
    at = occurrence - 1 if occurrence > 0 else len(found) + occurrence
    return found[at] if 0 <= at < len(found) else None


def header(lines: Lines, since: int, meaning: str, *, whole: bool) -> Fetch:
    """A header's value: a whole line's, or an element of a comma-separated list."""

    def make(call: Call) -> Read:
        values = _all(call, lines, whole=whole)
        occurrence = _occurrence(call, 1)
        return lambda facts: _pick(values(facts), occurrence)

    def each(call: Call) -> ReadEach:
        values = _all(call, lines, whole=whole)
        if call.given(1) is None:
            return values
        one = make(call)
        return lambda facts: () if (value := one(facts)) is None else (value,)

    return Fetch("str", since, make, meaning, most=2, each=each)


def count(lines: Lines, since: int, meaning: str, *, whole: bool) -> Fetch:
    """How many there are."""

    def make(call: Call) -> Read:
        values = _all(call, lines, whole=whole)
        return lambda facts: len(values(facts))

    return Fetch("int", since, make, meaning, most=1)


def converted(fetch: Fetch, gives: str, function: Callable[[bytes], Value | None], meaning: str) -> Fetch:
    """The same as another type."""

    def make(call: Call) -> Read:
        read = fetch.make(call)

        def one(facts: Facts) -> Value | None:
            value = read(facts)
            return function(value) if isinstance(value, bytes) else None

        return one

    def each(call: Call) -> ReadEach:
        assert fetch.each is not None
        read = fetch.each(call)
        return lambda facts: [
            v for t in read(facts) if isinstance(t, bytes) and (v := function(t)) is not None
        ]

    return Fetch(gives, fetch.since, make, meaning, fetch.most, each)  # type: ignore[arg-type]


def names(lines: Lines, since: int, meaning: str) -> Fetch:
    """The names of all headers, with a delimiter between."""

    def make(call: Call) -> Read:
        delimiter = (call.given(0) or ",").encode()

        def read(facts: Facts) -> Value | None:
            known = lines(facts)
            if known is None:
                return None
            return delimiter.join(line.partition(b":")[0].lower() for line in known[1:])

        return read

    return Fetch("str", since, make, meaning, most=1)


def whole(lines: Lines, since: int, meaning: str) -> Fetch:
    """All header lines as HTTP/1 has them, and the empty one behind them."""

    def read(facts: Facts) -> Value | None:
        known = lines(facts)
        if known is None:
            return None
        return Binary(b"".join(b"%b: %b\r\n" % one for one in _pairs(known)) + b"\r\n")

    return simple("bin", since, read, meaning)


def whole_binary(lines: Lines, since: int, meaning: str) -> Fetch:
    """The same as SPOE has them: names and values behind their lengths, an empty pair at the end."""

    def read(facts: Facts) -> Value | None:
        known = lines(facts)
        if known is None:
            return None
        parts = [part for pair in (*_pairs(known), (b"", b"")) for part in pair]
        return Binary(b"".join(_spoe_length(len(part)) + part for part in parts))

    return simple("bin", since, read, meaning)


def _pairs(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines[1:])
    ]


def _spoe_length(number: int) -> bytes:
    """SPOE's variable integer (SPOE.txt, section 3.1)."""
    if number < 240:
        return bytes([number])
    out = bytearray([number & 0xFF | 240])
    number = number - 240 >> 4
    while number >= 128:
        out.append(number & 0xFF | 128)
        number = number - 128 >> 7
    out.append(number)
    return bytes(out)


def cookies(lines: Lines, since: int, name: bytes, meaning: str) -> Fetch:
    """A cookie's value in Cookie (`name`) or Set-Cookie headers."""

    def found(call: Call) -> Callable[[Facts], list[bytes]]:
        wanted = (call.given(0) or "").encode()

        def values(facts: Facts) -> list[bytes]:
            out = []
            for value in facts.header(name) if lines is request_lines else _values(lines(facts), name):
                if value.find(wanted) < 0:
                    continue  # by far the most frequent
                for pair in value.split(b";") if name == b"cookie" else [value.partition(b";")[0]]:
                    key, equals, text = pair.partition(b"=")
                    if equals and (not wanted or key.strip(b" \t") == wanted):
                        out.append(text.strip(b' \t"'))
            return out

        return values

    def make(call: Call) -> Read:
        values = found(call)
        return lambda facts: _pick(values(facts), -1)

    return Fetch("str", since, make, meaning, most=1, each=found)


def counted(fetch: Fetch, meaning: str) -> Fetch:
    """How many occurrences another fetch has."""

    def make(call: Call) -> Read:
        assert fetch.each is not None
        each = fetch.each(call)
        return lambda facts: len(list(each(facts)))

    return Fetch("int", fetch.since, make, meaning, most=1)


def _parameters(
    call: Call, text: Callable[[Facts], bytes], delimiter: bytes
) -> Callable[[Facts], list[bytes]]:
    wanted = (call.given(0) or "").encode()

    def values(facts: Facts) -> list[bytes]:
        given = text(facts)
        if given.find(wanted) < 0:
            return []  # by far the most frequent
        pairs = (pair.partition(b"=") for pair in given.split(delimiter))
        return [value for key, equals, value in pairs if equals and (not wanted or key == wanted)]

    return values


def _url_param() -> Fetch:
    def found(call: Call) -> Callable[[Facts], list[bytes]]:
        delimiter = call.given(1) or "?"
        if delimiter == "?":
            return _parameters(call, lambda facts: facts.query, b"&")

        def behind(facts: Facts) -> bytes:
            return (facts.path + b"?" + facts.query).partition(delimiter.encode())[2]

        return _parameters(call, behind, delimiter.encode())

    def make(call: Call) -> Read:
        values = found(call)
        return lambda facts: _pick(values(facts), 1)

    return Fetch(
        "str", REQUEST, make, "a parameter of the URL, by name; after ? or a delimiter", most=2, each=found
    )


def _body_param(call: Call) -> Read:
    values = _parameters(call, lambda facts: facts.about.body if facts.about is not None else b"", b"&")
    return lambda facts: _pick(values(facts), 1)


def _target(facts: Facts) -> bytes:
    return facts.about.request_target if facts.about is not None else b""


def _pathq(facts: Facts) -> bytes | None:
    path = facts.path
    if not path:
        return None
    target = _target(facts)
    query = facts.query
    return path + b"?" + query if query or (b"?" in target and target.startswith(path)) else path


def _base(facts: Facts) -> bytes | None:
    return (facts.host or b"") + facts.path


def _baseq(facts: Facts) -> bytes | None:
    return (facts.host or b"") + (_pathq(facts) or b"")


def _url(facts: Facts) -> bytes | None:
    return _target(facts) or None


def _hash32(value: bytes | None) -> int | None:
    return None if value is None else hashes.avalanche(hashes.sdbm(value))


def _with_source(read: Callable[[Facts], bytes | None]) -> Read:
    def both(facts: Facts) -> Value | None:
        number = _hash32(read(facts))
        source = address_of(facts.source)
        if number is None:
            return None
        return Binary(number.to_bytes(4, "big") + (source.packed if source is not None else b""))

    return both


def _authority(facts: Facts) -> bytes:
    target = _target(facts)
    found = _ABSOLUTE.match(target)
    return re.split(rb"[/?]", target[found.end() :], maxsplit=1)[0] if found is not None else b""


def _url_ip(facts: Facts) -> Value | None:
    return address(_AUTHORITY_PORT.sub(b"", _authority(facts)).strip(b"[]"))


def _url_port(facts: Facts) -> Value | None:
    found = _AUTHORITY_PORT.search(_authority(facts))
    return leading_number(found[1]) if found is not None else 0


def basic_credentials(facts: Facts) -> tuple[str, str] | None:
    """User and password of an Authorization header."""
    found = facts.header(b"authorization")
    if not found:
        return None
    kind, _, text = found[0].partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def _auth_type(facts: Facts) -> Value | None:
    found = facts.header(b"authorization")
    return found[0].partition(b" ")[0] if found else None


def _bearer(call: Call) -> Read:
    name: bytes = call.take(0, header_name, "the name of a header") if call.given(0) else b"authorization"

    def read(facts: Facts) -> Value | None:
        for value in facts.header(name):
            kind, _, text = value.partition(b" ")
            if kind.lower() == b"bearer":
                return text.strip()
        return None

    return read


def _captured(call: Call) -> Read:
    at = call.take(0, arguments.number, "a number")

    def read(facts: Facts) -> Value | None:
        known = facts.about.captured if facts.about is not None else []
        return known[at] if 0 <= at < len(known) else None

    return read


def _captured_response(call: Call) -> Read:
    at = call.take(0, arguments.number, "a number")

    def read(facts: Facts) -> Value | None:
        known = facts.about.captured_response if facts.about is not None else []
        return known[at] if 0 <= at < len(known) else None

    return read


_HDR: Final = header(
    request_lines, REQUEST, "a header: element of a list, by name and occurrence", whole=False
)
_SHDR: Final = header(response_lines, RESPONSE, "a response header: element of a list", whole=False)
_FHDR: Final = header(request_lines, REQUEST, "a header as a whole, by name and occurrence", whole=True)
_COOK: Final = cookies(request_lines, REQUEST, b"cookie", "a cookie by name")
_SCOOK: Final = cookies(response_lines, RESPONSE, b"set-cookie", "a cookie that the server sets")
_URLP: Final = _url_param()
_VERSION: Final = about("str", REQUEST, lambda a: b"1.%d" % (a.version - 10), "the request's HTTP version")
_RESPONSE_VERSION: Final = about(
    "str",
    RESPONSE,
    lambda a: b"1.%d" % (a.response_version - 10) if a.response_lines else None,
    "the response's",
)
_HDR_IP: Final = converted(_HDR, "ip", lambda t: address(t.strip(b"[]")), "a header as an address")
_HDR_VAL: Final = converted(_HDR, "int", leading_number, "a header as a number")
_HDR_CNT: Final = count(request_lines, REQUEST, "how many elements a header has", whole=False)

FETCHES: Final[dict[str, Fetch]] = {
    "method": simple("meth", REQUEST, lambda facts: facts.method or None, "the method"),
    "path": simple("str", REQUEST, lambda facts: facts.path or None, "the path, without the query string"),
    "query": simple("str", REQUEST, lambda facts: facts.query or None, "what follows the first ?"),
    "pathq": simple("str", REQUEST, _pathq, "path and query string"),
    "url": simple("str", REQUEST, _url, "the target of the request line"),
    "url_ip": simple("ip", REQUEST, _url_ip, "the address in an absolute target"),
    "url_port": simple("int", REQUEST, _url_port, "the port in an absolute target, or 0"),
    "base": simple("str", REQUEST, _base, "Host and path"),
    "baseq": simple("str", REQUEST, _baseq, "Host, path and query string"),
    "base32": simple("int", REQUEST, lambda facts: _hash32(_base(facts)), "a hash of base"),
    "base32+src": simple("bin", REQUEST, _with_source(_base), "the same, followed by src"),
    "url32": simple("int", REQUEST, lambda facts: _hash32(_baseq(facts)), "a hash of Host and target"),
    "url32+src": simple("bin", REQUEST, _with_source(_baseq), "the same, followed by src"),
    "req.ver": _VERSION,
    "req_ver": _VERSION,
    "req.hdr": _HDR,
    "hdr": _HDR,
    "req.fhdr": _FHDR,
    "req.hdr_cnt": _HDR_CNT,
    "hdr_cnt": _HDR_CNT,
    "req.fhdr_cnt": count(request_lines, REQUEST, "how many lines a header has", whole=True),
    "req.hdr_ip": _HDR_IP,
    "hdr_ip": _HDR_IP,
    "req.hdr_val": _HDR_VAL,
    "hdr_val": _HDR_VAL,
    "req.hdr_names": names(request_lines, REQUEST, "the names of all headers"),
    "req.hdrs": whole(request_lines, REQUEST, "all headers, and the empty line behind them"),
    "req.hdrs_bin": whole_binary(request_lines, REQUEST, "the same as SPOE has them"),
    "req.cook": _COOK,
    "cook": _COOK,
    "cookie": _COOK,
    "req.cook_cnt": counted(_COOK, "how many cookies of a name there are"),
    "cook_cnt": counted(_COOK, "how many cookies of a name there are"),
    "req.cook_val": converted(_COOK, "int", leading_number, "a cookie as a number"),
    "cook_val": converted(_COOK, "int", leading_number, "a cookie as a number"),
    "urlp": _URLP,
    "url_param": _URLP,
    "urlp_val": converted(_URLP, "int", leading_number, "a parameter of the URL as a number"),
    "req.body": about("bin", REQUEST, lambda a: Binary(a.body), "what has come of the body"),
    "req.body_len": about("int", REQUEST, lambda a: len(a.body), "how much of the body has come"),
    "req.body_size": about("int", REQUEST, lambda a: a.body_size, "how large the body says it is"),
    "req.body_param": Fetch("str", REQUEST, _body_param, "a parameter of a form in the body", most=1),
    "req.proto_http": simple("bool", REQUEST, lambda facts: bool(facts.method), "is it HTTP?"),
    "req_proto_http": simple("bool", REQUEST, lambda facts: bool(facts.method), "is it HTTP?"),
    "http_first_req": about("bool", REQUEST, lambda a: a.transfers <= 1, "the first of this connection?"),
    "http_auth_user": simple(
        "str", REQUEST, lambda f: (c := basic_credentials(f)) and c[0].encode(), "the user"
    ),
    "http_auth_pass": simple(
        "str", REQUEST, lambda f: (c := basic_credentials(f)) and c[1].encode(), "the password"
    ),
    "http_auth_type": simple("str", REQUEST, _auth_type, "the scheme of Authorization"),
    "http_auth_bearer": Fetch("str", REQUEST, _bearer, "the token of a Bearer authorization", most=1),
    "capture.req.hdr": Fetch("str", REQUEST, _captured, "what was captured, by number", most=1),
    "capture.res.hdr": Fetch(
        "str", RESPONSE, _captured_response, "what was captured of the response, by number", most=1
    ),
    "capture.req.method": simple("str", REQUEST, lambda facts: facts.method or None, "the method as it came"),
    "capture.req.ver": about(
        "str", REQUEST, lambda a: b"HTTP/1.%d" % (a.version - 10), "the request's version, HTTP/1.1"
    ),
    "capture.res.ver": about(
        "str",
        RESPONSE,
        lambda a: b"HTTP/1.%d" % (a.response_version - 10) if a.response_lines else None,
        "the response's",
    ),
    "capture.req.uri": simple("str", REQUEST, _url, "the target as it came"),
    "unique-id": about("str", ALWAYS, lambda a: a.unique_id, "the request's unique-id"),
    "status": about("int", RESPONSE, lambda a: a.status or None, "the response's status"),
    "txn.status": about("int", RESPONSE, lambda a: a.status or None, "the status that the client gets"),
    "res.ver": _RESPONSE_VERSION,
    "resp_ver": _RESPONSE_VERSION,
    "res.hdr": _SHDR,
    "shdr": _SHDR,
    "res.fhdr": header(response_lines, RESPONSE, "a response header as a whole", whole=True),
    "res.hdr_cnt": count(response_lines, RESPONSE, "how many elements a response header has", whole=False),
    "shdr_cnt": count(response_lines, RESPONSE, "how many elements a response header has", whole=False),
    "res.fhdr_cnt": count(response_lines, RESPONSE, "how many lines a response header has", whole=True),
    "res.hdr_ip": converted(_SHDR, "ip", address, "a response header as an address"),
    "shdr_ip": converted(_SHDR, "ip", address, "a response header as an address"),
    "res.hdr_val": converted(_SHDR, "int", leading_number, "a response header as a number"),
    "shdr_val": converted(_SHDR, "int", leading_number, "a response header as a number"),
    "res.hdr_names": names(response_lines, RESPONSE, "the names of all response headers"),
    "res.hdrs": whole(response_lines, RESPONSE, "all response headers, and the empty line behind them"),
    "res.hdrs_bin": whole_binary(response_lines, RESPONSE, "the same as SPOE has them"),
    "res.cook": _SCOOK,
    "scook": _SCOOK,
    "res.cook_cnt": counted(_SCOOK, "how many cookies the server sets"),
    "scook_cnt": counted(_SCOOK, "how many cookies the server sets"),
    "res.cook_val": converted(_SCOOK, "int", leading_number, "a cookie that the server sets as a number"),
    "scook_val": converted(_SCOOK, "int", leading_number, "a cookie that the server sets as a number"),
}
