"""Stick tables shared with the peer node: one end of a connection, without the connection.

Each end greets with the tables that it has, then sends everything it knows of those that both have (a
resync), and what changes here as it changes: whole rows, as they are when they are sent.  So what waits is
never more than one number for each row, however slow the peer is.  An update counts as it comes, as in
HAProxy; a row of a resync only if it is fresher than ours, or unknown.  What came from the peer is not sent
back, `conn_cur` stays at home, and rows that expire do so on both sides by themselves.

A frame is a length and a kind (`!IB`), then: HELLO, JSON; ROWS, number of the sender's table, 1 for a resync,
and rows of key, milliseconds left and values; SYNCED, the resync is over; ALIVE, nothing.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hapair.tables.directory import Named
    from hapair.tables.table import Key

VERSION: Final = 1
LARGEST: Final = 1 << 16
"""Bytes of a frame at most."""
BATCH: Final = 4096
"""Bytes of rows in one go: the data plane has the same thread."""
HELLO: Final = 1
ROWS: Final = 2
SYNCED: Final = 3
ALIVE: Final = 4
_FRAME: Final = struct.Struct("!IB")
_ROWS: Final = struct.Struct("!HB")
_NUMBER: Final = struct.Struct("!II")
_BYTES: Final = struct.Struct("!HI")
_NEVER: Final = 0xFFFFFFFF


class BadPeer(Exception):  # noqa: N818 - named as BadMessage is
    """The other side speaks something else; the message says what."""


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return _FRAME.pack(len(payload), kind) + payload


class _Shared:
    """A table of ours and its rows that have yet to be sent."""

    def __init__(self, number: int, named: Named) -> None:
        self.number = number
        self.named = named
        self.numeric = named.config.type in ("ip", "integer")
        self.values = struct.Struct(f"!{named.table.shared_values()}Q")
        self._told = 0
        self._known = named.table.rows()
        """Rows below this are told once, whether they change or not."""
        self._changed: list[int] = []

    def rows(self, now: int) -> Iterator[bytes]:
        """Those that changed, encoded."""
        table = self.named.table
        while True:
            if not self._changed:
                changed = table.take_changes()
                if not changed:
                    return
                self._changed = changed
            yield self._row(self._changed.pop(), now)

    def known(self, now: int) -> Iterator[bytes]:
        """The next of all rows."""
        while self._told < self._known:
            self._told += 1
            yield self._row(self._told - 1, now)

    def _row(self, row: int, now: int) -> bytes:
        """Empty for one that is gone."""
        table = self.named.table
        key = table.known_key(row, now)
        if key is None:
            return b""
        left = table.left(row, now) if table.expire else _NEVER
        values = self.values.pack(*table.snapshot(row, now))
        if isinstance(key, int):
            return _NUMBER.pack(key, min(left, _NEVER)) + values
        return _BYTES.pack(len(key), min(left, _NEVER)) + key + values


class Sharing:
    """One end of one connection; `take` says what to send, `receive` what came."""

    def __init__(self, node: str, tables: Mapping[str, Named]) -> None:
        self._node = node
        self._tables = dict(tables)
        self._data = bytearray()
        self._greeted = False
        self._told_synced = False
        self._outgoing: list[_Shared] = []
        self._incoming: dict[int, _Shared] = {}
        self.peer = ""
        """The name of the node at the other end, once it has said so."""
        self.different: list[str] = []
        """Tables that the peer has otherwise: they are not shared."""
        self.synced = False
        """Everything that it knew when it greeted is here."""
        self.taken = 0
        """Rows that came and counted."""
        for named in self._tables.values():
            named.table.follow_changes(on=True)

    def close(self) -> None:
        """The connection is over; nothing is kept for the next."""
        for named in self._tables.values():
            named.table.follow_changes(on=False)

    def covers(self, tables: Mapping[str, Named]) -> bool:
        """Are these the tables that it shares, after a reload?"""
        return self._tables.keys() == tables.keys() and all(
            self._tables[name] is named for name, named in tables.items()
        )

    # -- out ------------------------------------------------------------------------------------

    def take(self, now: int) -> bytes:
        """The next bytes for the peer; empty when there is nothing new."""
        if not self._greeted:
            self._greeted = True
            return _frame(HELLO, self._hello())
        if not self.peer:
            return b""
        room = BATCH
        out = bytearray()
        for resync in (False, True):
            for shared in self._outgoing:
                rows = bytearray()
                for row in shared.known(now) if resync else shared.rows(now):
                    rows += row
                    if len(rows) >= room:
                        break
                if rows:
                    room = max(0, room - len(rows))
                    out += _frame(ROWS, _ROWS.pack(shared.number, resync) + rows)
                if not room:
                    return bytes(out)
        if not self._told_synced:
            self._told_synced = True
            out += _frame(SYNCED)
        return bytes(out)

    @staticmethod
    def alive() -> bytes:
        """To be sent when nothing else was for a while."""
        return _frame(ALIVE)

    def _hello(self) -> bytes:
        tables = [[name, *_shape(named)] for name, named in self._tables.items()]
        return json.dumps({"version": VERSION, "node": self._node, "tables": tables}).encode()

    # -- in -------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> None:
        """Take over what came.

        Raises:
            BadPeer: it is nothing that a peer says; the connection is of no more use.
        """
        self._data += data
        while len(self._data) >= _FRAME.size:
            length, kind = _FRAME.unpack_from(self._data)
            if length > LARGEST:
                raise BadPeer(f"a frame of {length} bytes")
            end = _FRAME.size + length
            if len(self._data) < end:
                return
            payload = bytes(self._data[_FRAME.size : end])
            del self._data[:end]
            self._frame(kind, payload, now)

    def _frame(self, kind: int, payload: bytes, now: int) -> None:
        if kind == HELLO and not self.peer:
            self._meet(payload)
        elif not self.peer:
            raise BadPeer("it did not greet")
        elif kind == ROWS:
            self._take_rows(payload, now)
        elif kind == SYNCED:
            self.synced = True
        elif kind != ALIVE:
            raise BadPeer(f"a frame of kind {kind}")

    def _meet(self, payload: bytes) -> None:
        node, theirs = _read_hello(payload)
        numbers = {name: i for i, name in enumerate(self._tables)}
        for i, (name, *shape) in enumerate(theirs):
            named = self._tables.get(name)
            if named is None:
                continue
            if _shape(named) != shape:
                self.different.append(name)
                continue
            self._incoming[i] = _Shared(i, named)
            self._outgoing.append(_Shared(numbers[name], named))
        self.peer = node

    def _take_rows(self, payload: bytes, now: int) -> None:
        if len(payload) < _ROWS.size:
            raise BadPeer("rows of no table")
        number, resync = _ROWS.unpack_from(payload)
        shared = self._incoming.get(number)
        if shared is None:
            return  # one that only the peer has
        at, end = _ROWS.size, len(payload)
        head = _NUMBER if shared.numeric else _BYTES
        table, size = shared.named.table, shared.values.size
        while at < end:
            if end - at < head.size:
                raise BadPeer("half a row")
            first, left = head.unpack_from(payload, at)
            at += head.size
            key: Key = first
            if not shared.numeric:
                key = payload[at : at + first]
                at += first
            if end - at < size or not _may_be(key, shared.named):
                raise BadPeer(f"a row that table {table.name} cannot have")
            values = list(shared.values.unpack_from(payload, at))
            at += size
            self.taken += table.restore(key, left, values, now, resync=bool(resync))


def _shape(named: Named) -> list[Any]:
    """What must be the same on both nodes."""
    config = named.config
    return [config.type, config.length, [f"{k.name} {k.period} {k.count}" for k in named.table.kinds]]


def _may_be(key: Key, named: Named) -> bool:
    if isinstance(key, int):
        return True
    if named.config.type == "ipv6":
        return len(key) == 16
    if named.config.type == "binary":
        return len(key) == named.config.length
    return len(key) < named.config.length


def _read_hello(payload: bytes) -> tuple[str, list[list[Any]]]:
    try:
        said = json.loads(payload)
    except ValueError:
        raise BadPeer("its greeting is no JSON") from None
    match said:
        case {"version": int(version)} if version != VERSION:
            raise BadPeer(f"it speaks version {version}, and we version {VERSION}")
        case {"version": int(), "node": str(node), "tables": list(tables)} if node:
            if all(isinstance(one, list) and one and isinstance(one[0], str) for one in tables):
                return node, tables
    raise BadPeer("its greeting does not say who it is and what it has")
