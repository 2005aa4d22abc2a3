"""Converters that look into JSON and into JSON Web Tokens (section 7.3.1; RFC 7519).

A path is `$.name[2].other`; a backslash takes a dot in a name for what it is.  What is written as an escape
(backslash u) comes out as UTF-8, where HAProxy makes one byte of it.  hapair has no public-key cryptography:
of the algorithms of `jwt_verify` it knows the HMACs.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, Final

from hapair.rules import variables
from hapair.rules.converter import Converter
from hapair.rules.values import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.rules.arguments import Call
    from hapair.rules.converter import Convert
    from hapair.rules.facts import Facts
    from hapair.rules.pattern_files import Files
    from hapair.rules.values import Value

    Step = str | int

_STEP: Final = re.compile(r"\.((?:[^.\[\]\\]|\\.)+)|\[([0-9]{1,6})\]")
_ALGORITHMS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_UNKNOWN_TOKEN: Final = -3


def json_path(text: str) -> list[Step]:
    """The steps of a path.

    Raises:
        ValueError: it is none.
    """
    if not text.startswith("$"):
        raise ValueError(text)
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(text)
        steps.append(int(found[2]) if found[2] is not None else re.sub(r"\\(.)", r"\1", found[1]))
        at = found.end()
    return steps


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice the first counts, as in HAProxy."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _look(text: bytes, steps: list[Step]) -> Any:
    """What is there; None for nothing, and for what is no JSON."""
    try:
        value = json.loads(text, object_pairs_hook=_first)
    except (ValueError, RecursionError):
        return None
    for step in steps:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _sample(value: Any, *, whole: bool) -> Value | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not whole:
            return f"{value:g}".encode()
        number = int(value) if abs(value) < 1 << 62 else None
        return number if number is not None and abs(number) <= 9007199254740991 else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return None


def _int_word(text: str) -> bool:
    if text != "int":
        raise ValueError(text)
    return True


def _query(call: Call) -> Callable[[bytes], Value | None]:
    steps = call.take(0, json_path, "a path such as $.name[0].other")
    whole = bool(call.given(1)) and call.take(1, _int_word, "int")
    return lambda text: _sample(_look(text, steps), whole=whole)


def _json_query(call: Call, _files: Files) -> Convert:
    query = _query(call)
    return lambda value, _facts: query(value)


def _part(token: bytes, number: int) -> bytes | None:
    """A part of a token, decoded."""
    parts = token.split(b".")
    if len(parts) != 3 or not all(parts):
        return None
    try:
        return base64.b64decode(parts[number] + b"=" * (-len(parts[number]) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _token_query(number: int) -> Callable[[Call, Files], Convert]:
    def make(call: Call, _files: Files) -> Convert:
        query = _query(call) if call.given(0) else None

        def convert(value: bytes, _facts: Facts) -> Value | None:
            text = _part(value, number)
            if text is None or query is None:
                return text
            return query(text)

        return convert

    return make


def _algorithm(text: str) -> str:
    return _ALGORITHMS[text]


def _jwt_verify(call: Call, _files: Files) -> Convert:
    try:
        name = call.take(0, _algorithm, "one of HS256, HS384, HS512")
    except KeyError:
        raise call.mistake("knows HS256, HS384 and HS512: there is no public-key cryptography here") from None
    text = call.take(1, str, "a key, or a variable that has one")
    scoped = text.startswith(tuple(f"{scope}." for scope in variables.SCOPES))
    variable = call.take(1, variables.variable, "a variable") if scoped else None

    def convert(value: bytes, facts: Facts) -> int:
        key: bytes | None = text.encode()
        if variable is not None:
            known = variables.read(facts, variable)
            key = None if known is None else to_text(known)
        signature = _part(value, 2)
        if signature is None or key is None:
            return _UNKNOWN_TOKEN
        right = hmac.digest(key, value.rpartition(b".")[0], name)
        return int(hmac.compare_digest(right, signature))

    return convert


CONVERTERS: Final[dict[str, Converter]] = {
    "json_query": Converter(
        "str", "any", _json_query, "a value by its path in JSON; int: as a number", most=2
    ),
    "jwt_header_query": Converter(
        "bin", "any", _token_query(0), "the header of a JSON Web Token, or a value of it by its path", most=2
    ),
    "jwt_payload_query": Converter(
        "bin", "any", _token_query(1), "the payload of a JSON Web Token, or a value of it by its path", most=2
    ),
    "jwt_verify": Converter(
        "bin", "int", _jwt_verify, "1 for a token that is signed with this key by HS256, HS384, HS512", most=2
    ),
}
