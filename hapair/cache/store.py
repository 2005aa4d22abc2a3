"""The kept responses: never more bytes than allowed, never half of one.

What is being received counts from its first byte.  When there is no room, whoever
was not asked for the longest goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.cache.freshness import LONGEST, fields, last_modified, lifetime, may_be_kept, number, says_age
from hapair.cache.vary import UNASKED, Asked, Variant, variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hapair.config.model import Cache

OVERHEAD: Final = 1024
"""Bytes that a response takes beside its head and body, at most."""
_OUR_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection", b"age"})
_NO_VARIANT: Final = Variant(frozenset(), frozenset(), UNASKED)


class Entry:
    """One whole response."""

    __slots__ = ("_age", "_received_at", "body", "etag", "expires", "key", "lines", "modified", "variant")

    def __init__(self, key: bytes, lines: tuple[bytes, ...], variant: Variant, now: int) -> None:
        self.key = key
        self.lines = lines
        """Status line and header lines, without those that frame it."""
        self.variant = variant
        self.body = b""
        self.etag = next(iter(fields(lines, b"etag")), b"")
        self.modified = last_modified(lines, now)
        """Unix time."""
        self.expires = now
        self._received_at = now
        self._age = 0

    def live(self, seconds: int, age: int) -> None:
        """It is good for so long, and was so old when it came."""
        self.expires = self._received_at + seconds
        self._age = age

    def age(self, now: int) -> int:
        """Seconds since its server made it (RFC 9111 section 4.2.3)."""
        return min(LONGEST, max(0, now - self._received_at) + self._age)

    @property
    def size(self) -> int:
        """Bytes."""
        return OVERHEAD + sum(map(len, self.lines)) + len(self.key) + len(self.body)


class Draft:
    """A response on its way in; it becomes an entry when it has come whole."""

    __slots__ = ("_entry", "_pieces", "_store", "reserved")

    def __init__(self, store: Store, entry: Entry) -> None:
        self._store: Store | None = store
        self._entry = entry
        self._pieces: list[bytes] = []
        self.reserved = 0
        """Bytes."""

    def take(self, data: bytes) -> None:
        """More of its body."""
        if self._store is not None and data:
            if self._store.make_room(self, len(data)):
                self._pieces.append(data)
            else:
                self.drop()

    def complete(self) -> None:
        """That was all of it."""
        store, self._store = self._store, None
        if store is not None:
            self._entry.body = b"".join(self._pieces)
            self._pieces = []
            store.keep(self, self._entry)

    def drop(self) -> None:
        """It will not come whole, or is too large."""
        store, self._store = self._store, None
        self._pieces = []
        if store is not None:
            store.forget(self, self._entry)


class Store:
    """One cache."""

    def __init__(self, name: str, config: Cache) -> None:
        self.name = name
        self.config = config
        self.most = config.total_max_size << 20
        """Bytes that it may hold."""
        self._longest = config.max_object_size or self.most // 256
        self.used = 0
        """Bytes, of what is on its way as well."""
        self._entries: dict[Entry, None] = {}
        """In the order in which they were last asked for."""
        self._families: dict[bytes, list[Entry]] = {}
        self._coming: dict[bytes, Draft] = {}
        """What is on its way."""

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> Iterable[Entry]:
        """All, those that go first before the others."""
        return self._entries.keys()

    def find(self, key: bytes, request: Asked, now: int) -> Entry | None:
        """What answers a request, still good at `now` (Unix seconds)."""
        for entry in reversed(self._families.get(key, [])):
            if entry.variant.answers(request):
                if entry.expires <= now:
                    self._remove(entry)
                    return None
                del self._entries[entry]
                self._entries[entry] = None
                return entry
        return None

    def draft(
        self, key: bytes, request: Asked | None, lines: list[bytes], length: int, now: int
    ) -> Draft | None:
        """Begin to keep a response of status 200 to a GET; None where it may not, or cannot, be kept.

        `length` of its body in bytes, negative where it is not known; `request` None where nothing was
        looked for, and so what varies is not kept.
        """
        found = self._described(request or UNASKED, lines)
        if found is None or (found.names and request is None) or not may_be_kept(lines):
            return None
        kept = tuple(line for line in lines if line.partition(b":")[0].lower() not in _OUR_FRAMING)
        entry = Entry(key, kept, found, now)
        if key in self._coming or entry.size - OVERHEAD + max(0, length) > self._longest:
            return None
        # From here on there is a newer one, whether or not it can be kept.
        for old in list(self._families.get(key, ())):
            if not found.names or old.expires <= now or old.variant.answers(request or UNASKED):
                self._remove(old)
        ages = [number(value) or 0 for value in fields(lines, b"age")]
        age = ages[0] if ages else 0
        good = lifetime(lines, now)
        if age > (good if good is not None and says_age(lines) else 0):
            return None  # it has lived, and does not say how long it may
        longest = int(self.config.max_age)
        entry.live(longest if good is None else min(good, longest), age)
        many = found.names and len(self._families.get(key, ())) >= self.config.max_secondary_entries
        if many or entry.expires <= now:
            return None
        draft = Draft(self, entry)
        if not self.make_room(draft, entry.size):
            return None
        self._coming[key] = draft
        return draft

    def discard(self, key: bytes) -> None:
        """What is kept under `key` has been changed at its server (RFC 9111 section 4.4)."""
        for entry in list(self._families.get(key, ())):
            self._remove(entry)
        coming = self._coming.get(key)
        if coming is not None:
            coming.drop()

    def _described(self, request: Asked, lines: list[bytes]) -> Variant | None:
        if self.config.process_vary:
            return variant(lines, request)
        return None if fields(lines, b"vary") else _NO_VARIANT

    # -- for drafts ---------------------------------------------------------------------

    def make_room(self, draft: Draft, size: int) -> bool:
        """Take so many bytes more for a draft; false where that is more than one may have."""
        if draft.reserved + size > self._longest + OVERHEAD:
            return False
        while self.used + size > self.most:
            oldest = next(iter(self._entries), None)
            if oldest is None:
                return False  # others are on their way
            self._remove(oldest)
        self.used += size
        draft.reserved += size
        return True

    def keep(self, draft: Draft, entry: Entry) -> None:
        """A draft has come whole."""
        self._came(draft, entry)
        self.used += entry.size
        self._entries[entry] = None
        self._families.setdefault(entry.key, []).append(entry)

    def forget(self, draft: Draft, entry: Entry) -> None:
        """A draft will not."""
        self._came(draft, entry)

    def _came(self, draft: Draft, entry: Entry) -> None:
        self.used -= draft.reserved
        del self._coming[entry.key]

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry]
        self.used -= entry.size
        family = self._families[entry.key]
        family.remove(entry)
        if not family:
            del self._families[entry.key]


def make_stores(wanted: Mapping[str, Cache], before: Mapping[str, Store]) -> dict[str, Store]:
    """Caches for a configuration; one that did not change keeps what it has."""
    made = {}
    for name, config in wanted.items():
        old = before.get(name)
        made[name] = old if old is not None and old.config == config else Store(name, config)
    return made
