"""One stick table: a bounded map from keys to columns of numbers.  Hot.

Memory: a dictionary from key to a row number, and an array of machine integers
for each column; rows are reused.  Rows that nobody tracks stand in a list by
when they expire, which is the order in which they were touched last; touching,
expiring and making room cost O(1).

Law (HAProxy's): a full table drops the oldest rows that nobody tracks, a 256th
of its size at a time, unless `nopurge`; then, or when all are tracked, there is
no row for a new key.  Time is in milliseconds, an argument.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from hapair.config.stick import Kind

Key = int | bytes
NO_ROW: Final = -1
_NEVER: Final = 1 << 62
_AT_HOME: Final = frozenset({"conn_cur"})
"""Counts connections of this node."""
_AT_ONCE: Final = 8
"""Expired rows that one new key cleans up at most."""


class Table:
    """Keys and what is known of them."""

    def __init__(self, name: str, size: int, expire: int, kinds: list[Kind], *, purges: bool = True) -> None:
        """`expire`: milliseconds without a touch; 0 for never."""
        self.name = name
        self.size = size
        self.expire = expire
        self.kinds = kinds
        self._purges = purges
        self._rows: dict[Key, int] = {}
        self._keys: list[Key | None] = []
        self._expires = array("q")
        self._refs = array("i")
        self._next = array("i", [0])
        """Row + 1 -> the next in line; entry 0 is both ends."""
        self._previous = array("i", [0])
        self._free: list[int] = []
        self._columns: list[array[int]] = []
        self._changed: set[int] | None = None
        """Rows that somebody has yet to be told of; None while nobody follows."""
        self.starts: dict[str, int] = {}
        """Of each kind the number of its first column."""
        self.periods: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        for kind in kinds:
            self.starts[kind.name] = len(self._columns)
            self.periods[kind.name] = kind.period
            self.counts[kind.name] = kind.count
            self._columns += [array("Q") for _ in range(kind.columns)]

    def __len__(self) -> int:
        return len(self._rows)

    # -- rows ---------------------------------------------------------------------------

    def find(self, key: Key, now: int) -> int:
        """The row of a key, or NO_ROW."""
        row = self._rows.get(key, NO_ROW)
        if row >= 0 and self._expires[row] <= now and not self._refs[row]:
            self.drop(row)
            return NO_ROW
        return row

    def touch(self, key: Key, now: int) -> int:
        """The row of a key, made if need be, and as good as new; NO_ROW when there is no room."""
        row = self.find(key, now)
        if row < 0:
            row = self._make(key, now)
        elif not self._refs[row]:
            self._unlink(row)
            self._link(row, now)
        if self._changed is not None and row >= 0:
            self._changed.add(row)
        return row

    def hold(self, row: int) -> None:
        """Somebody tracks it: it stays."""
        if not self._refs[row]:
            self._unlink(row)
        self._refs[row] += 1

    def let_go(self, row: int, now: int) -> None:
        """One less; the last starts its time."""
        self._refs[row] -= 1
        if not self._refs[row]:
            self._link(row, now)
        if self._changed is not None:
            self._changed.add(row)

    def drop(self, row: int) -> bool:
        """Forget a row that nobody tracks; says whether it could."""
        key = self._keys[row]
        if self._refs[row] or key is None:
            return False
        self._unlink(row)
        del self._rows[key]
        self._keys[row] = None
        self._free.append(row)
        return True

    def keys(self, now: int) -> Iterator[tuple[Key, int]]:
        """Every key and its row."""
        for key, row in list(self._rows.items()):
            if self._expires[row] > now or self._refs[row]:
                yield key, row

    def key_of(self, row: int) -> Key:
        """Whose row it is."""
        key = self._keys[row]
        assert key is not None, "only of a row that is in use"
        return key

    def left(self, row: int, now: int) -> int:
        """Milliseconds until it expires; 0 for never."""
        if not self.expire:
            return 0
        return self.expire if self._refs[row] else max(0, self._expires[row] - now)

    def uses(self, row: int) -> int:
        """How many track it."""
        return self._refs[row]

    def clean(self, now: int, most: int) -> int:
        """Drop expired rows, the oldest first; returns how many."""
        dropped = 0
        while dropped < most:
            oldest = self._next[0] - 1
            if oldest < 0 or self._expires[oldest] > now:
                break
            self.drop(oldest)
            dropped += 1
        return dropped

    def _make(self, key: Key, now: int) -> int:
        self.clean(now, _AT_ONCE)
        if len(self._rows) >= self.size and not self._make_room():
            return NO_ROW
        if self._free:
            row = self._free.pop()
            self._keys[row] = key
            for column in self._columns:
                column[row] = 0
        else:
            row = len(self._keys)
            self._keys.append(key)
            self._expires.append(0)
            self._refs.append(0)
            self._next.append(0)
            self._previous.append(0)
            for column in self._columns:
                column.append(0)
        self._rows[key] = row
        self._link(row, now)
        return row

    def _make_room(self) -> bool:
        if not self._purges:
            return False
        for dropped in range((self.size >> 8) + 1):
            oldest = self._next[0] - 1
            if oldest < 0:
                return dropped > 0
            self.drop(oldest)
        return True

    def _link(self, row: int, now: int) -> None:
        """To the end of the line."""
        self._expires[row] = now + self.expire if self.expire else _NEVER
        place, last = row + 1, self._previous[0]
        self._next[last] = place
        self._previous[place] = last
        self._next[place] = 0
        self._previous[0] = place

    def _unlink(self, row: int) -> None:
        place = row + 1
        before, after = self._previous[place], self._next[place]
        self._next[before] = after
        self._previous[after] = before

    # -- what they store -------------------------------------------------------------------

    def value(self, row: int, name: str, now: int, at: int = 0) -> int:
        """A counter, or the events of a rate over its period up to now; 0 of what is not stored."""
        start = self.starts.get(name, -1)
        if start < 0 or at >= self.counts[name]:
            return 0
        period = self.periods[name]
        if period:
            return self._rate(start, row, period, now)
        return self._columns[start + at][row]

    def set_value(self, row: int, name: str, number: int, at: int = 0) -> None:
        """Set a counter or a tag; a rate cannot be set."""
        start = self.starts.get(name, -1)
        if start >= 0 and at < self.counts[name] and not self.periods[name]:
            self._columns[start + at][row] = number
            if self._changed is not None:
                self._changed.add(row)

    def set_rate(self, row: int, name: str, number: int, now: int) -> None:
        """As if so many events had just happened, and none before."""
        start = self.starts[name]
        self._columns[start][row] = now
        self._columns[start + 1][row] = number
        self._columns[start + 2][row] = 0
        if self._changed is not None:
            self._changed.add(row)

    def add(self, row: int, name: str, number: int, now: int, at: int = 0) -> None:
        """Count, where it is stored; below 0 it stays 0."""
        start = self.starts.get(name, -1)
        if start < 0 or at >= self.counts[name]:
            return
        if self._changed is not None:
            self._changed.add(row)
        period = self.periods[name]
        if not period:
            column = self._columns[start + at]
            column[row] = max(0, column[row] + number)
            return
        began, current = self._columns[start], self._columns[start + 1]
        elapsed = now - began[row]
        if elapsed >= period:
            late = elapsed >= 2 * period  # nothing happened in the period before this one
            self._columns[start + 2][row] = 0 if late else current[row]
            began[row] = now if late else began[row] + period
            current[row] = 0
        current[row] += number

    def _rate(self, start: int, row: int, period: int, now: int) -> int:
        """Events of this period, and those of the last one as far as it is still within reach."""
        current, past = self._columns[start + 1][row], self._columns[start + 2][row]
        left = self._columns[start][row] + period - now
        if left < 0:
            left += period
            current, past = 0, current if left >= 0 else 0
        if not current and past <= 1:
            return past  # as HAProxy: a single event does not flicker
        return (past * left + current * period) // period

    # -- what another node is told -----------------------------------------------------------

    def follow_changes(self, *, on: bool) -> None:
        """Note, or note no more, which rows change."""
        self._changed = set() if on else None

    def take_changes(self) -> list[int]:
        """Rows that changed since the last time; some may be gone."""
        if not self._changed:
            return []
        changed, self._changed = list(self._changed), set()
        return changed

    def rows(self) -> int:
        """So many there have ever been at a time: rows are numbered from 0 to below it."""
        return len(self._keys)

    def known_key(self, row: int, now: int) -> Key | None:
        """Whose row it is; None for one that is free or expired."""
        return None if self._expires[row] <= now and not self._refs[row] else self._keys[row]

    def shared_values(self) -> int:
        """How many numbers `snapshot` gives."""
        return sum(kind.columns for kind in self.kinds if kind.name not in _AT_HOME)

    def snapshot(self, row: int, now: int) -> list[int]:
        """Everything that it stores but what counts here only; of a rate, how long ago its period began."""
        found: list[int] = []
        for kind in self.kinds:
            if kind.name in _AT_HOME:
                continue
            start = self.starts[kind.name]
            if not kind.period:
                found += [self._columns[start + at][row] for at in range(kind.count)]
                continue
            age = now - self._columns[start][row]
            current, past = self._columns[start + 1][row], self._columns[start + 2][row]
            if age >= kind.period:
                age, current, past = age - kind.period, 0, current if age < 2 * kind.period else 0
            found += [max(0, age), current, past] if current or past else [0, 0, 0]
        return found

    def restore(self, key: Key, left: int, values: list[int], now: int, *, resync: bool) -> bool:
        """Take over what another node's `snapshot` says; returns whether it counts.

        `left`: milliseconds until it expires there.  In a resync the row that was touched last counts;
        of two that were touched at once, both nodes take the same.
        """
        row = self.find(key, now)
        if row < 0:
            row = self._make(key, now)
            if row < 0:
                return False
        elif resync:
            ours = self.left(row, now)
            theirs = min(left, self.expire)
            if ours > theirs or (ours == theirs and self.snapshot(row, now) >= values):
                return False
        if not self._refs[row]:
            self._unlink(row)
            self._link(row, now)
            if self.expire:
                self._expires[row] = now + min(left, self.expire)
        at = 0
        for kind in self.kinds:
            if kind.name in _AT_HOME:
                continue
            start = self.starts[kind.name]
            for column in range(kind.columns):
                self._columns[start + column][row] = values[at + column]
            if kind.period:
                self._columns[start][row] = max(0, now - values[at])
            at += kind.columns
        return True
