"""Actions that edit a head: headers, method, target, status (section 4.2, http-request and http-response)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hapair.rules.action_words import FRAMING
from hapair.rules.convert_text import expand, template
from hapair.rules.lexer import RuleError
from hapair.rules.normalize import normalize_uri
from hapair.rules.patience import regular

if TYPE_CHECKING:
    from hapair.rules.action_words import Words
    from hapair.rules.facts import Facts
    from hapair.rules.lexer import Word
    from hapair.rules.verdicts import Act

_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OUTSIDE_TARGET: Final = re.compile(rb"[^\x21-\x22\x24-\x7e]")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
OF_LINES: Final = ("set-header", "add-header", "del-header")
"""Actions that only drop and append header lines."""
MOST_HEADERS: Final = 200
"""Lines of a head that rules may make it grow to."""


def _named(line: bytes, name: bytes) -> bool:
    return line[len(name) : len(name) + 1] == b":" and line[: len(name)].lower() == name


def _delete(lines: list[bytes], name: bytes) -> None:
    size = len(name)
    for i in range(len(lines) - 1, 0, -1):
        line = lines[i]
        if line[size : size + 1] == b":" and line[:size].lower() == name:
            del lines[i]


def _set_header(*, response: bool, keep: bool) -> Callable[[Words], Act]:
    """`add-header` keeps what there is."""

    def make(words: Words) -> Act:
        name = words.header()
        value = words.template("a value", line=True)
        words.end()
        low = name.lower()
        before = name + b": "

        def act(facts: Facts) -> None:
            about = facts.about
            if about is None:
                return
            line = before + value(facts)
            lines = about.head(response=True)
            if not keep:
                _delete(lines, low)
            if len(lines) < MOST_HEADERS:
                lines.append(line)

        def act_on_request(facts: Facts) -> None:
            about = facts.about
            if about is None:
                return
            line = before + value(facts)
            if about.edits(low) and not keep:
                _delete(about.edited_lines, low)
            about.add(line)

        return act if response else act_on_request

    return make


def _early_hint(words: Words) -> Act:
    """A header of a 103 response, which goes out before a server is asked (RFC 8297)."""
    name = words.header()
    value = words.template("a value", line=True)
    words.end()
    before = name + b": "

    def act(facts: Facts) -> None:
        if facts.about is not None:
            facts.about.hint(before + _CONTROL.sub(b"", value(facts)))

    return act


def _del_header(*, response: bool) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        name = words.take("the name of a header")
        method = "str"
        if words.left:
            words.option(["-m"])
            method = words.option(["str", "beg", "end", "sub", "reg"]).text
        words.end()
        wanted = name.text.lower().encode()
        matches: Callable[[bytes], bool]
        if method == "str":
            return _del_named(name, wanted, response=response)
        if method == "reg":
            expression = regular(name.text, name.offset, ignore_case=True, where=False)
            matches = lambda header: expression.search(header) is not None  # noqa: E731
        else:
            matches = {
                "beg": lambda header: header.startswith(wanted),
                "end": lambda header: header.endswith(wanted),
                "sub": lambda header: wanted in header,
            }[method]

        def act(facts: Facts) -> None:
            about = facts.about
            if about is None:
                return
            lines = about.head(response=response)
            lines[1:] = [line for line in lines[1:] if not _may_go(line, matches)]

        return act

    return make


def _del_named(name: Word, wanted: bytes, *, response: bool) -> Act:
    if wanted in FRAMING:
        raise RuleError(name.offset, f"{name.text} delimits messages: hapair alone writes it")

    def act(facts: Facts) -> None:
        if facts.about is not None:
            _delete(facts.about.head(response=True), wanted)

    def act_on_request(facts: Facts) -> None:
        if facts.about is not None and facts.about.edits(wanted):
            _delete(facts.about.edited_lines, wanted)

    return act if response else act_on_request


def _may_go(line: bytes, matches: Callable[[bytes], bool]) -> bool:
    name = line.partition(b":")[0].lower()
    return name not in FRAMING and matches(name)


def _replace(*, response: bool, whole: bool) -> Callable[[Words], Act]:
    """`replace-header` matches whole lines, `replace-value` each element of a list."""

    def make(words: Words) -> Act:
        name = words.header()
        pattern = words.take("a regular expression")
        expression = regular(pattern.text, pattern.offset, ignore_case=False)
        replacement = words.take("a replacement")
        words.end()
        pieces = template(replacement.text, replacement.offset, expression.groups)
        low = name.lower()

        def replaced(value: bytes) -> bytes:
            found = expression.search(value)
            if found is None:
                return value
            return value[: found.start()] + expand(pieces, found) + value[found.end() :]

        def act(facts: Facts) -> None:
            about = facts.about
            if about is None:
                return
            lines = about.head(response=response)
            for i in range(1, len(lines)):
                if _named(lines[i], low):
                    value = lines[i][len(low) + 1 :].strip(b" \t")
                    parts = [value] if whole else [part.strip(b" \t") for part in value.split(b",")]
                    lines[i] = lines[i][: len(low)] + b": " + b", ".join(map(replaced, parts))

        return act

    return make


def _target(facts: Facts) -> tuple[bytes, bytes, bytes]:
    """Path, `?` or nothing, query."""
    target = facts.about.request_target if facts.about is not None else b""
    return target.partition(b"?")


def _set_target(change: Callable[[tuple[bytes, bytes, bytes], bytes], bytes]) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        value = words.template("a value")
        words.end()

        def act(facts: Facts) -> None:
            if facts.about is not None:
                facts.about.set_target(safe_target(change(_target(facts), value(facts))))

        return act

    return make


def safe_target(target: bytes) -> bytes:
    """A target that cannot end the request line: what may not be in one is percent-encoded."""
    target = _OUTSIDE_TARGET.sub(lambda found: b"%%%02X" % found[0][0], target)
    return target if target[:1] == b"/" or target == b"*" else b"/" + target


def _replace_target(part: str) -> Callable[[Words], Act]:
    def make(words: Words) -> Act:
        pattern = words.take("a regular expression")
        expression = regular(pattern.text, pattern.offset, ignore_case=False)
        replacement = words.take("a replacement")
        words.end()
        pieces = template(replacement.text, replacement.offset, expression.groups)

        def act(facts: Facts) -> None:
            path, question, query = _target(facts)
            about = facts.about
            if about is None or not path.startswith(b"/"):
                return
            old = path if part == "path" else path + question + query
            found = expression.search(old)
            if found is None:
                return
            new = old[: found.start()] + expand(pieces, found) + old[found.end() :]
            about.set_target(safe_target(new + question + query if part == "path" else new))

        return act

    return make


def _set_method(words: Words) -> Act:
    value = words.template("a method")
    words.end()

    def act(facts: Facts) -> None:
        method = value(facts)
        if facts.about is not None and _METHOD.fullmatch(method) and method != b"CONNECT":
            facts.about.set_method(method)

    return act


def _set_status(words: Words) -> Act:
    status = words.number("a status", 100, 999)
    if status < 200 or status in (204, 304):
        raise RuleError(
            words.action.offset, f"set-status: {status} would change how the response is delimited"
        )
    reason = b""
    if words.left:
        words.option(["reason"])
        reason = words.take("a reason").text.encode()
    words.end()
    if _CONTROL.search(reason):
        raise RuleError(words.action.offset, "set-status: a reason has no control characters")

    def act(facts: Facts) -> None:
        if facts.about is not None and facts.about.status not in (204, 304):
            lines = facts.about.head(response=True)
            lines[0] = b"%b %d %b" % (lines[0][:8], status, reason or b"Status")

    return act


def _edits(*, response: bool) -> dict[str, Callable[[Words], Act]]:
    return {
        "set-header": _set_header(response=response, keep=False),
        "add-header": _set_header(response=response, keep=True),
        "del-header": _del_header(response=response),
        "replace-header": _replace(response=response, whole=True),
        "replace-value": _replace(response=response, whole=False),
    }


REQUEST: Final[dict[str, Callable[[Words], Act]]] = {
    **_edits(response=False),
    "early-hint": _early_hint,
    "set-method": _set_method,
    "set-path": _set_target(lambda old, value: value + old[1] + old[2]),
    "set-pathq": _set_target(lambda _old, value: value),
    "set-query": _set_target(lambda old, value: old[0] + b"?" + value),
    "set-uri": _set_target(lambda _old, value: value),
    "normalize-uri": normalize_uri,
    "replace-path": _replace_target("path"),
    "replace-pathq": _replace_target("pathq"),
    "replace-uri": _replace_target("uri"),
}
RESPONSE: Final[dict[str, Callable[[Words], Act]]] = {**_edits(response=True), "set-status": _set_status}
