"""Actions that answer in place of a server: deny, tarpit, return, redirect, auth."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hapair.config.model import ERROR_STATUSES
from hapair.rules.lexer import RuleError
from hapair.rules.template import compile_template
from hapair.rules.verdicts import Answer, Tarpit

if TYPE_CHECKING:
    from hapair.rules.action_words import Words
    from hapair.rules.facts import Facts
    from hapair.rules.lexer import Word
    from hapair.rules.template import Template
    from hapair.rules.verdicts import Act

BODILESS: Final = (204, 304)
"""A body after one of these would be taken for the next response (RFC 9110 section 6.4.1)."""
LONGEST_FILE: Final = 16384
"""Bytes of a file that is sent as an answer, as HAProxy's buffers bound it."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def _file(words: Words) -> bytes:
    return read_file(words.take("a file"))


def read_file(word: Word) -> bytes:
    """The content of a file that is named in a rule.

    Raises:
        RuleError: it cannot be read, or is too long to be sent.
    """
    try:
        content = Path(word.text).read_bytes()
    except (OSError, ValueError) as error:
        raise RuleError(word.offset, f"{word.text}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LONGEST_FILE:
        raise RuleError(word.offset, f"{word.text}: {len(content)} bytes are more than {LONGEST_FILE}")
    return content


def reply(
    words: Words, default: int, statuses: tuple[int, ...] | None, *, refuses: bool
) -> Callable[[Facts], Answer]:
    """`[status N] [content-type T] [string|lf-string|file|lf-file|errorfile X] [hdr NAME VALUE]...`."""
    status, kind = default, b""
    body: Template | None = None
    headers: list[tuple[bytes, Template]] = []
    raw = b""
    options = [
        "status",
        "content-type",
        "default-errorfiles",
        "errorfile",
        "file",
        "lf-file",
        "string",
        "lf-string",
        "hdr",
    ]
    if refuses:
        options.append("deny_status")
    if statuses == ():
        options.remove("status")
    while words.left:
        option = words.option(options)
        match option.text:
            case "status" | "deny_status":
                status = words.number("a status", 200, 599)
                if statuses and status not in statuses:
                    raise RuleError(
                        option.offset, f"{status}: there is a page for {', '.join(map(str, statuses))} only"
                    )
            case "content-type":
                kind = words.take("a content type").text.encode()
            case "string":
                text = words.take("a text").text.encode()
                body = lambda _facts, text=text: text  # noqa: E731
            case "lf-string":
                body = words.template("a text")
            case "file":
                content = _file(words)
                body = lambda _facts, content=content: content  # noqa: E731
            case "lf-file":
                body = compile_template(
                    _file(words).decode("utf-8", "surrogateescape"), option.offset, words.setting
                )
            case "errorfile":
                raw = error_file(_file(words), option.offset)
            case "hdr":
                headers.append((words.header() + b": ", words.template("a value")))
            case _:
                body = None
    if (body is not None) and not kind and not refuses:
        raise RuleError(words.action.offset, f"{words.action.text}: a body needs a content-type")
    if body is not None and status in BODILESS:
        raise RuleError(words.action.offset, f"{words.action.text}: status {status} has no body")
    fixed = (b"content-type: " + _CONTROL.sub(b"", kind),) if kind else ()

    def answer(facts: Facts) -> Answer:
        lines = tuple(name + _CONTROL.sub(b"", value(facts)) for name, value in headers)
        text = body(facts) if body is not None else None if refuses else b""
        return Answer(status, fixed + lines, text, refuses, raw)

    return answer


def error_file(content: bytes, offset: int) -> bytes:
    """A whole response from a file, its line ends and Content-Length made right.

    Raises:
        RuleError: it does not begin as a response.
    """
    head, blank, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = head.split(b"\n")
    if not blank or re.fullmatch(rb"HTTP/1\.[01] [2-5][0-9]{2}( .*)?", lines[0]) is None:
        raise RuleError(
            offset, "an error file is a whole response: HTTP/1.0 503 ..., headers, an empty line, a body"
        )
    kept = [
        line
        for line in lines[1:]
        if line.partition(b":")[0].strip().lower() not in (b"content-length", b"connection")
    ]
    if body and int(lines[0][9:12]) in BODILESS:
        raise RuleError(offset, f"an error file of status {lines[0][9:12].decode()} has no body")
    first = b"HTTP/1.1" + lines[0][8:]
    return b"\r\n".join([first, b"content-length: %d" % len(body), *kept, b"", body])


def _deny(words: Words) -> Act:
    return reply(words, 403, ERROR_STATUSES, refuses=True)


def _deny_response(words: Words) -> Act:
    return reply(words, 502, ERROR_STATUSES, refuses=True)


def _tarpit(words: Words) -> Act:
    answer = reply(words, 500, ERROR_STATUSES, refuses=True)
    return lambda facts: Tarpit(answer(facts))


def _return(words: Words) -> Act:
    return reply(words, 200, None, refuses=False)


def _redirect(words: Words) -> Act:
    how = words.option(["location", "prefix", "scheme"]).text
    where = words.template("where to")
    code = 302
    drop = slash = False
    cookie = b""
    while words.left:
        match words.option(["code", "drop-query", "append-slash", "set-cookie", "clear-cookie"]).text:
            case "code":
                code = int(words.option(["301", "302", "303", "307", "308"]).text)
            case "drop-query":
                drop = True
            case "append-slash":
                slash = True
            case "set-cookie":
                cookie = b"set-cookie: %b; path=/;" % words.take("a cookie").text.encode()
            case _:
                name = words.take("a cookie").text.rstrip("=").encode()
                cookie = b"set-cookie: %b=; path=/; Max-Age=0;" % name
    fixed = [b"cache-control: no-cache"] if code in (302, 303, 307) else []
    if cookie:
        fixed.append(_CONTROL.sub(b"", cookie))

    def location(facts: Facts) -> bytes:
        target = where(facts)
        if how == "location":
            return target
        path, _, query = (facts.about.request_target if facts.about is not None else b"/").partition(b"?")
        if slash and not path.endswith(b"/"):
            path += b"/"
        rest = path if drop or not query else path + b"?" + query
        if how == "scheme":
            return target + b"://" + (facts.host or b"") + rest
        return rest if target == b"/" else target + rest

    def act(facts: Facts) -> Answer:
        line = b"location: " + _CONTROL.sub(b"", location(facts))
        return Answer(code, (line, *fixed), b"")

    return act


def _auth(words: Words) -> Act:
    realm = "Restricted"
    if words.left:
        words.option(["realm"])
        realm = words.take("a realm").text
    words.end()
    text = re.sub(r'(["\\])', r"\\\1", realm).encode()
    line = b'www-authenticate: Basic realm="%b"' % _CONTROL.sub(b"", text)
    answer = Answer(401, (line,), None)
    return lambda _facts: answer


REQUEST: Final[dict[str, Callable[[Words], Act]]] = {
    "deny": _deny,
    "tarpit": _tarpit,
    "return": _return,
    "redirect": _redirect,
    "auth": _auth,
}
RESPONSE: Final[dict[str, Callable[[Words], Act]]] = {
    "deny": _deny_response,
    "return": _return,
    "redirect": _redirect,
}
