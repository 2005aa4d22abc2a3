"""Converters of texts and bytes (configuration manual, section 7.3.1)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes

from hapair.rules import arguments
from hapair.rules.converter import Converter, plain
from hapair.rules.lexer import RuleError
from hapair.rules.patience import regular
from hapair.rules.values import Binary, leading_number, wrapped

if TYPE_CHECKING:
    from hapair.rules.arguments import Call
    from hapair.rules.converter import Convert
    from hapair.rules.pattern_files import Files

_HEX: Final = re.compile(rb"[0-9A-Fa-f]*")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")
_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_BASE64_URL: Final = re.compile(rb"[A-Za-z0-9_-]*")
_JSON: Final = {34: '\\"', 92: "\\\\", 47: "\\/", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t"}
_SEQUENCE: Final = re.compile(
    rb"[\x00-\x7f]|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}"
    rb"|[\xf8-\xfb][\x80-\xbf]{4}|[\xfc\xfd][\x80-\xbf]{5}|[\x80-\xff]"
)
"""What UTF-8 once allowed, or one byte that is nothing."""
_LEAST: Final = (0, 0, 0x80, 0x800, 0x10000, 0x200000, 0x4000000)
"""By length: below it a sequence is longer than it must be."""
_WEIGHT: Final = re.compile(rb"[ \t]*q=0(?![0-9])\.?([0-9]{0,3})")
_PORT: Final = re.compile(rb":([0-9]*)\Z")


def _trim(side: Callable[[bytes, bytes], bytes], meaning: str) -> Converter:
    def make(call: Call, _files: Files) -> Convert:
        characters = call.take(0, str.encode, "characters")
        return lambda value, _facts: side(value, characters)

    return Converter("str", "str", make, meaning, most=1)


def _part(*, words: bool) -> Callable[[Call, Files], Convert]:
    """`word` takes runs of delimiters for one, and none at either end; `field` does not."""

    def make(call: Call, _files: Files) -> Convert:
        index = call.take(0, arguments.number, "a number")
        delimiters = call.take(1, str.encode, "delimiters")
        count = call.take(2, arguments.number, "a number") if call.given(2) else 1
        if not index or count < 0:
            raise call.mistake("the first is 1 and the last -1; a count is not negative")
        others = re.compile(b"[^" + re.escape(delimiters) + (b"]+" if words else b"]*"))
        end = re.compile(b"[" + re.escape(delimiters) + b"]")

        def convert(value: bytes, _facts: object) -> bytes | None:
            spans = [m.span() for m in others.finditer(value)] if words else _fields(end, value)
            if index > 0:
                chosen = spans[index - 1 : index - 1 + count] if count else spans[index - 1 :]
            else:
                last = len(spans) + index + 1
                chosen = spans[max(0, last - count) if count else 0 : last] if last > 0 else []
            return value[chosen[0][0] : chosen[-1][1]] if chosen else (b"" if words else None)

        return convert

    return make


def _fields(end: re.Pattern[bytes], value: bytes) -> list[tuple[int, int]]:
    spans = []
    start = 0
    for found in end.finditer(value):
        spans.append((start, found.start()))
        start = found.end()
    return [*spans, (start, len(value))]


def _language(call: Call, _files: Files) -> Convert:
    known = frozenset(call.take(0, str.encode, "languages such as es;fr;en").split(b";"))
    default = (call.given(1) or "").encode() or None

    def convert(value: bytes, _facts: object) -> bytes | None:
        chosen, weight = default, 0
        for element in value.split(b","):
            text, _, parameter = element.partition(b";")
            words = text.split()
            if len(words) != 1:
                continue  # a language is one word: this names none, as in HAProxy
            (name,) = words
            if name not in known:
                name = name.partition(b"-")[0]
            if name in known and (asked := _thousandths(parameter)) > weight:
                chosen, weight = name, asked
        return chosen

    return convert


def _thousandths(parameter: bytes) -> int:
    """A weight (RFC 9110 section 12.4.2); what is none counts as the whole, as in HAProxy."""
    found = _WEIGHT.match(parameter)
    return 1000 if found is None else int(found[1].ljust(3, b"0"))


def _bytes(call: Call, _files: Files) -> Convert:
    offset = call.take(0, arguments.number, "a number")
    length = call.take(1, arguments.number, "a number") if call.given(1) else None
    if offset < 0 or (length or 0) < 0:
        raise call.mistake("counts from 0")

    end = None if length is None else offset + length
    return lambda value, _facts: Binary(value[offset:end])


def _hex_number(value: bytes) -> int | None:
    if _HEX.fullmatch(value) is None:
        return None
    return wrapped(int(value or b"0", 16) % (1 << 64))


def _unbase64(value: bytes) -> Binary | None:
    return Binary(base64.b64decode(value)) if _BASE64.fullmatch(value) else None


def _unbase64_url(value: bytes) -> Binary | None:
    if _BASE64_URL.fullmatch(value) is None or len(value) % 4 == 1:
        return None
    try:
        return Binary(base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)))
    except binascii.Error:
        return None


def _url_enc(call: Call, _files: Files) -> Convert:
    if call.given(0) not in (None, "query"):
        raise call.mistake('knows only the encoding "query"')
    return lambda value, _facts: quote_from_bytes(value, safe="").encode()


def _url_dec(call: Call, _files: Files) -> Convert:
    form = bool(call.take(0, arguments.number, "0 or 1")) if call.given(0) else False

    def convert(value: bytes, _facts: object) -> bytes | None:
        before, question, after = (b"", b"", value) if form else value.partition(b"?")
        value = before + question + after.replace(b"+", b" ")
        broken = any(found[1] is None for found in _PERCENT.finditer(value))
        return None if broken else _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), value)

    return convert


def _json(call: Call, _files: Files) -> Convert:
    code = call.given(0) or "ascii"
    if code not in ("ascii", "utf8", "utf8s", "utf8p", "utf8ps"):
        raise call.mistake("the input is ascii, utf8, utf8s, utf8p or utf8ps")
    if code == "ascii":
        return lambda value, _facts: _escaped(value)
    fixes, removes = "p" in code, code.endswith("s")

    def convert(value: bytes, _facts: object) -> bytes | None:
        if value.isascii():
            return _escaped(value)
        points = _code_points(value, overlong=fixes)
        return None if -1 in points and not removes else _escaped(points)

    return convert


def _escaped(points: Iterable[int]) -> bytes:
    """Characters as they are in a JSON string; -1 is none."""
    out = [_JSON.get(c) or (chr(c) if 31 < c < 127 else f"\\u{c:04x}") for c in points if c >= 0]
    return "".join(out).encode()


def _code_points(value: bytes, *, overlong: bool) -> list[int]:
    """-1 for what is no character: as in HAProxy also one above 0xffff, which four hex digits cannot say."""
    points = []
    for sequence in _SEQUENCE.findall(value):
        length = len(sequence)
        point: int = sequence[0] if sequence[0] < 0x80 else -1
        if length > 1:
            point = sequence[0] & 0x7F >> length
            for byte in sequence[1:]:
                point = point << 6 | byte & 0x3F
            if point > 0xFFFD or 0xD800 <= point <= 0xDFFF or (point < _LEAST[length] and not overlong):
                point = -1
        points.append(point)
    return points


def _regsub(call: Call, _files: Files) -> Convert:
    text = call.given(0)
    flags = call.given(2) or ""
    if text is None or set(flags) - {"g", "i"}:
        raise call.mistake(
            "needs a regular expression, what to put in its place, and perhaps the flags g and i"
        )
    expression = regular(text, call.where(0), ignore_case="i" in flags, every="g" in flags)
    pieces = template(call.given(1) or "", call.where(1), expression.groups)
    count = 0 if "g" in flags else 1
    return lambda value, _facts: expression.replace(value, lambda found: expand(pieces, found), count)


def template(text: str, offset: int, groups: int) -> list[bytes | int]:
    """A replacement with `\\1` for groups: texts, and the numbers of groups.

    Raises:
        RuleError: there is no such group.
    """
    pieces: list[bytes | int] = []
    for i, piece in enumerate(re.split(r"\\([0-9])", text)):
        if i % 2 and int(piece) > groups:
            raise RuleError(offset, f"\\{piece}: the regular expression has {groups} groups")
        pieces.append(int(piece) if i % 2 else piece.encode())
    return pieces


def expand(pieces: list[bytes | int], found: re.Match[bytes]) -> bytes:
    """The replacement for what was found."""
    return b"".join(piece if isinstance(piece, bytes) else found[piece] or b"" for piece in pieces)


def _be2hex(call: Call, _files: Files) -> Convert:
    separator, size, whole = _chunks(call, 0)

    def convert(value: bytes, _facts: object) -> bytes:
        chunks = [value[at : at + size] for at in range(0, len(value), size)] if size else [value]
        if whole and chunks and len(chunks[-1]) < size:
            chunks.pop()
        return separator.join(chunk.hex().upper().encode() for chunk in chunks)

    return convert


def _be2dec(call: Call, _files: Files) -> Convert:
    separator, size, whole = _chunks(call, 0)
    if not 0 < size <= 8:
        raise call.mistake("takes 1 to 8 bytes at a time")

    def convert(value: bytes, _facts: object) -> bytes:
        chunks = [value[at : at + size] for at in range(0, len(value), size)]
        if whole and chunks and len(chunks[-1]) < size:
            chunks.pop()
        return separator.join(b"%d" % wrapped(int.from_bytes(chunk, "big")) for chunk in chunks)

    return convert


def _chunks(call: Call, at: int) -> tuple[bytes, int, bool]:
    """Separator, bytes of each chunk (0 for all of them), is a shorter last one left out?"""
    size = call.take(at + 1, arguments.number, "a number") if call.given(at + 1) else 0
    if size < 0:
        raise call.mistake("a chunk has no negative size")
    whole = bool(call.take(at + 2, arguments.number, "0 or 1")) if call.given(at + 2) else False
    return (call.given(at) or "").encode(), size, whole


def _host_only(value: bytes) -> bytes:
    bare = _PORT.sub(b"", value) if not value.startswith(b"[") or b"]:" in value else value
    return bare.lower()


def _port_only(value: bytes) -> int:
    found = _PORT.search(value) if not value.startswith(b"[") or b"]:" in value else None
    return leading_number(found[1]) if found is not None else 0


def _htonl(value: int) -> Binary:
    return Binary((value & 0xFFFFFFFF).to_bytes(4, "big"))


CONVERTERS: Final[dict[str, Converter]] = {
    "lower": plain("str", "str", bytes.lower, "in small letters"),
    "upper": plain("str", "str", bytes.upper, "in capital letters"),
    "ltrim": _trim(bytes.lstrip, "without these characters at its beginning"),
    "rtrim": _trim(bytes.rstrip, "without these characters at its end"),
    "cut_crlf": plain(
        "str", "str", lambda v: re.split(rb"[\r\n]", v, maxsplit=1)[0], "up to the first line end"
    ),
    "word": Converter("str", "str", _part(words=True), "words index..: between runs of delimiters", most=3),
    "field": Converter("str", "str", _part(words=False), "fields index..: between delimiters", most=3),
    "bytes": Converter("bin", "bin", _bytes, "bytes from an offset on, so many", most=2),
    "language": Converter(
        "str", "str", _language, "the best of an Accept-Language among es;fr;en, or a default", most=2
    ),
    "length": plain("str", "int", len, "how many characters"),
    "hex": plain("bin", "str", lambda v: v.hex().upper().encode(), "in hexadecimal digits"),
    "hex2i": plain("str", "int", _hex_number, "the number of hexadecimal digits"),
    "base64": plain("bin", "str", base64.b64encode, "in base64"),
    "b64dec": plain("str", "bin", _unbase64, "what base64 stands for"),
    "ub64enc": plain("bin", "str", lambda v: base64.urlsafe_b64encode(v).rstrip(b"="), "in base64 for URLs"),
    "ub64dec": plain("str", "bin", _unbase64_url, "what base64 for URLs stands for"),
    "url_enc": Converter("str", "str", _url_enc, "percent-encoded", most=1),
    "url_dec": Converter("str", "str", _url_dec, "percent-decoded; 1: plus is a blank", most=1),
    "json": Converter("str", "str", _json, "escaped for a JSON string", most=1),
    "regsub": Converter("str", "str", _regsub, "with what the expression finds replaced; flags g, i", most=3),
    "be2hex": Converter("bin", "str", _be2hex, "in hexadecimal, by chunks with a separator", most=3),
    "be2dec": Converter("bin", "str", _be2dec, "big-endian numbers, by chunks with a separator", most=3),
    "host_only": plain("str", "str", _host_only, "a Host without its port, in small letters"),
    "port_only": plain("str", "int", _port_only, "the port of a Host, or 0"),
    "htonl": plain("int", "bin", _htonl, "four bytes in network order"),
}
