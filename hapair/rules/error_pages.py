"""What clients get instead of our own error pages: HAProxy's `errorfile` and `http-error` (section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.model import ERROR_STATUSES
from hapair.rules.action_answers import error_file, read_file, reply
from hapair.rules.action_words import Words
from hapair.rules.lexer import RuleError, Word, split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hapair.rules.acl import Setting
    from hapair.rules.facts import Facts
    from hapair.rules.verdicts import Answer

    Page = Callable[[Facts], Answer] | None


def compile_pages(files: Mapping[str, str], texts: Sequence[str], setting: Setting) -> dict[int, Page]:
    """Pages by status; None for the answer that is none (an empty file), and the connection just ends.

    Raises:
        RuleError: one of them is wrong.
    """
    pages: dict[int, Page] = {}
    for status, path in files.items():
        pages |= _page(Words([Word("http-error", 0), *split(f"status {status} errorfile {path}")], setting))
    for text in texts:
        words = [Word(word.text, word.offset) for word in split(text)]
        pages |= _page(Words([Word("http_error", 0), *words], setting))
    if pages:
        setting.asks = True
    return pages


def _page(words: Words) -> dict[int, Page]:
    words.option(["status"])
    where = words.take("a status")
    if not where.text.isdecimal() or int(where.text) not in ERROR_STATUSES:
        raise RuleError(where.offset, f"{where.text!r} is none of {', '.join(map(str, ERROR_STATUSES))}")
    status = int(where.text)
    rest = words.rest()
    if [word.text for word in rest] == ["default-errorfiles"]:
        return {}
    if [word.text for word in rest[:1]] == ["errorfile"] and len(rest) == 2:
        content = read_file(rest[1])
        if not content:
            return {status: None}
        error_file(content, rest[1].offset)
    return {status: reply(words, status, (), refuses=False)}
