"""The words of an action: options by name, one after the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hapair.rules.arguments import did_you_mean
from hapair.rules.lexer import RuleError, Word
from hapair.rules.sample import compile_sample
from hapair.rules.template import Template, compile_template
from hapair.rules.values import castable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hapair.rules.acl import Setting
    from hapair.rules.fetch import Read

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
FRAMING = frozenset(
    b"content-length transfer-encoding connection keep-alive proxy-connection te upgrade trailer".split()
)
"""Headers that delimit messages: a rule that touched them could smuggle requests."""
_DURATION = re.compile(r"([0-9]{1,9})(us|ms|s|m|h|d)?")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1e-3}


class Words:
    """Takes words from the left."""

    def __init__(self, words: Sequence[Word], setting: Setting) -> None:
        self.action = words[0]
        self.setting = setting
        self._words = words
        self._at = 1

    @property
    def left(self) -> bool:
        return self._at < len(self._words)

    def take(self, what: str) -> Word:
        """The next word.

        Raises:
            RuleError: there is none.
        """
        if not self.left:
            last = self._words[-1]
            raise RuleError(last.offset + len(last.text), f"{self.action.text} needs {what}")
        self._at += 1
        return self._words[self._at - 1]

    def option(self, names: Collection[str]) -> Word:
        """The next word, which must be one of `names`."""
        word = self.take(f"one of {', '.join(names)}")
        if word.text not in names:
            hint = did_you_mean(word.text, names) or f"; there are {', '.join(names)}"
            raise RuleError(word.offset, f"{self.action.text}: unknown word {word.text!r}{hint}")
        return word

    def number(self, what: str, least: int, most: int) -> int:
        """The next word as a number."""
        word = self.take(what)
        if not re.fullmatch(r"-?[0-9]{1,10}", word.text) or not least <= int(word.text) <= most:
            raise RuleError(word.offset, f"{word.text!r} is not {what} ({least} to {most})")
        return int(word.text)

    def seconds(self, what: str) -> float:
        """The next word as a duration; without a unit it is milliseconds."""
        word = self.take(what)
        found = _DURATION.fullmatch(word.text)
        if found is None:
            raise RuleError(word.offset, f"{word.text!r} is not a duration such as 5s")
        return int(found[1]) * _UNITS[found[2] or ""]

    def duration_or_sample(self, what: str) -> tuple[float, Read | None]:
        """The next word as a duration in seconds that is not 0, or else as a sample of milliseconds."""
        word = self.take(what)
        found = _DURATION.fullmatch(word.text)
        if found is not None:
            seconds = int(found[1]) * _UNITS[found[2] or ""]
            if not seconds:
                raise RuleError(word.offset, f"{self.action.text}: a time is more than 0")
            return seconds, None
        if word.text[0] in "0123456789":
            raise RuleError(word.offset, f"{word.text!r} is not a duration such as 5s")
        sample = compile_sample(word.text, word.offset, files=self.setting.files, until=self.setting.until)
        if not castable(sample.kind, "int"):
            raise RuleError(word.offset, f"{word.text}: it is {sample.kind}, and a time is a number")
        return 0.0, sample.read

    def header(self, *, may_frame: bool = False) -> bytes:
        """The next word as the name of a header."""
        word = self.take("the name of a header")
        if _TOKEN.fullmatch(word.text) is None:
            raise RuleError(word.offset, f"{word.text!r} is not the name of a header")
        name = word.text.encode()
        if name.lower() in FRAMING and not may_frame:
            raise RuleError(word.offset, f"{word.text} delimits messages: hapair alone writes it")
        return name

    def template(self, what: str, *, line: bool = False) -> Template:
        """The next word as a text with samples; `line`: it must not end one."""
        word = self.take(what)
        if line and _CONTROL.search(word.text):
            raise RuleError(word.offset, "a header has no control characters")
        return compile_template(word.text, word.offset, self.setting)

    def rest(self) -> list[Word]:
        """The words that are left, which stay."""
        return list(self._words[self._at :])

    def end(self) -> None:
        """Nothing may follow."""
        if self.left:
            word = self._words[self._at]
            raise RuleError(word.offset, f"{self.action.text}: {word.text!r} is one word too many")
