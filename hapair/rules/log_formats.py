"""The log formats that have names, in terms of their variables (HAProxy 2.6, src/log.c)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hapair.rules import log_dates
from hapair.rules.lexer import RuleError
from hapair.rules.log_variables import VARIABLES, escape
from hapair.rules.template import compile_log_format

if TYPE_CHECKING:
    from hapair.rules.acl import Setting
    from hapair.rules.facts import Facts
    from hapair.rules.template import Template

HTTPLOG: Final = (
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq "
    "%hr %hs %{+Q}r"
)
NAMED: Final[dict[str, str]] = {
    "tcplog": "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq",
    "httplog": HTTPLOG,
    "httpslog": HTTPLOG
    + " 0/%[ssl_fc_err,hex]/%[ssl_c_err]/0/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc",
    "clf": '%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc '
    "%ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl",
}

_JSON: Final = {
    "frontend": "f",
    "backend": "b",
    "server": "s",
    "client": "ci",
    "client_port": "cp",
    "flags": "ts",
    "queued_ms": "Tw",
    "connect_ms": "Tc",
    "total_ms": "Tt",
    "sent": "B",
    "received": "U",
    "retries": "rc",
    "unique_id": "ID",
    "why": "why",
}
_JSON_HTTP: Final = {
    "method": "HM",
    "uri": "HU",
    "version": "HV",
    "status": "ST",
    "cookie_flags": "tsc",
    "head_ms": "TR",
    "response_ms": "Tr",
    "active_ms": "Ta",
    "request_cookie": "CC",
    "response_cookie": "CS",
}
_LONGEST_TEXT: Final = 1024
"""Bytes of one text, so that no line is cut in the middle and is no JSON any more."""


def compile_format(text: str, setting: Setting, *, http: bool) -> Template:
    """A format by its name, or a text with variables.

    Raises:
        RuleError: something in it is wrong.
    """
    if text == "json":
        setting.asks = True
        return _json(http=http)
    return compile_log_format(NAMED.get(text, text), setting, http=http)


def compile_unique_id(text: str, setting: Setting, *, http: bool) -> Template:
    """What a request's own number is made of.

    Raises:
        RuleError: something in it is wrong.
    """
    setting.asks = True
    return compile_log_format(text, setting, http=http)


def format_mistake(text: str, setting: Setting, *, http: bool) -> tuple[int, str] | None:
    """Offset and message of what is wrong with a log format."""
    try:
        compile_format(text, setting, http=http)
    except RuleError as error:
        return error.offset, error.message
    return None


def _json(*, http: bool) -> Template:
    """One object; what is not known is null, and texts are escaped as in every format."""
    names = {**_JSON, **(_JSON_HTTP if http else {})}
    known = [(key, VARIABLES[name]) for key, name in names.items()]

    def line(facts: Facts) -> bytes:
        about = facts.about
        assert about is not None
        record = about.record
        told: dict[str, Any] = {"time": log_dates.rfc3339(record.begun).decode()}
        for key, variable in known:
            value = variable.read(facts)
            told[key] = int(value) if variable.form == "number" and value is not None else _text(value)
        for key, captured in zip(("captured_request", "captured_response"), record.captured, strict=True):
            if captured:
                told[key] = [None if one is None else _text(escape(one)) for one in captured]
        return json.dumps(told, separators=(",", ":")).encode()

    return line


def _text(value: Any) -> Any:
    """A port is a number, an address a text."""
    if isinstance(value, bytes):
        return value[:_LONGEST_TEXT].decode("latin-1")
    return value if value is None or isinstance(value, int) else str(value)
