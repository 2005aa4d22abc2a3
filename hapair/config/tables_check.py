"""What a server's check may say: its terms, and a table for each kind of probe."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from hapair.config import addresses, fields
from hapair.config.asks import (
    AgentCheck,
    Connect,
    DnsCheck,
    Expect,
    ExternalCheck,
    FileCheck,
    IcmpCheck,
    MysqlCheck,
    PgsqlCheck,
    RedisCheck,
    Send,
    SmtpCheck,
    TcpCheck,
    TcpRule,
    UdpCheck,
)
from hapair.config.fields import FieldError, shown, string
from hapair.config.model import CheckKind, HttpCheck, InitState
from hapair.config.shape import Parser, array, named, one_or_more, table
from hapair.config.tables_notify import command
from hapair.config.written import CheckTable

_ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", **{one: one.encode() for one in "\\ #\"'"}}
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_STATUSES = re.compile(r"[1-5][0-9]{2}(?:-[1-5][0-9]{2})?(?:,[1-5][0-9]{2}(?:-[1-5][0-9]{2})?)*")
_DNS_NAME = r"(?=.{1,254}$)(?:\.|(?:[!-\-/-~]{1,63}\.)*[!-\-/-~]{1,63}\.?)"
_ERROR_STATUSES = ("L7OKC", "L7RSP", "L7STS", "L6RSP", "L4CON")
_OK_STATUSES = ("L7OK", "L7OKC", "L6OK", "L4OK")


def split_words(text: str) -> list[bytes]:
    """Words of a line in HAProxy's spelling: backslashes escape, quotes keep blanks together.

    Raises:
        FieldError: a quote or an escape without end.
    """
    words: list[bytes] = []
    word: bytearray | None = None
    quote, at = "", 0
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            escaped, at = _escaped(text, at)
            word = (word or bytearray()) + escaped
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                word = (word or bytearray()) + char.encode()
        elif char in "\"'":
            quote, word = char, word or bytearray()
        elif char in " \t":
            if word is not None:
                words.append(bytes(word))
            word = None
        else:
            word = (word or bytearray()) + char.encode()
        at += 1
    if quote:
        raise FieldError(f"{shown(text)}: the quote {quote} has no end")
    if word is not None:
        words.append(bytes(word))
    return words


def _escaped(text: str, at: int) -> tuple[bytes, int]:
    """What an escape stands for, and where it ends."""
    following = text[at + 1 : at + 2]
    if not following:
        raise FieldError(f"{shown(text)}: a backslash at the end", at)
    if following == "x":
        digits = text[at + 2 : at + 4]
        if not _HEX.fullmatch(digits):
            raise FieldError(f"{shown(text)}: \\x needs two hexadecimal digits", at)
        return bytes.fromhex(digits), at + 4
    if following not in _ESCAPES:
        return b"\\", at + 1  # it stays, as in HAProxy: regular expressions are full of them
    return _ESCAPES[following], at + 2


def octets(value: object) -> bytes:
    """Text with HAProxy's escapes: `PING\\r\\n`, `\\x00`; blanks count."""
    text = string(value)
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] == "\\":
            escaped, at = _escaped(text, at)
            out += escaped
        else:
            out += text[at].encode()
            at += 1
    return bytes(out)


def spell_octets(data: bytes) -> str:
    """The other way round."""
    return "".join(chr(one) if 32 <= one < 127 and one != 92 else f"\\x{one:02x}" for one in data)


class _Words:
    """The words of one rule, taken from the front."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.left = split_words(text)

    def take(self, wanted: str) -> bytes:
        if not self.left:
            raise FieldError(f"{shown(self.text)}: {wanted} is missing")
        return self.left.pop(0)

    def word(self, wanted: str) -> str:
        return self.take(wanted).decode("utf-8", "replace")

    def number(self, low: int, high: int, wanted: str) -> int:
        text = self.word(wanted)
        if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise FieldError(f"{shown(self.text)}: {wanted} is {low}..{high}, not {shown(text)}")
        return int(text)

    def one_of(self, known: tuple[str, ...], wanted: str) -> str:
        text = self.word(wanted)
        if text not in known:
            hint = fields.suggestion(text, known) or f"; expected one of {', '.join(known)}"
            raise FieldError(f"{shown(self.text)}: {shown(text)} is not known here{hint}")
        return text

    def end(self) -> None:
        if self.left:
            extra = self.left[0].decode("utf-8", "replace")
            raise FieldError(
                f"{shown(self.text)}: nothing can follow before {shown(extra)}; blanks need quotes"
            )


def _expect(words: _Words, matches: tuple[str, ...]) -> Expect:
    """What follows `expect`."""
    given: dict[str, str | int | bool] = {}
    options: dict[str, tuple[str, Callable[[], str | int]]] = {
        "comment": ("comment", lambda: words.word("a comment")),
        "min-recv": ("min_recv", lambda: words.number(1, 16384, "min-recv")),
        "error-status": ("error_status", lambda: words.one_of(_ERROR_STATUSES, "a status")),
        "ok-status": ("ok_status", lambda: words.one_of(_OK_STATUSES, "a status")),
        "on-error": ("on_error", lambda: words.word("a message")),
        "on-success": ("on_success", lambda: words.word("a message")),
    }
    known = (*options, "!", *matches)
    match = words.one_of(known, "what is expected")
    while match in options:
        field, read = options[match]
        given[field] = read()
        match = words.one_of(known, "what is expected")
    negated = match == "!"
    if negated:
        match = words.one_of(matches, "what is not expected")
    header, pattern = "", b""
    if match == "hdr":
        words.one_of(("name",), "name")
        header = words.word("the name of a header")
        if words.left:
            words.one_of(("value",), "value")
            pattern = words.take("a value")
    else:
        pattern = words.take("a pattern")
    words.end()
    return Expect(
        words.text,
        match,
        _pattern(words.text, match, pattern),
        negated,
        header,
        **given,  # type: ignore[arg-type]
    )


def _pattern(text: str, match: str, pattern: bytes) -> bytes:
    if match == "status" and not _STATUSES.fullmatch(pattern.decode("latin-1")):
        raise FieldError(f'{shown(text)}: expected codes such as "200-299,404"')
    if match in ("rstring", "rstatus", "rbinary"):
        try:
            re.compile(pattern)
        except re.error as error:
            raise FieldError(f"{shown(text)}: not a regular expression: {error}") from None
    if match == "binary":
        return _hex(text, pattern)
    if not pattern and match != "hdr":
        raise FieldError(f"{shown(text)}: an empty pattern is always there")
    return pattern


def _hex(text: str, digits: bytes) -> bytes:
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        raise FieldError(
            f"{shown(text)}: {shown(digits.decode('latin-1'))} is not pairs of hex digits"
        ) from None


def http_expect(value: object) -> Expect:
    """`status 200-299`, `! rstring error`, `hdr name X-Ready value yes`."""
    text = string(value, 'an expectation such as "status 200-299"')
    return _expect(_Words(text), ("status", "rstatus", "string", "rstring", "hdr"))


def tcp_rule(value: object) -> TcpRule:
    """One line of a tcp-check, without that word."""
    text = string(value, 'a rule such as "expect string +PONG"')
    words = _Words(text)
    verb = words.one_of(("connect", "send", "send-binary", "expect", "comment"), "a rule")
    comment = ""
    if verb == "comment":
        comment = words.word("a comment")
        verb = words.one_of(("connect",), "connect")
    if verb == "connect":
        return _connect(words, comment)
    if verb == "expect":
        return _expect(words, ("string", "rstring", "binary", "rbinary"))
    data = words.take("what to send")
    if words.left:
        words.one_of(("comment",), "comment")
        comment = words.word("a comment")
    words.end()
    return Send(text, _hex(text, data) if verb == "send-binary" else data, comment)


def _connect(words: _Words, comment: str) -> Connect:
    port, ssl, send_proxy = None, False, False
    while words.left:
        word = words.one_of(("port", "ssl", "send-proxy", "comment"), "an option")
        if word == "port":
            port = words.number(1, 65535, "port")
        elif word == "comment":
            comment = words.word("a comment")
        else:
            ssl, send_proxy = ssl or word == "ssl", send_proxy or word == "send-proxy"
    return Connect(words.text, port, ssl, send_proxy, comment)


def tcp_check(value: object) -> TcpCheck:
    """A script; something must come of it."""
    rules = array(tcp_rule, at_least=1)(value)
    if isinstance(rules[0], Connect) and (rules[0].port or rules[0].send_proxy or rules[0].ssl):
        raise FieldError(
            f"{shown(rules[0].text)}: the first connection is made by port, send_proxy and ssl of the check"
        )
    return TcpCheck(rules)


http_expects = one_or_more(http_expect, at_least=1)
digest = fields.matching(r"[0-9a-f]{32}", "an MD5 digest: 32 lower-case hexadecimal digits")
_text = fields.matching(r"[^\x00]+", "text without NUL", 1000)
_secret_text = re.compile(r"[^\x00]{1,1000}")


def secret(value: object) -> str:
    """A password.  What was written is never repeated."""
    if not isinstance(value, str) or not _secret_text.fullmatch(value):
        raise FieldError("expected a password (what is written here is not shown)")
    return str(value)


KINDS: dict[str, Parser[object]] = {
    "icmp": table(IcmpCheck, count=fields.integer(1, 100), loss=fields.integer(0, 99)),
    "udp": table(UdpCheck, payload=octets, reply=octets, require_reply=fields.boolean),
    "tcp_check": tcp_check,
    "dns": table(
        DnsCheck,
        name=fields.matching(_DNS_NAME, "a domain name"),
        type=fields.choice("A", "AAAA", "NS", "CNAME", "SOA", "PTR", "MX", "TXT", "SRV"),
        expect=_text,
    ),
    "smtp": table(SmtpCheck, hello=fields.choice("HELO", "EHLO"), domain=fields.domain),
    "mysql": table(
        MysqlCheck,
        user=_text,
        version=fields.choice("post-41", "pre-41"),
        password=secret,
        query=_text,
        expect=_text,
    ),
    "pgsql": table(PgsqlCheck, user=_text, database=_text, password=secret, query=_text, expect=_text),
    "redis": table(RedisCheck, user=_text, password=secret, role=fields.choice("master", "slave")),
    "external": table(ExternalCheck, command=command, user=fields.account, dynamic=fields.boolean),
    "file": table(FileCheck, file=fields.file_path),
}
"""Kinds that have something to say, and how it is written."""

agent_check = table(AgentCheck, port=fields.port, addr=addresses.host, inter=fields.interval, send=octets)
http_uri = fields.matching(r"\*|/[!-\"$-~]*", "a path that starts with /, or *")
http_version = fields.choice("HTTP/1.0", "HTTP/1.1")


def _http_headers(value: object) -> tuple[tuple[str, str], ...]:
    return tuple(named(fields.header_value, fields.http_token)(value).items())


http_check_table = table(
    HttpCheck,
    method=fields.http_token,
    uri=http_uri,
    version=http_version,
    headers=_http_headers,
    body=_text,
    expect=http_expects,
    digest=digest,
)

check = table(
    CheckTable,
    type=fields.member(CheckKind),
    addr=addresses.host,
    port=fields.port,
    inter=fields.interval,
    fastinter=fields.interval,
    downinter=fields.interval,
    rise=fields.positive,
    fall=fields.positive,
    send_proxy=fields.boolean,
    delay_before_retry=fields.interval,
    warmup=fields.delay,
    jitter=fields.integer(0, 50),
    init_state=fields.member(InitState),
    shared=fields.boolean,
    http=http_check_table,
    urls=array(http_check_table),
    ssl=fields.boolean,
    starttls=fields.boolean,
    sni=fields.domain,
    verify=fields.choice("none", "required"),
    ca_file=fields.file_path,
    **cast("Any", KINDS),
)
