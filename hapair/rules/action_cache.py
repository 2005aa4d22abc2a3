"""`cache-use NAME` and `cache-store NAME` (section 6.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.cache.freshness import is_known, is_private, wants_fresh
from hapair.cache.vary import UNASKED, asked
from hapair.rules.arguments import did_you_mean
from hapair.rules.lexer import RuleError
from hapair.rules.verdicts import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from hapair.cache.store import Store
    from hapair.rules.action_words import Words
    from hapair.rules.facts import Facts
    from hapair.rules.verdicts import Act

_CHANGES_NOTHING: Final = (b"GET", b"HEAD", b"OPTIONS", b"TRACE")


def _named(words: Words) -> Store | None:
    """The cache; None where only the words are to be checked."""
    word = words.take("the name of a cache")
    words.end()
    tables = words.setting.files.tables
    if tables is None:
        return None
    found: Store | None = tables.caches.get(word.text)
    if found is None:
        hint = did_you_mean(word.text, tables.caches)
        raise RuleError(word.offset, f"{words.action.text}: there is no cache {word.text!r}{hint}")
    return found


def _use(words: Words) -> Act:
    store = _named(words)

    def act(facts: Facts) -> Kept | None:
        about = facts.about
        if about is None or store is None:
            return None
        lines = about.request_lines
        about.cache_key = b"%b %b?%b" % (facts.host or b"", facts.path, facts.query)
        about.kept_from_cache = (
            about.version < 11
            or facts.method not in (b"GET", b"HEAD")
            or about.body_size != 0
            or is_private(lines)
        )
        about.asked = None
        if about.kept_from_cache or wants_fresh(lines):
            return None
        about.asked = asked(lines) if store.config.process_vary else UNASKED
        entry = store.find(about.cache_key, about.asked, int(about.now()))
        about.count_lookup(hit=entry is not None)
        if entry is None:
            return None
        return Kept(entry, store.name, is_known(lines, entry.etag, entry.modified))

    return act


def _store(words: Words) -> Act:
    store = _named(words)

    def act(facts: Facts) -> None:
        about = facts.about
        if about is None or store is None or not about.cache_key or about.version < 11 or about.is_kept:
            return
        if facts.method != b"GET":
            if 200 <= about.status < 400 and facts.method not in _CHANGES_NOTHING:
                store.discard(about.cache_key)
            return
        length = about.response_length
        lines = about.response_lines
        if about.kept_from_cache or about.status != 200 or length is None or lines is None:
            return
        if about.draft is None:
            about.draft = store.draft(about.cache_key, about.asked, lines, length, int(about.now()))

    return act


REQUEST: Final[dict[str, Callable[[Words], Act]]] = {"cache-use": _use}
RESPONSE: Final[dict[str, Callable[[Words], Act]]] = {"cache-store": _store}
