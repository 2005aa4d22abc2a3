"""What one connection tracks: up to three rows, and what is counted there on its way.  Hot.

HAProxy's track-sc0..2: what connection rules track stays until the connection
ends, what request rules track until the request does.
"""

from __future__ import annotations

from typing import Final

from hapair.tables.table import Key, Table

COUNT: Final = 3


class Tracks:
    """Rows by the number of their counter."""

    __slots__ = ("_of_request", "rows", "tables")

    def __init__(self) -> None:
        self.tables: list[Table | None] = [None] * COUNT
        self.rows: list[int] = [0] * COUNT
        self._of_request = [False] * COUNT

    def track(self, number: int, table: Table, key: Key, now: int, *, of_request: bool) -> None:
        """Track a row from now on, unless that counter is in use or the table full."""
        if self.tables[number] is not None:
            return
        row = table.touch(key, now)
        if row < 0:
            return
        table.hold(row)
        self.tables[number] = table
        self.rows[number] = row
        self._of_request[number] = of_request
        table.add(row, "conn_cnt", 1, now)
        table.add(row, "conn_rate", 1, now)
        table.add(row, "conn_cur", 1, now)
        if of_request:
            self._request(number, now)

    def _request(self, number: int, now: int) -> None:
        table, row = self.tables[number], self.rows[number]
        if table is not None:
            table.add(row, "http_req_cnt", 1, now)
            table.add(row, "http_req_rate", 1, now)

    def admitted(self, now: int) -> None:
        """The connection became a session."""
        self._count("sess", 1, now)

    def request(self, now: int) -> None:
        """A request has come."""
        for number in range(COUNT):
            self._request(number, now)

    def request_over(self, status: int, received: int, sent: int, now: int) -> None:
        """It was answered; what it tracked itself is let go."""
        if 400 <= status < 500:
            self._count("http_err", 1, now)
        elif status >= 500 and status not in (501, 505):
            self._count("http_fail", 1, now)
        self.carried(received, sent, now)
        for number in range(COUNT):
            if self._of_request[number]:
                self._let_go(number, now)

    def carried(self, received: int, sent: int, now: int) -> None:
        """Bytes from and to the client."""
        if received:
            self._count("bytes_in", received, now)
        if sent:
            self._count("bytes_out", sent, now)

    def end(self, now: int) -> None:
        """The connection is over."""
        for number in range(COUNT):
            self._let_go(number, now)

    def _count(self, what: str, number: int, now: int) -> None:
        for at in range(COUNT):
            table = self.tables[at]
            if table is not None:
                table.add(self.rows[at], what + "_cnt", number, now)
                table.add(self.rows[at], what + "_rate", number, now)

    def _let_go(self, number: int, now: int) -> None:
        table = self.tables[number]
        if table is not None:
            row = self.rows[number]
            table.add(row, "conn_cur", -1, now)
            table.let_go(row, now)
            self.tables[number] = None
            self._of_request[number] = False
