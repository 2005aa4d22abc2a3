"""Texts with samples in them: `%[src] asked for %[path,lower]` (configuration manual, section 8.2.6).

`%%` is a percent sign; `%ci` and its like are variables (`log_variables`).  Flags
stand in braces: `%{+Q}r` is quoted, `%{+E}` escapes quotes and brackets, `%{+X}`
is hexadecimal; those of `%{+Q}o` are for everything that follows.  What a client
sends cannot leave the line: control characters become %XX, in a log #XX.

Headers and answers are made of such texts (`compile_template`), and so are log
lines (`compile_log_format`), where what is not there is a `-` and blanks do not
pile up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from hapair.rules.arguments import did_you_mean
from hapair.rules.fetch import MOMENTS
from hapair.rules.fetch_connection import source_text
from hapair.rules.lexer import RuleError
from hapair.rules.log_variables import NEEDS_OUTGOING, VARIABLES, Variable, escape_captured, in_hex
from hapair.rules.needs import ANYTHING, CONNECTION
from hapair.rules.sample import compile_sample
from hapair.rules.values import as_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hapair.rules.acl import Setting
    from hapair.rules.facts import Facts
    from hapair.rules.fetch import Read

Template = Callable[["Facts"], bytes]

_PIECE: Final = re.compile(
    r"%%|%(?:\{(?P<flags>[^}]*)\})?(?:\[|(?P<name>[A-Za-z]+))",
)
_FLAGS: Final = re.compile(r"(?:[+-][QXE](?:,(?=[+-])|$))*")
_BLANKS: Final = re.compile(" {2,}")
_CONTROL_BYTES: Final = bytes([*range(32), 127])
_CONTROLS: Final = re.compile(rb"[^\x20-\x7e]")
_CONTROLS_AND_QUOTE: Final = re.compile(rb'[^\x20-\x7e]|"')
_SPECIAL: Final = re.compile(rb'["\\\]]')


def compile_template(text: str, offset: int, setting: Setting) -> Template:
    """Compile a text that stands at `offset` of its rule.

    Raises:
        RuleError: a sample in it is wrong.
    """
    return _Compiler(text, offset, setting, for_log=False, http=True).compile()


def compile_log_format(text: str, setting: Setting, *, http: bool = True) -> Template:
    """Compile the format of a log line; `http`: of requests, not of streams.

    Raises:
        RuleError: something in it is wrong.
    """
    return _Compiler(text, 0, setting, for_log=True, http=http).compile()


class _Compiler:
    """Makes pieces from the left: constant bytes, and functions of what is asked."""

    def __init__(self, text: str, offset: int, setting: Setting, *, for_log: bool, http: bool) -> None:
        self._text = text
        self._offset = offset
        self._setting = setting
        self._log = for_log
        self._http = http
        self._pieces: list[bytes | Template] = []
        self._flags: frozenset[str] = frozenset()
        """Of `%o`: they hold from there on."""
        self._blank = True
        """Would another blank be one too many?"""

    def compile(self) -> Template:
        text, at = self._text, 0
        while at < len(text):
            percent = text.find("%", at)
            if percent != at:
                end = percent if percent >= 0 else len(text)
                self._constant(text[at:end])
                at = end
                continue
            found = _PIECE.match(text, percent)
            if found is None:
                raise RuleError(self._offset + percent, "a percent sign is written %%")
            if found[0] == "%%":
                self._constant("%")
                at = found.end()
            else:
                at = self._piece(found)
        return _joined(self._pieces)

    def _constant(self, text: str) -> None:
        if self._log:
            text = _BLANKS.sub(" ", text)
            if self._blank:
                text = text.removeprefix(" ")
            if not text:
                return
            self._blank = text[-1] == " "
        self._pieces.append(text.encode("utf-8", "surrogateescape"))

    def _piece(self, found: re.Match[str]) -> int:
        """A variable or a sample; returns where it ends."""
        flags = self._flags_of(found)
        name = found["name"]
        if name == "o":
            self._flags = flags
            return found.end()
        if name is not None:
            piece = self._variable(name, found.start(), flags)
            end = found.end()
        else:
            end = _closing(self._text, found.end(), self._offset + found.start())
            piece = self._sample(self._text[found.end() : end], self._offset + found.end(), flags)
            end += 1
        if piece is not None:
            if name is not None and VARIABLES[name].form in ("block", "list"):
                piece = self._or_nothing(piece)
            self._pieces.append(piece)
            self._blank = False
        return end

    def _or_nothing(self, piece: Template) -> Template:
        """What was captured of no request is left out, and so is the blank before it."""
        before = b""
        if self._pieces and isinstance(self._pieces[-1], bytes) and self._pieces[-1].endswith(b" "):
            self._pieces[-1] = self._pieces[-1][:-1]
            before = b" "
        return lambda facts: before + text if (text := piece(facts)) else b""

    def _flags_of(self, found: re.Match[str]) -> frozenset[str]:
        written = found["flags"] or ""
        if _FLAGS.fullmatch(written) is None:
            raise RuleError(self._offset + found.start(), f"{written!r}: the flags are +Q, +E and +X")
        flags = set(self._flags)
        for flag in written.split(",") if written else ():
            (flags.add if flag[0] == "+" else flags.discard)(flag[1])
        return frozenset(flags)

    def _variable(self, name: str, at: int, flags: frozenset[str]) -> Template | None:
        at += self._offset
        variable = VARIABLES.get(name)
        if variable is None:
            hint = did_you_mean(name, VARIABLES)
            raise RuleError(at, f"%{name}: there is no such variable{hint}; a percent sign is written %%")
        setting = self._setting
        if variable.since > setting.until:
            raise RuleError(at, f"%{name} is known only {MOMENTS[variable.since]}")
        if variable.http and not self._http:
            raise RuleError(at, f'%{name} needs mode = "http"')
        if name == "ci" and not flags:
            setting.needs |= CONNECTION
            return lambda facts: source_text(facts.source) or b"unix"
        setting.asks = True
        setting.needs |= ANYTHING
        setting.outgoing |= name in NEEDS_OUTGOING
        if variable.form in ("block", "list") and not setting.captures[name[1] == "s"]:
            return None  # nothing is captured, ever: as if it did not stand there
        return _shown(variable, flags)

    def _sample(self, text: str, offset: int, flags: frozenset[str]) -> Template:
        setting = self._setting
        if text == "src" and not flags:
            setting.needs |= CONNECTION
            return lambda facts: source_text(facts.source) or (b"-" if self._log else b"")
        setting.asks = True
        sample = compile_sample(text, offset, files=setting.files, until=setting.until)
        setting.needs |= sample.needs
        read = sample.read
        if not self._log:
            plain = _number(read) if sample.kind == "int" else _printed(read)
            return _quoted(plain) if "Q" in flags else plain
        unsafe = _CONTROLS_AND_QUOTE if "Q" in flags and "E" not in flags else _CONTROLS

        def logged(facts: Facts) -> bytes:
            value = read(facts)
            return _marked_up(unsafe.sub(_hex, to_text(value) or b"") if value is not None else b"", flags)

        return logged


def _number(read: Read) -> Template:
    def number(facts: Facts) -> bytes:
        value = read(facts)
        return b"%d" % value if isinstance(value, int) else b""

    return number


def _printed(read: Read) -> Template:
    """Any value as HAProxy prints it; most are texts without a control character, and soon done."""

    def printed(facts: Facts) -> bytes:
        value = read(facts)
        if type(value) is bytes and value.translate(None, _CONTROL_BYTES) == value:
            return value
        return as_text(value)

    return printed


def _shown(variable: Variable, flags: frozenset[str]) -> Template:
    """How a variable is written."""
    read, form = variable.read, variable.form
    if form == "text":
        return lambda facts: _text(read(facts), flags)
    if form == "address":
        hexadecimal = "X" in flags

        def address(facts: Facts) -> bytes:
            value = read(facts)
            if value is None or isinstance(value, bytes):
                return _marked_up(value or b"", flags)
            return in_hex(value) if hexadecimal else _marked_up(str(value).encode(), flags)

        return address
    if form == "block":
        return lambda facts: _block(read(facts), flags)
    if form == "list":
        return lambda facts: _list(read(facts), flags)
    if form in ("port", "hex") and "X" in flags:
        return lambda facts: b"-" if (value := read(facts)) is None else in_hex(value)
    return lambda facts: _plain(read(facts))


def _plain(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b"-" if value is None else str(value).encode()


def _text(text: bytes | None, flags: frozenset[str]) -> bytes:
    """One that is there and empty is no `-`: `%HQ` of a target without a query."""
    return text if text == b"" and "Q" not in flags else _marked_up(text or b"", flags)


def _marked_up(text: bytes, flags: Iterable[str]) -> bytes:
    """A text with its flags; nothing is `-`, or two quotes."""
    if "E" in flags:
        text = _SPECIAL.sub(rb"\\\g<0>", text)
    if "Q" in flags:
        return b'"%b"' % text
    return text or b"-"


def _block(captured: list[bytes | None] | None, flags: frozenset[str]) -> bytes:
    if captured is None:
        return b""
    return _marked_up(b"{%b}" % b"|".join(escape_captured(one or b"") for one in captured), flags - {"E"})


def _list(captured: list[bytes | None] | None, flags: frozenset[str]) -> bytes:
    if captured is None:
        return b""
    return b" ".join(_marked_up(escape_captured(one or b""), flags - {"E"}) for one in captured)


def _hex(found: re.Match[bytes]) -> bytes:
    return b"#%02X" % found[0][0]


def _closing(text: str, at: int, opened: int) -> int:
    """Where the bracket that closes a sample is; brackets in quotes and parentheses do not count."""
    depth = 0
    quote = ""
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
        elif letter == "]" and depth <= 0:
            return at
        at += 1
    raise RuleError(opened, "this '%[' is never closed")


def _quoted(piece: Template) -> Template:
    return lambda facts: b'"' + piece(facts).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _joined(pieces: list[bytes | Template]) -> Template:
    merged: list[bytes | Template] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    if not merged:
        return lambda _facts: b""
    if len(merged) == 1:
        only = merged[0]
        return (lambda _facts: only) if isinstance(only, bytes) else only
    return lambda facts: b"".join(piece if isinstance(piece, bytes) else piece(facts) for piece in merged)
